//! How guests end, and what the process makes of it.

use crate::support::{Running, Scratch, command, hart, root};
use std::ffi::{OsStr, OsString};

fn guest(name: &str, arguments: &[&str]) -> Vec<OsString> {
    let mut line = vec![OsString::from(hart_build::guest(name))];
    line.extend(arguments.iter().map(OsString::from));
    line
}

/// Hunts arguments that hart keeps for itself, an environment that leaks in, and granted variables
/// that do not arrive.
#[test]
pub(crate) fn arguments_and_variables_arrive() {
    let file = hart_build::guest("hello");
    let mut hello = command();
    hello
        .env("HART_E2E_OWN", "own")
        .args(["--env", "A=1", "--env", "HART_E2E_OWN"])
        .arg(&file)
        .args(["--workers", "two words"]);
    let ended = Running::start(&mut hello, &[]).wait().exits(0);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "hello",
            "argument: --workers",
            "argument: two words",
            "environment: A=1",
            "environment: HART_E2E_OWN=own",
        ]
    );
    let bare = hart([OsStr::new("run"), file.as_os_str()]).exits(0);
    assert_eq!(bare.stdout, "hello\n");
    let mut inherits = command();
    inherits
        .env("HART_E2E_OWN", "own")
        .args(["-S", "inherit-env"])
        .arg(&file);
    let ended = Running::start(&mut inherits, &[]).wait().exits(0);
    assert!(ended.stdout.contains("environment: HART_E2E_OWN=own\n"));
}

/// Hunts a standard input that does not reach the root, is cut at the end of a buffer, or never ends.
#[test]
fn standard_input_is_passed_through() {
    let cat = root().join("host/cli/tests/e2e/cat.wat");
    let text: String = (0..20_000).map(|line| format!("line {line}\n")).collect();
    let ended = Running::start(command().arg(&cat), text.as_bytes()).wait();
    assert!(ended.exits(0).stdout == text);
    assert_eq!(
        Running::start(command().arg(&cat), &[])
            .wait()
            .exits(0)
            .stdout,
        ""
    );
}

/// Hunts a closed standard output that is a panic or a trap instead of the guest's own error.
#[test]
fn a_closed_output_is_an_error_of_the_guest() {
    let mut shell = std::process::Command::new("sh");
    shell
        .args([
            "-c",
            "(yes | \"$0\" \"$1\"; echo \"code $?\" >&2) | head -n 1",
        ])
        .arg(command().get_program())
        .arg(root().join("host/cli/tests/e2e/cat.wat"));
    let ended = Running::start(&mut shell, &[]).wait();
    assert_eq!(ended.stdout, "y\n", "{ended:#?}");
    let (told, code) = ended.stderr.split_once('\n').expect("two lines");
    assert!(told.contains("its `run` returned an error"), "{ended:#?}");
    assert_eq!(code, "code 1\n", "{ended:#?}");
}

/// Hunts exit codes that are lost, and a child's `exit` that ends its parent. WASI 0.2's plain `exit` has no codes but
/// success and failure, so that 3 becomes 1; the SDK's has all of them.
#[test]
fn exit_codes_are_the_guests() {
    for (asked, code) in [("0", 0), ("1", 1), ("3", 1)] {
        hart(guest("exit", &[asked])).exits(code);
    }
    for (asked, code) in [("0", 0), ("3", 3), ("255", 255)] {
        hart(guest("exit", &[asked, "root", "hart"])).exits(code);
    }
    for (line, says) in [
        (&["3", "child"][..], "exit(1)"),
        (&["3", "child", "hart"], "exit(3)"),
        (&["0", "owing"], "exit(0) and returned no value"),
        (&["0", "owing", "hart"], "exit(0) and returned no value"),
        (&["3", "owing", "hart"], "exit(3)"),
    ] {
        let ended = hart(guest("exit", line)).exits(0);
        assert!(ended.stdout.starts_with("child: Err("), "{ended:#?}");
        assert!(ended.stdout.contains(says), "{says}: {ended:#?}");
    }
    for line in [&["0", "child"][..], &["0", "child", "hart"]] {
        let ended = hart(guest("exit", line)).exits(0);
        assert_eq!(ended.stdout, "child: Ok(())\n");
    }
    // Both are told.
    let help = hart(["run", "--help"]).exits(0).stdout;
    assert!(help.contains("hart_guest::exit"), "{help}");
}

/// Hunts a trap without a trace of where it was, or with one of the host's own.
#[test]
fn a_trap_in_the_root_shows_a_backtrace() {
    let ended = hart(guest("trapper", &[])).exits(134);
    let stderr = &ended.stderr;
    assert!(stderr.contains("main traps on purpose"), "{ended:#?}");
    let report = stderr.find("hart: ").map(|at| &stderr[at..]);
    let report = report.unwrap_or_else(|| panic!("no report: {ended:#?}"));
    assert!(report.contains("trapped"), "{report}");
    assert!(report.contains("unreachable"), "{report}");
    assert!(report.contains("trapper"), "the function's name: {report}");
    assert!(report.lines().count() > 3, "{report}");
    assert!(!report.contains("thread '"), "{report}");
}

