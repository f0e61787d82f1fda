//! Core modules: programs for WASI 0.1, and modules that import nothing.

use crate::support::{Finished, Running, Scratch, command, hart, root};
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Functions under names that components cannot have, and some that cannot be called.
const FUNCTIONS: &str = r#"(module
    (global $start (mut i32) (i32.const 0))
    (memory (export "memory") 1)
    (func (export "_initialize") (global.set $start (i32.const 40)))
    (func (export "add_one") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
    (func (export "start") (result i32) (global.get $start))
    (func (export "Mix") (param i32 i64 f32 f64) (result f64)
        (f64.add (f64.add (f64.convert_i32_s (local.get 0)) (f64.convert_i64_s (local.get 1)))
                 (f64.add (f64.promote_f32 (local.get 2)) (local.get 3))))
    (func (export "mix") (result i64) (i64.const -9_000_000_000))
    (func (export "nothing"))
    (func (export "trap") unreachable)
    (func (export "pair") (result i32 i32) (i32.const 1) (i32.const 2))
    (func (export "vector") (param v128))
    (func (export "reference") (result funcref) (ref.null func)))"#;

fn invoke(file: &Path, call: &str) -> Finished {
    hart([OsStr::new("--invoke"), call.as_ref(), file.as_ref()])
}

/// Hunts functions of a module that cannot be called by their names, one that is called instead of another, numbers
/// that change on their way, and an `_initialize` that nobody calls.
#[test]
fn functions_of_a_module_are_called_by_name() {
    let scratch = Scratch::new();
    let text = scratch.write("functions.wat", FUNCTIONS);
    let binary = scratch.write("functions.wasm", wat::parse_str(FUNCTIONS).unwrap());
    for file in [&text, &binary] {
        for (call, result) in [
            ("add_one(41)", "42\n"),
            ("add_one(-2147483648)", "-2147483647\n"),
            ("start()", "40\n"),
            ("Mix(1, -2, 0.5, 0.25)", "-0.25\n"),
            ("mix()", "-9000000000\n"),
            ("nothing()", ""),
        ] {
            assert_eq!(invoke(file, call).exits(0).stdout, result, "{call}");
        }
    }
    // As wasmtime's users write it.
    let line = ["--invoke", "Mix"].map(OsStr::new);
    let rest = ["1", "-2", "0.5", "0.25"].map(OsStr::new);
    let ended = hart(line.iter().chain([&text.as_os_str()]).chain(&rest));
    assert_eq!(ended.exits(0).stdout, "-0.25\n");

    let trapped = invoke(&text, "trap()").exits(134);
    assert!(trapped.stderr.contains("unreachable"), "{trapped:#?}");
    let callable = "add_one, start, Mix, mix, nothing, trap";
    for call in [
        "pair()",
        "vector(1)",
        "reference()",
        "memory()",
        "_initialize()",
        "f()",
    ] {
        let refused = invoke(&text, call).exits(2);
        assert!(
            refused
                .stderr
                .ends_with(&format!("it exports {callable}\n")),
            "{refused:#?}"
        );
    }
    let refused = hart([&text]).exits(2);
    assert!(refused.stderr.contains(callable), "{refused:#?}");
    assert_eq!(refused.stderr.lines().count(), 1, "{refused:#?}");
}

/// Hunts a `_start` that is not run, one without a memory that is refused, and a code that is lost on its way.
#[test]
fn a_module_with_a_start_is_a_program() {
    let scratch = Scratch::new();
    let exit = |code: i32| {
        format!(
            r#"(module
                (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (func (export "_start") (call $exit (i32.const {code})) unreachable))"#
        )
    };
    // As many tables as a module may have: the component that is made of it has one more.
    let tables = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
            {} (func (export "_start") (drop (call $yield))))"#,
        "(table 1 funcref)".repeat(64)
    );
    let binary = scratch.write("tables.wasm", wat::parse_str(tables).unwrap());
    hart([&binary]).exits(0);
    for (text, code) in [
        (r#"(module (func (export "_start")))"#.to_owned(), 0),
        (
            r#"(module (func (export "_start") unreachable))"#.to_owned(),
            134,
        ),
        (exit(0), 0),
        (exit(1), 1),
        (exit(77), 77),
        (exit(255), 255),
    ] {
        let file = scratch.write("start.wat", &text);
        hart([&file]).exits(code);
    }
}

