//! What the builders set, each seen in what becomes of a run.

use std::path::{Path, PathBuf};

use hart_host::{Host, LoadError};

use crate::support::builder;

/// Seen through the command: `-S inherit-network`, `--trace`, and the options of `hart serve` are these.
const BY_THE_COMMAND: [&str; 23] = [
    "access_log",
    "allow_http",
    "allow_keyvalue",
    "allow_network",
    "body_limit",
    "body_timeout",
    "concurrency",
    "config_value",
    "connections",
    "header_limit",
    "header_timeout",
    "idle_timeout",
    "keyvalue_data",
    "log_prefix",
    "queue",
    "queue_timeout",
    "quiet_errors",
    "request_headers",
    "reuse",
    "server_timing",
    "succeeds",
    "tls",
    "trace",
];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn text(below: &str) -> String {
    let mut files = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join(below),
        &mut files,
    );
    let read = |file| std::fs::read_to_string(file).expect("a source");
    files.into_iter().map(read).collect()
}

/// Hunts a setting that nothing here ever sets.
#[test]
fn every_setting_is_set_by_a_test() {
    let code = text("src");
    let tests = text("tests");
    let settings = code.split("pub fn ").skip(1).filter_map(|function| {
        let (name, rest) = function.split_once('(')?;
        let name = name.split('<').next()?;
        let signature = rest.split('{').next()?;
        let sets = rest.trim_start().starts_with("mut self") && signature.contains("-> Self");
        sets.then_some(name)
    });
    let mut seen = 0;
    for name in settings.filter(|name| !BY_THE_COMMAND.contains(name)) {
        seen += 1;
        assert!(
            tests.contains(&format!(".{name}(")),
            "nothing sets `{name}`"
        );
    }
    assert!(seen > 20, "{seen}");
}

/// `env()` returns the guest's environment.
const ENVIRONMENT: &str = r#"
(component
  (import "wasi:cli/environment@0.2.0" (instance $env
    (export "get-environment" (func (result (list (tuple string string)))))))
  (core module $libc (memory (export "m") 16) (global $p (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local i32)
      (global.set $p (i32.and (i32.add (global.get $p) (i32.const 7)) (i32.const -8)))
      (local.set 4 (global.get $p))
      (global.set $p (i32.add (global.get $p) (local.get 3)))
      (local.get 4)))
  (core instance $libc (instantiate $libc))
  (core func $get (canon lower (func $env "get-environment")
    (memory (core memory $libc "m")) (realloc (core func $libc "realloc"))))
  (core module $m (import "" "get" (func $get (param i32)))
    (func (export "env") (result i32) (call $get (i32.const 16)) (i32.const 16)))
  (core instance $i (instantiate $m (with "" (instance (export "get" (func $get))))))
  (func (export "env") (result (list (tuple string string)))
    (canon lift (core func $i "env") (memory (core memory $libc "m")))))
"#;

/// Fault: a hook that is not called, or whose grants are lost, and an environment that is not inherited.
#[test]
fn grants_of_a_hook_and_of_the_process_arrive() {
    let host = builder().build().expect("a host");
    let component = host.load(ENVIRONMENT.as_bytes()).expect("it loads");
    let run = || host.invoke(&component, "env()").expect("a call");
    let shown = |run: hart_host::RunBuilder| {
        let outcome = run
            .start()
            .expect("it starts")
            .wait()
            .expect("it ends well");
        outcome.to_wave().expect("plain values")
    };
    assert_eq!(shown(run()), "[]");
    let hooked = run().wasi(|context| {
        context.env("BY_A_HOOK", "yes");
    });
    assert_eq!(shown(hooked), r#"[("BY_A_HOOK", "yes")]"#);
    let path = std::env::var("PATH").expect("a path");
    let inherited = shown(run().inherit_env());
    assert!(
        inherited.contains(&format!("(\"PATH\", \"{path}\")")),
        "{inherited}"
    );
}

/// `wasi:cli/run` of both versions: that of 0.3 fails.
fn both(import: &str) -> String {
    format!(
        r#"(component {import}
          (core module $m
            (func (export "well") (result i32) i32.const 0)
            (func (export "badly") (result i32) i32.const 1))
          (core instance $i (instantiate $m))
          (func $well (result (result)) (canon lift (core func $i "well")))
          (func $badly (result (result)) (canon lift (core func $i "badly")))
          (instance (export "wasi:cli/run@0.3.0") (export "run" (func $badly)))
          (instance (export "wasi:cli/run@0.2.6") (export "run" (func $well))))"#
    )
}