/// Hunts a trap that takes siblings or the parent with it, or a panic that reaches the joiner without what it said,
/// where, and in which task.
#[test]
fn a_trap_in_a_child_is_its_joiners_to_handle() {
    for workers in ["1", "2"] {
        let file = hart_build::guest("trapper");
        let ended = hart([
            OsStr::new("--workers"),
            OsStr::new(workers),
            file.as_os_str(),
            OsStr::new("child"),
        ])
        .exits(0);
        let lines: Vec<&str> = ended.stdout.lines().collect();
        assert_eq!(lines.len(), 4, "{ended:#?}");
        assert_eq!(
            [lines[0], lines[1], lines[3]],
            ["task 0: 0", "task 1: 10", "task 3: 30"]
        );
        assert!(
            lines[2].starts_with("task 2: the task trapped: "),
            "{ended:#?}"
        );
        for part in ["`trapper::work`", "task 2 traps on purpose", "trapper.rs:"] {
            assert!(lines[2].contains(part), "{part}: {ended:#?}");
        }
        assert!(!ended.stdout.contains("unreachable"), "{ended:#?}");
    }
}

/// Hunts a guest that cannot see, or can change, what it was given to read.
#[test]
pub(crate) fn read_only_means_read_only() {
    let scratch = Scratch::new();
    scratch.write("a.txt", "one two\n");
    let count = |grant: &str| {
        let grant = format!("{}::/data{grant}", scratch.path().display());
        let file = hart_build::guest("wordcount");
        hart([
            OsStr::new("--dir"),
            grant.as_ref(),
            file.as_os_str(),
            OsStr::new("/data"),
        ])
    };
    for grant in ["", "::ro", "::rw"] {
        let ended = count(grant).exits(0);
        assert!(ended.stdout.contains("txt"), "{ended:#?}");
    }
    for (grant, writes) in [("", true), ("::ro", false), ("::rw", true)] {
        let granted = format!("{}::/data{grant}", scratch.path().display());
        let file = hart_build::guest("probe");
        let [dir, open, data, one] = ["--dir", "open", "/data", "1"].map(OsStr::new);
        let line = [dir, granted.as_ref(), file.as_os_str(), open, data, one];
        let ended = hart(line).exits(0);
        let made = scratch.path().join("0");
        assert_eq!(made.exists(), writes, "{grant}: {ended:#?}");
        assert_eq!(ended.stdout == "1\n", writes, "{grant}: {ended:#?}");
        let _ = std::fs::remove_file(made);
    }
    let file = hart_build::guest("wordcount");
    let denied = hart([file.as_os_str(), OsStr::new("/data")]);
    assert_ne!(denied.code(), 0, "nothing was granted: {denied:#?}");
}

/// Hunts a guest of WASI 0.3 that loses a result, gets one twice, or takes parts in the order of their ends: the
/// output must be that of the guest that waits in the ordinary way.
#[test]
fn guests_that_wait_asynchronously_say_the_same() {
    let scratch = Scratch::new();
    for directory in 0..5 {
        std::fs::create_dir(scratch.path().join(format!("d{directory}"))).expect("a new directory");
    }
    for number in 0..300_u32 {
        scratch.write(
            &format!("d{}/f{number}.txt", number % 5),
            format!("{number} words in a line\n").repeat(number as usize % 90),
        );
    }
    let grant = format!("{}::/data::ro", scratch.path().display());
    for preempt in ["--preempt=epoch", "--preempt=fuel"] {
        for (guest, args) in [
            ("pipeline", &["3", "5000"][..]),
            ("wordcount", &["/data"]),
            ("wordcount", &["--ext", "txt", "/data/d1", "/data/d4"]),
        ] {
            let output = |name: &str| {
                let file = hart_build::guest(name);
                let options = [preempt, "--workers=2", "--dir", &grant].map(OsStr::new);
                let args = args.iter().map(OsStr::new);
                let line = options.into_iter().chain([file.as_os_str()]).chain(args);
                hart(line).exits(0).stdout
            };
            let asynchronous = output(&format!("{guest}-async"));
            assert!(!asynchronous.is_empty());
            assert_eq!(asynchronous, output(guest), "{guest} {args:?} {preempt}");
        }
    }
    let file = hart_build::guest("wordcount-async");
    let failed = hart([file.as_os_str(), OsStr::new("--ext")]).exits(1);
    assert!(failed.stderr.contains("--ext needs"), "{failed:#?}");
}