/// Hunts a module that is refused without a word of what it lacks, or of what to do.
#[test]
fn what_a_module_must_not_import_is_named() {
    let scratch = Scratch::new();
    let world = r#"(@custom "component-type:x" "")"#;
    for (module, says) in [
        (
            r#"(import "env" "log_it" (func))"#.to_owned(),
            &["`env` `log_it`", "WASI 0.1 alone"][..],
        ),
        (
            r#"(import "env" "memory" (memory 1))"#.to_owned(),
            &["`env` `memory`"],
        ),
        (
            r#"(import "env" "a" (func)) (import "hart:exec/tasks@0.1.0" "yield" (func))"#
                .to_owned(),
            &[
                "`hart:exec/tasks@0.1.0` `yield`",
                "wasm-tools component embed",
                "wasm-tools component new",
            ],
        ),
        (
            format!(
                r#"(import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
                   (import "hart:exec/tasks@0.1.0" "yield" (func)) {world}"#
            ),
            &["cannot be made a component"],
        ),
        (
            r#"(import "wasi_unstable" "fd_write" (func))"#.to_owned(),
            &["`wasi_unstable` `fd_write`", "before 0.1"],
        ),
        (
            r#"(import "wasi" "thread-spawn" (func (param i32) (result i32)))"#.to_owned(),
            &["`wasi` `thread-spawn`", "hart:exec"],
        ),
        (
            r#"(import "wasi_snapshot_preview1" "fd_wrote" (func))"#.to_owned(),
            &["`wasi_snapshot_preview1` `fd_wrote`"],
        ),
        (
            r#"(import "wasi_snapshot_preview1" "fd_write" (func))"#.to_owned(),
            &["fd_write", "type mismatch", "wasm32-wasip2"],
        ),
        (
            r#"(import "wasi_snapshot_preview1" "fd_write" (table 1 funcref))"#.to_owned(),
            &["`wasi_snapshot_preview1` `fd_write`"],
        ),
        ("(memory 100000)".to_owned(), &["memory"]),
        ("(table 1000000 funcref)".to_owned(), &["table"]),
    ] {
        let file = scratch.write("module.wat", format!("(module {module})"));
        let refused = invoke(&file, "f()").exits(2);
        assert_eq!(refused.stderr.lines().count(), 1, "{module}: {refused:#?}");
        for part in says {
            assert!(
                refused.stderr.contains(part),
                "{module}: `{part}`: {refused:#?}"
            );
        }
    }
}

/// The program beside this file, for WASI 0.1.
fn program() -> PathBuf {
    hart_build::module(&root().join("host/cli/tests/e2e/modules/program.rs"))
}

/// Runs it with these options of hart and these arguments.
fn run(options: &[&str], words: &[&str], input: &str) -> Finished {
    let mut command = command();
    command.args(options).arg(program()).args(words);
    Running::start(&mut command, input.as_bytes()).wait()
}