/// Fault: the program runs in place of what tests it, and all tests pass.
#[test]
fn of_two_commands_the_one_that_was_asked_for_runs() {
    let host = builder().build().expect("a host");
    let component = host.load(both("").as_bytes()).expect("it loads");
    assert_eq!(
        component.commands(),
        ["wasi:cli/run@0.2.6#run", "wasi:cli/run@0.3.0#run"]
    );
    for (prefer, code) in [(false, 0), (true, 1)] {
        let run = host.command(&component).prefer_wasi03(prefer);
        let outcome = run.start().expect("it starts").wait().expect("it ends");
        assert_eq!(outcome.exit_code, code);
    }
}

/// Fault: imports that components of the other engine get, or none.
#[test]
fn asynchronous_imports_are_for_asynchronous_components() {
    let host = builder()
        .async_imports(|linker| linker.root().func_wrap("answer", |_, ()| Ok((42_u32,))))
        .build()
        .expect("a host");
    let import = r#"(import "answer" (func (result u32)))"#;
    host.load(both(import).as_bytes())
        .expect("it has its import");
    let plain = host.load(format!("(component {import})").as_bytes());
    assert!(
        matches!(plain, Err(LoadError::MissingImport { .. })),
        "{plain:?}"
    );
}

/// Fault: code that was compiled for backtraces with details, or without, and runs where it is the other way.
#[test]
fn details_of_backtraces_are_a_property_of_code() {
    let host = |details| -> Host {
        builder()
            .backtrace_details(details)
            .build()
            .expect("a host")
    };
    let code = host(true).precompile(both("").as_bytes()).expect("code");
    // SAFETY: it was compiled just now, and is unchanged.
    assert!(unsafe { host(true).load_precompiled(&code) }.is_ok());
    // SAFETY: as above.
    assert!(unsafe { host(false).load_precompiled(&code) }.is_err());
}

/// Fault: a name that `Host::call` takes for another function's, or an error that does not say what there is.
#[test]
fn exports_are_called_by_shorter_names() {
    let host = builder().build().expect("a host");
    let text = r#"(component
        (core module $m (func (export "one") (result i32) i32.const 1) (func (export "two") (result i32) i32.const 2))
        (core instance $i (instantiate $m))
        (func $one (result u32) (canon lift (core func $i "one")))
        (func $two (result u32) (canon lift (core func $i "two")))
        (instance (export "a:b/one") (export "f" (func $one)))
        (instance (export "a:b/two@1.0.0") (export "f" (func $two))))"#;
    let component = host.load(text.as_bytes()).expect("it loads");
    for (name, result) in [
        ("a:b/one#f", "1"),
        ("one.f", "1"),
        ("a:b/two.f", "2"),
        ("a:b/two.f@1.0.0", "2"),
    ] {
        let run = host.call(&component, name, Vec::new());
        let outcome = run.start().expect(name).wait().expect(name);
        assert_eq!(outcome.to_wave().expect("a number"), result, "{name}");
    }
    for name in ["f", "g"] {
        let error = host
            .call(&component, name, Vec::new())
            .start()
            .expect_err(name);
        let error = error.to_string();
        assert!(
            error.contains("a:b/one#f") && error.contains("a:b/two@1.0.0#f"),
            "{error}"
        );
    }
}
