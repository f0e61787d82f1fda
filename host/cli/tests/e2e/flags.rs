//! wasmtime's flags: each is accepted or refused as README.md says, and those that are accepted do what they say.

use crate::support::{Finished, Running, SPINNER, Scratch, command, hart, root};
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Stdio;

/// A component with one function.
const ADD: &str = r#"(component
    (core module $m (func (export "f") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
    (core instance $i (instantiate $m))
    (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "f"))))"#;

/// Runs hart with these words and a file, and reads nothing.
fn with(words: &str, file: &Path) -> Finished {
    let words = words.split_whitespace().map(OsStr::new);
    hart(words.chain([file.as_os_str()]))
}

/// Hunts a row of README.md that says something else than the program does: a flag that is refused, or accepted, without
/// a word, and one that changes what a guest computes.
#[test]
pub(crate) fn every_flag_does_what_the_readme_says() {
    let scratch = Scratch::new();
    let file = scratch.write("add.wat", ADD);
    let readme = std::fs::read_to_string(root().join("host/cli/README.md")).unwrap();
    let (mut accepted, mut refused) = (0, 0);
    for line in readme.lines() {
        let Some((option, does)) =
            { line.strip_prefix("| `") }.and_then(|row| row.split_once("` | "))
        else {
            continue;
        };
        // There are other tables.
        if !option.starts_with('-') {
            continue;
        }
        let does = does.trim_end_matches(" |").replace("\\|", "|");
        if let Some(instead) = does.strip_prefix("refused: ") {
            let option = match option {
                // What takes a value is refused whatever that is.
                option if option.starts_with("--") && !option.contains(' ') => {
                    format!("{option}=x")
                }
                option => option.to_owned(),
            };
            let ended = with(&option, &file).exits(2);
            assert_eq!(ended.stderr.lines().count(), 1, "{option}: {ended:#?}");
            assert!(ended.stderr.contains(instead), "{option}: {ended:#?}");
            refused += 1;
        } else {
            let call = match option.starts_with("--invoke") {
                true => "",
                false => "--invoke add(1,2)",
            };
            let ended = with(&format!("{option} {call}"), &file).exits(0);
            assert_eq!(ended.stdout, "3\n", "{option}: {ended:#?}");
            assert_eq!(ended.stderr, "", "{option}: {ended:#?}");
            accepted += 1;
        }
    }
    assert!(accepted > 80 && refused > 80, "{accepted} {refused}");
}

/// Modules that use one proposal each: its key, whether it is on by default, and the module.
const PROPOSALS: [(&str, bool, &str); 14] = [
    (
        "bulk-memory",
        true,
        "(memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 1)))",
    ),
    ("multi-memory", true, "(memory 1) (memory 1)"),
    (
        "multi-value",
        true,
        "(func (result i32 i32) (i32.const 1) (i32.const 2))",
    ),
    (
        "exceptions=n,gc=n,function-references=n,reference-types",
        true,
        "(table 1 externref)",
    ),
    (
        "relaxed-simd=n,simd",
        true,
        "(func (drop (v128.const i64x2 1 2)))",
    ),
    (
        "relaxed-simd",
        true,
        "(func (param v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 0)))",
    ),
    ("tail-call", true, "(func $f (return_call $f))"),
    ("memory64", true, "(memory i64 1)"),
    (
        "gc=n,function-references",
        true,
        "(type $f (func)) (func (param (ref $f)) (call_ref $f (local.get 0)))",
    ),
    (
        "gc",
        true,
        "(type $s (struct)) (func (drop (struct.new $s)))",
    ),
    (
        "extended-const",
        true,
        "(global i32 (i32.add (i32.const 1) (i32.const 2)))",
    ),
    ("exceptions", true, "(tag $t) (func (throw $t))"),
    (
        "wide-arithmetic",
        false,
        "(func (param i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 0)))",
    ),
    (
        "all-proposals",
        true,
        "(func (drop (v128.const i64x2 1 2)))",
    ),
];