/// Hunts whatever a program for WASI 0.1 has lost on its way into a component: arguments, variables, input, files,
/// codes, clocks, the end of one that panics.
#[test]
pub(crate) fn a_program_for_wasi_0_1_runs() {
    let scratch = Scratch::new();
    let from = scratch.write("from", "some bytes");
    let directory = scratch.path().to_str().unwrap();
    let grant = format!("{directory}::/d");
    let dir = ["--dir", &*grant];

    let said = run(&[], &["args", "--dir", "x y"], "").exits(0).stdout;
    assert_eq!(said, "[\"program.wasm\", \"args\", \"--dir\", \"x y\"]\n");
    let said = run(&["--argv0", "other"], &["args"], "").exits(0).stdout;
    assert_eq!(said, "[\"other\", \"args\"]\n");
    let said = run(&["--env", "A=b"], &["env", "A"], "").exits(0).stdout;
    assert_eq!(said, "Ok(\"b\")\n");
    let said = run(&[], &["env", "PATH"], "").exits(0).stdout;
    assert_eq!(said, "Err(NotPresent)\n");
    let input = "straße\n".repeat(100_000);
    let said = run(&[], &["upper"], &input).exits(0).stdout;
    assert_eq!(said, input.to_uppercase());
    let said = run(&dir, &["copy", "/d/from", "/d/to"], "").exits(0).stdout;
    assert_eq!(said, "copied\n");
    assert_eq!(
        std::fs::read(scratch.path().join("to")).unwrap(),
        std::fs::read(&from).unwrap()
    );
    let said = run(&dir, &["list", "/d"], "").exits(0).stdout;
    assert_eq!(said, "[\"from\", \"to\"]\n");
    // Nothing that was not granted.
    let said = run(&[], &["copy", directory, "/d/x"], "").exits(0);
    assert!(
        said.stdout.is_empty() && !said.stderr.is_empty(),
        "{said:#?}"
    );
    for code in [0, 1, 3, 99, 255] {
        let ended = run(&[], &["exit", &code.to_string()], "").exits(code);
        assert_eq!(ended.stderr.lines().next(), Some("ends"), "{ended:#?}");
    }
    run(&[], &[], "").exits(7);
    assert_eq!(run(&[], &["sleep"], "").exits(0).stdout, "true\n");
    let ended = run(&[], &["panic"], "").exits(134);
    assert!(ended.stderr.contains("as it was asked to"), "{ended:#?}");
    assert_eq!(
        run(&["--invoke", "add_one(1)"], &[], "").exits(0).stdout,
        "2\n"
    );
}

/// Hunts limits that hold for components alone, and backtraces of modules without names and lines.
#[test]
fn limits_hold_for_modules() {
    let ended = run(&["--timeout", "300ms"], &["spin"], "").exits(124);
    assert!(ended.stderr.contains("timeout"), "{ended:#?}");
    let ended = run(&["-W", "max-memory=16MiB"], &["fill"], "");
    assert_ne!(ended.code(), 0, "{ended:#?}");
    assert!(ended.stderr.contains("max-memory"), "{ended:#?}");
    let ended = run(&["-W", "fuel=100000"], &["spin"], "");
    assert!(ended.stderr.contains("fuel"), "{ended:#?}");
    let ended = run(&[], &["panic"], "").exits(134);
    assert!(ended.stderr.contains("modules/program.rs:"), "{ended:#?}");
}

/// Hunts modules that are compiled each time, or not ahead of time, and functions that have lost their names there.
#[test]
fn a_module_is_cached_and_compiled_like_a_component() {
    let scratch = Scratch::new();
    let cache = scratch.path().join("cache");
    let file = scratch.write("functions.wat", FUNCTIONS);
    let add_one = |options: &[&OsStr], file: &Path| {
        let mut command = command();
        command.env("XDG_CACHE_HOME", &cache).args(options);
        command.args(["--invoke", "add_one(41)"]).arg(file);
        let ended = Running::start(&mut command, &[]).wait().exits(0);
        assert_eq!(ended.stdout, "42\n");
    };
    let kept = || {
        let entries = std::fs::read_dir(cache.join("hart")).into_iter().flatten();
        entries
            .map(|entry| {
                let entry = entry.unwrap();
                entry.metadata().unwrap().ino()
            })
            .collect::<Vec<_>>()
    };
    add_one(&[], &file);
    let first = kept();
    assert_eq!(first.len(), 1, "{first:?}");
    add_one(&[], &file);
    // What is written anew is another file.
    assert_eq!(kept(), first);
    let code = scratch.path().join("functions.cwasm");
    hart([
        OsStr::new("compile"),
        "-o".as_ref(),
        code.as_ref(),
        file.as_ref(),
    ])
    .exits(0);
    add_one(&["--allow-precompiled".as_ref()], &code);
}