/// Hunts statistics that are missing, always zero, or mixed into the guest's output.
#[test]
fn statistics_are_counted() {
    let file = hart_build::guest("pipeline");
    let line = [
        OsStr::new("--stats=json"),
        OsStr::new("--workers=2"),
        file.as_os_str(),
    ];
    let ended = hart(line).exits(0);
    assert!(
        ended.stdout.starts_with("320000 numbers, sorted: true\n"),
        "{ended:#?}"
    );
    let stats = ended.stats();
    // 31 of `merge`, 16 each of `sort` and `make`, and the root.
    assert_eq!(stats["tasks"], 64, "{stats:#}");
    assert_eq!(stats["spawns"], 63, "{stats:#}");
    assert_eq!(stats["joins"], 63, "{stats:#}");
    assert_eq!(stats["traps"], 0, "{stats:#}");
    assert_eq!(stats["live_tasks"], 0, "{stats:#}");
    for key in [
        "wall_time",
        "cpu_time",
        "polls",
        "peak_memory",
        "peak_tasks",
        "output_bytes",
    ] {
        assert!(
            stats[key].as_u64().is_some_and(|n| n > 0),
            "{key}: {stats:#}"
        );
    }
    let workers = stats["workers"].as_array().expect("a list");
    // One more for each thread that took the place of a worker that stood still: the machine may be busy.
    assert!(workers.len() >= 2, "{stats:#}");
    let sum = |key: &str| -> u64 { workers.iter().map(|w| w[key].as_u64().expect(key)).sum() };
    assert_eq!(sum("spawns"), 63, "{stats:#}");
    assert_eq!(sum("joins"), 63, "{stats:#}");
    assert!(sum("polls") >= 64, "{stats:#}");
    for key in ["steals", "preemptions", "parks"] {
        let _ = sum(key);
    }

    let text = hart([OsStr::new("--stats"), file.as_os_str()]).exits(0);
    assert_eq!(text.stdout, ended.stdout);
    for part in [
        "worker",
        "polls",
        "steals",
        "preemptions",
        "spawns",
        "joins",
        "parks",
        "CPU",
    ] {
        assert!(text.stderr.contains(part), "{part}: {text:#?}");
    }
}

/// A command whose `run` ends so: with an error (1) or without (0), or by calling `exit` with one.
fn ending(version: &str, exits: bool, code: u8) -> String {
    let (import, call) = if exits {
        (
            r#"(import "wasi:cli/exit@0.2.0" (instance $e (export "exit" (func (param "status" (result))))))
               (core func $exit (canon lower (func $e "exit")))"#,
            "(call $exit (local.get 0))",
        )
    } else {
        (
            "(core module $none (func (export \"exit\") (param i32)))
          (core instance $none (instantiate $none))
          (alias core export $none \"exit\" (core func $exit))",
            "",
        )
    };
    let (returns, lift) = match version {
        "0.2.0" => (
            "",
            r#"(func $run (result (result)) (canon lift (core func $i "run")))"#,
        ),
        _ => (
            "(core func $return (canon task.return (result (result))))",
            r#"(func $run async (result (result))
                (canon lift (core func $i "start") async (callback (core func $i "callback"))))"#,
        ),
    };
    let given = if returns.is_empty() {
        ""
    } else {
        r#"(export "return" (func $return))"#
    };
    let (core, start) = if returns.is_empty() {
        ("", "")
    } else {
        (
            r#"(import "" "return" (func $return (param i32)))"#,
            r#"(func (export "start") (result i32) (call $return (call $run)) (i32.const 0))
               (func (export "callback") (param i32 i32 i32) (result i32) unreachable)"#,
        )
    };
    format!(
        r#"(component {import} {returns}
        (core module $m {core}
            (import "" "exit" (func $exit (param i32)))
            (func $run (export "run") (result i32) (local i32)
                (local.set 0 (i32.const {code})) {call} (local.get 0))
            {start})
        (core instance $i (instantiate $m (with "" (instance (export "exit" (func $exit)) {given}))))
        {lift}
        (instance $run (export "run" (func $run)))
        (export "wasi:cli/run@{version}" (instance $run)))"#
    )
}

/// Hunts an exit code of 1 and not one word: what an uncaught exception is in JavaScript and Python. And a line about it
/// where a program chose its exit code itself.
#[test]
fn a_run_that_returns_an_error_is_told() {
    let scratch = Scratch::new();
    for version in ["0.2.0", "0.3.0"] {
        let failing = scratch.write("failing.wat", ending(version, false, 1));
        let simulated = ["sim", "--seed", "1"].map(OsString::from);
        let mut lines = vec![vec![failing.clone().into_os_string()]];
        if version == "0.2.0" {
            lines.push(
                simulated
                    .into_iter()
                    .chain([failing.clone().into_os_string()])
                    .collect(),
            );
        }
        for line in lines {
            let ended = hart(line).exits(1);
            let said: Vec<&str> = ended.stderr.lines().collect();
            let [line] = said[..] else {
                panic!("{ended:#?}")
            };
            for part in [
                "hart: ",
                "failing.wat",
                "`run` returned an error",
                "standard error",
            ] {
                assert!(line.contains(part), "{part}: {ended:#?}");
            }
        }
        let fine = scratch.write("fine.wat", ending(version, false, 0));
        assert_eq!(hart([fine]).exits(0).stderr, "");
    }
    let exits = scratch.write("exits.wat", ending("0.2.0", true, 1));
    assert_eq!(hart([exits]).exits(1).stderr, "");
}