/// Hunts a proposal's key that switches nothing, or another one.
#[test]
pub(crate) fn proposals_are_switched_on_and_off() {
    let scratch = Scratch::new();
    for (key, is_on, body) in PROPOSALS {
        let file = scratch.write(
            "proposal.wat",
            format!("(module {body} (func (export \"done\") (result i32) (i32.const 3)))"),
        );
        let call = "--no-cache --invoke done()";
        let off = with(&format!("-W {key}=n {call}"), &file);
        assert_eq!(off.code(), 2, "{key}: {off:#?}");
        assert_eq!(off.stderr.lines().count(), 1, "{key}: {off:#?}");
        if is_on {
            assert_eq!(with(call, &file).exits(0).stdout, "3\n", "{key}");
        } else {
            with(call, &file).exits(2);
        }
        let last = key.rsplit(',').next().unwrap();
        assert_eq!(
            with(&format!("-W {last}=y {call}"), &file).exits(0).stdout,
            "3\n",
            "{key}"
        );
    }
}

/// The same for the component model.
const TYPES: [(&str, &str); 2] = [
    ("component-model-map", "(map string u32)"),
    ("component-model-fixed-length-lists", "(list u32 4)"),
];

/// Hunts a proposal's key that switches nothing, or another one.
#[test]
fn proposals_of_the_component_model_are_switched_on_and_off() {
    let scratch = Scratch::new();
    for (key, ty) in TYPES {
        let body = ADD.strip_suffix(')').unwrap();
        let file = scratch.write("type.wat", format!("{body} (type {ty}))"));
        let call = "--no-cache --invoke add(1,2)";
        with(call, &file).exits(2);
        with(&format!("-W {key}=n {call}"), &file).exits(2);
        assert_eq!(
            with(&format!("-W {key} {call}"), &file).exits(0).stdout,
            "3\n"
        );
    }
}

/// Hunts a key that means something else than the option that it stands for.
#[test]
pub(crate) fn a_key_and_an_option_mean_the_same() {
    let scratch = Scratch::new();
    let file = scratch.write("add.wat", ADD);
    // On where the system allows it, and else refused, and said to be on.
    let settings = |options: &str| {
        let ended = with(&format!("{options} --stats=json --invoke add(1,2)"), &file);
        match ended.code() {
            0 => ended.stats()["settings"].to_string(),
            _ => ended.stderr,
        }
    };
    for (key, option) in [("y", "on"), ("n", "off"), ("auto", "auto")] {
        let key = settings(&format!("-O pooling-pagemap-scan={key}"));
        assert_eq!(key, settings(&format!("--pool-scan {option}")));
    }
    assert_ne!(settings("-O pooling-pagemap-scan=y"), settings(""));
}

/// Hunts a key of the compiler's that changes nothing in what it makes.
#[test]
pub(crate) fn keys_of_the_compiler_change_its_code() {
    let scratch = Scratch::new();
    // Something to optimize.
    let body =
        "(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const 8)) (i32.load (local.get 1))))"
            .repeat(20);
    let file = scratch.write(
        "code.wat",
        format!(
            r#"(module (memory 1) (table 1 funcref) (elem (i32.const 0) func $g)
                (func $g (param i32) (result i32) (local.get 0))
                (func $inlined (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
                (func (export "f") (param i32 i32) (result i32) {body}
                    (call_indirect (param i32) (result i32) (call $inlined (local.get 0)) (i32.const 0)))
                (func (export "g") (param f32) (result f32) (f32.add (local.get 0) (f32.const 1)))
                (func (param v128) (result v128)
                    (f32x4.relaxed_madd (local.get 0) (local.get 0) (local.get 0)))
                (type $struct (struct (field i32)))
                (func (param (ref $struct)) (result i32) (struct.get $struct 0 (local.get 0))))"#
        ),
    );
    let code = |keys: &str| {
        let out = scratch.path().join("out.cwasm");
        let out = out.to_str().unwrap();
        with(&format!("compile {keys} -o {out}"), &file).exits(0);
        std::fs::read(out).unwrap()
    };
    let usual = code("");
    assert_eq!(usual, code(""), "the same twice");
    for keys in [
        "-O opt-level=0",
        "-O opt-level=s",
        "-O regalloc-algorithm=single-pass",
        "-O table-lazy-init=n",
        "-C native-unwind-info=n",
        "-C metadata-for-internal-asserts=y",
        "-C metadata-for-gc-heap-corruption=n",
        "-W relaxed-simd-deterministic",
        "-C cranelift-enable_alias_analysis=false",
        "-C inlining=y",
        "-D debug-info",
        "-D address-map=n",
        "-D symbols=n",
        "-g",
        "-W nan-canonicalization",
        "-W max-wasm-stack=1MiB,nan-canonicalization",
        "--target x86_64-unknown-linux-gnu",
    ] {
        assert_ne!(code(keys), usual, "{keys}");
    }
    assert_eq!(code("-O opt-level=2 -C inlining=n -D debug-info=n"), usual);
    let ended = with("compile --target riscv64gc-unknown-linux-gnu", &file).exits(2);
    assert!(ended.stderr.contains("compile it there"), "{ended:#?}");
    let ended = with("-C cranelift-no_such=1 --invoke f(1,2)", &file).exits(2);
    assert!(ended.stderr.contains("no_such"), "{ended:#?}");
}

/// Hunts limits under wasmtime's names that limit nothing, or end a guest that wasmtime would let go on.
#[test]
pub(crate) fn limits_have_the_meaning_that_they_have_in_wasmtime() {
    let scratch = Scratch::new();
    let file = scratch.write(
        "limits.wat",
        r#"(module
            (memory 1) (table $t 1 funcref)
            (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
            (func (export "widen") (param i32) (result i32) (table.grow $t (ref.null func) (local.get 0)))
            (func $deep (export "deep") (param i32) (result i32)
                (if (result i32) (local.get 0)
                    (then (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))
                    (else (i32.const 0))))
            (func (export "nan") (param i32) (result i32)
                (i32.reinterpret_f32 (f32.add (f32.reinterpret_i32 (local.get 0)) (f32.const 1)))))"#,
    );
    for (options, call, result) in [
        ("", "grow(31)", "1\n"),
        ("-W max-memory-size=2097152", "grow(31)", "1\n"),
        ("-W max-memory-size=2097152", "grow(32)", "-1\n"),
        ("", "widen(99)", "1\n"),
        ("-W max-table-elements=100", "widen(99)", "1\n"),
        ("-W max-table-elements=100", "widen(100)", "-1\n"),
        ("-W max-wasm-stack=64MiB", "deep(200000)", "200000\n"),
        (
            "-W max-wasm-stack=64MiB --pool dense",
            "deep(200000)",
            "200000\n",
        ),
        ("", "nan(2141192193)", "2145386497\n"),
        ("-W nan-canonicalization", "nan(2141192193)", "2143289344\n"),
    ] {
        let ended = with(&format!("{options} --invoke {call}"), &file).exits(0);
        assert_eq!(ended.stdout, result, "{options} {call}");
    }
    let ended = with("--invoke deep(200000)", &file).exits(134);
    assert!(ended.stderr.contains("call stack exhausted"), "{ended:#?}");
    let ended = with("-W max-wasm-stack=8KiB --invoke deep(1000)", &file).exits(134);
    assert!(ended.stderr.contains("call stack exhausted"), "{ended:#?}");
    let ended = with("-W max-memory-size=1 --invoke grow(1)", &file);
    assert_ne!(ended.code(), 0, "{ended:#?}");
    assert!(ended.stderr.contains("memory"), "{ended:#?}");
    for size in ["4095", "2GiB", "x"] {
        with(&format!("-W max-wasm-stack={size} --invoke grow(1)"), &file).exits(2);
    }
    // A number alone is seconds.
    let spinner = scratch.write("spinner.wat", SPINNER);
    let ended = with("-W timeout=1", &spinner).exits(124);
    assert!(ended.stderr.contains("timeout of 1s"), "{ended:#?}");
}

/// Hunts streams that a guest has though it was to have none, and a profile that is not written.
#[test]
pub(crate) fn streams_and_profiles() {
    let program = hart_build::module(&root().join("host/cli/tests/e2e/modules/program.rs"));
    let run = |option: &str, words: &[&str]| {
        let mut command = command();
        command.args(["-S", option]).arg(&program).args(words);
        Running::start(&mut command, b"input").wait()
    };
    assert_eq!(run("inherit-stdin", &["upper"]).exits(0).stdout, "INPUT");
    assert_eq!(run("inherit-stdin=n", &["upper"]).exits(0).stdout, "");
    assert_eq!(run("inherit-stdout=n", &["upper"]).exits(0).stdout, "");
    assert!(
        run("inherit-stderr", &["exit", "0"])
            .exits(0)
            .stderr
            .contains("ends")
    );
    assert_eq!(run("inherit-stderr=n", &["exit", "0"]).exits(0).stderr, "");

    let child = command()
        .args(["--no-cache", "--profile", "perfmap"])
        .arg(&program)
        .args(["exit", "0"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let path = format!("/tmp/perf-{}.map", child.id());
    assert!(child.wait_with_output().unwrap().status.success());
    let map = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(map.contains("program::main"), "{map:.1000}");
}

/// Hunts a profile without samples, of a guest that nobody waits for; one whose stacks do not say which function called
/// which; and spawned tasks that are not in it.
#[test]
pub(crate) fn guests_are_profiled() {
    let scratch = Scratch::new();
    let file = scratch.write(
        "busy.wat",
        r#"(module
            (func $inner (local i32) (loop $l
                (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 300_000_000)))))
            (func $outer (export "busy") (call $inner)))"#,
    );
    let json = scratch.path().join("profile.json");
    let profiled = |options: &str, arguments: &[&OsStr]| -> serde_json::Value {
        let options = format!("--profile guest,{} {options}", json.display());
        let line = options.split_whitespace().map(OsStr::new);
        hart(line.chain(arguments.iter().copied()));
        serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap()
    };
    // The samples of each row, and the names that are in it.
    let rows = |profile: &serde_json::Value| -> Vec<(usize, String)> {
        let threads = profile["threads"].as_array().unwrap();
        let row = |thread: &serde_json::Value| {
            let samples = thread["samples"]["length"].as_u64().unwrap();
            (usize::try_from(samples).unwrap(), thread.to_string())
        };
        threads.iter().map(row).collect()
    };
    let alone = profiled("--workers 1 --invoke busy()", &[file.as_os_str()]);
    let shown = alone.to_string();
    let rows_alone = rows(&alone);
    assert_eq!(rows_alone.len(), 1, "{shown:.2000}");
    assert!(rows_alone[0].0 > 10, "{shown:.2000}");
    assert!(
        shown.contains("\"inner\"") && shown.contains("\"outer\""),
        "{shown:.2000}"
    );
    // The inner function's stack has the outer one's before it.
    let table = &alone["threads"][0]["stackTable"]["prefix"];
    assert!(
        table.as_array().unwrap().iter().any(|prefix| prefix == 0),
        "{table}"
    );

    let spinner = hart_build::guest("spinner");
    let many = ["many", "2"].map(OsStr::new);
    let options = "--workers 2 -W task-cpu-time=200ms";
    let both = rows(&profiled(
        options,
        &[&[spinner.as_os_str()], &many[..]].concat(),
    ));
    let samples: usize = both.iter().map(|(samples, _)| samples).sum();
    assert!(samples > 20, "{both:.2000?}");

    let refused = with("--profile guest --preempt fuel --invoke busy()", &file).exits(2);
    assert!(refused.stderr.contains("--preempt epoch"), "{refused:#?}");
    let refused = with("--profile guest,/no/such/file --invoke busy()", &file).exits(2);
    assert!(
        refused
            .stderr
            .contains("--profile guest: cannot be written"),
        "{refused:#?}"
    );
    with("--profile guest,x,10ms --invoke busy()", &file).exits(2);
    with("compile --profile guest", &file).exits(2);
}

/// Hunts backtraces of another length than was asked for, and lines that are not there, or are though they were not to be.
#[test]
pub(crate) fn backtraces_are_as_long_and_as_detailed_as_was_asked_for() {
    let program = hart_build::module(&root().join("host/cli/tests/e2e/modules/program.rs"));
    let source = include_str!("modules/program.rs");
    let at = source
        .lines()
        .position(|line| line.contains("panic!("))
        .unwrap()
        + 1;
    let line = format!("program.rs:{at}");
    let panic = |options: &str| {
        let mut command = command();
        command
            .args(options.split_whitespace())
            .arg(&program)
            .arg("panic");
        let ended = Running::start(&mut command, &[]).wait().exits(134);
        let (_, trace) = ended.stderr.split_once("wasm backtrace:").unwrap();
        trace.to_owned()
    };
    let frames = |trace: &str| trace.lines().filter(|line| line.contains(": ")).count();
    for options in ["", "-g", "-D debug-info=y"] {
        let trace = panic(options);
        assert!(trace.contains(&line), "{options}: {trace}");
        assert!(trace.contains("program::main"), "{options}: {trace}");
    }
    let whole = frames(&panic(""));
    assert!(whole > 3, "{whole}");
    assert_eq!(frames(&panic("-D max-backtrace=2")), 2);
    assert!(!panic("-D address-map=n").contains("program.rs"));
}

/// Hunts code that is cached though it was not to be, and code that is found there though it was compiled otherwise.
#[test]
pub(crate) fn code_of_other_keys_is_cached_apart() {
    let scratch = Scratch::new();
    let file = scratch.write("add.wat", ADD);
    let cache = scratch.path().join("cache");
    let kept = |options: &[&str]| {
        let mut command = command();
        command.env("XDG_CACHE_HOME", &cache).args(options);
        command.args(["--invoke", "add(1,2)"]).arg(&file);
        let ended = Running::start(&mut command, &[]).wait().exits(0);
        assert_eq!(ended.stdout, "3\n");
        let entries = std::fs::read_dir(cache.join("hart")).into_iter().flatten();
        let mut found: Vec<u64> = entries
            .map(|entry| entry.unwrap().metadata().unwrap().ino())
            .collect();
        found.sort_unstable();
        found
    };
    assert_eq!(kept(&["-C", "cache=n"]).len(), 0);
    let usual = kept(&[]);
    assert_eq!(usual.len(), 1);
    let both = kept(&["-O", "opt-level=0"]);
    assert_eq!(both.len(), 2);
    assert_eq!(kept(&["-O", "opt-level=0"]), both);
    assert_eq!(kept(&[]), both);
}

/// Hunts code that is written over its source, or elsewhere than is said, and code that runs otherwise than it was
/// compiled for.
#[test]
fn compiled_code_is_beside_its_file_and_knows_what_it_is_for() {
    let scratch = Scratch::new();
    let file = scratch.write("add.wat", ADD);
    with("compile", &file).exits(0);
    let code = scratch.path().join("add.cwasm");
    let run = "--allow-precompiled --invoke add(1,2)";
    assert_eq!(with(run, &code).exits(0).stdout, "3\n");
    let ended = with(&format!("--preempt fuel {run}"), &code).exits(2);
    assert!(
        ended.stderr.contains("hart compile --preempt fuel"),
        "{ended:#?}"
    );
    let ended = with("compile", &code).exits(2);
    assert!(ended.stderr.contains("native code"), "{ended:#?}");
    // A version that is not this one's.
    let mut bytes = std::fs::read(&code).unwrap();
    bytes[64] = b'7';
    let other = scratch.write("other.cwasm", bytes);
    let ended = with(run, &other).exits(2);
    assert!(ended.stderr.contains("hart 7"), "{ended:#?}");
    // For every machine of this kind.
    with("compile --target x86_64-unknown-linux-gnu", &file).exits(0);
    assert_eq!(with(run, &code).exits(0).stdout, "3\n");
    let ended = with("compile -W simd=n,relaxed-simd=n", &file).exits(0);
    assert_eq!(ended.stderr, "");
    let said = with("inspect", &code).exits(0).stdout;
    assert!(said.contains("--preempt epoch --pool fast"), "{said}");
}
