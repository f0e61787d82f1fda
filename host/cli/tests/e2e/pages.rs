//! What hart says of guests and of itself: `inspect`, `completions`, `man`, `--version`.

use crate::support::{Scratch, hart};
use std::ffi::OsStr;

/// Hunts an import or export that is not listed, and a guest that is said to need what it does not.
#[test]
fn a_guest_is_inspected() {
    let scratch = Scratch::new();
    let said = |name: &str, text: &str| {
        let file = scratch.write(name, text);
        hart([OsStr::new("inspect"), file.as_os_str()])
            .exits(0)
            .stdout
    };
    let component = said(
        "component.wat",
        r#"(component
            (import "acme:store/api" (instance))
            (import "wasi:keyvalue/store@0.2.0-draft" (instance))
            (import "hart:exec/tasks@0.1.0" (instance))
            (import "wasi:cli/stdin@0.3.0" (instance))
            (core module $m (memory 32) (table 3 funcref) (func (export "f")))
            (core instance $i (instantiate $m))
            (func (export "go") (canon lift (core func $i "f"))))"#,
    );
    for line in [
        "spawns tasks   yes",
        "async          yes",
        "memories       1, the largest begins with 2MiB",
        "tables         1",
        "  acme:store/api\n      no: compose it",
        "  wasi:keyvalue/store@0.2.0-draft\n      no: -S keyvalue allows it",
        "  hart:exec/tasks@0.1.0\n      yes: it may spawn tasks",
        "  go\n      hart --invoke\n",
    ] {
        assert!(component.contains(line), "{line}: {component}");
    }
    let module = said(
        "module.wat",
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
            (func (export "_start")) (func (export "add_one") (param i32)))"#,
    );
    for line in [
        "a core module",
        "spawns tasks   no",
        "async          no",
        "  wasi:cli/exit@0.2.12\n      yes\n",
        "  add_one\n",
        "hart FILE",
    ] {
        assert!(module.contains(line), "{line}: {module}");
    }
    let file = scratch.write("bad.wasm", b"\0asm");
    let ended = hart([OsStr::new("inspect"), file.as_os_str()]).exits(2);
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:#?}");
}

/// Hunts completions and pages that lack a subcommand or an option.
#[test]
fn completions_and_pages_know_every_subcommand() {
    let scratch = Scratch::new();
    for (shell, mark) in [
        ("bash", "complete -F _hart"),
        ("zsh", "#compdef hart"),
        ("fish", "complete -c hart"),
    ] {
        let text = hart(["completions", shell]).exits(0).stdout;
        assert!(text.contains(mark), "{shell}: {text:.500}");
        for word in ["serve", "inspect", "completions", "memory-reserve", "argv0"] {
            assert!(text.contains(word), "{shell} {word}");
        }
    }
    hart(["completions", "sh"]).exits(2);
    let page = hart(["man"]).exits(0).stdout;
    assert!(
        page.contains(".TH hart 1") && page.contains("inspect"),
        "{page}"
    );
    hart([OsStr::new("man"), scratch.path().as_os_str()]).exits(0);
    for (name, word) in [
        ("hart", "serve"),
        ("hart-run", "invoke"),
        ("hart-serve", "addr"),
    ] {
        let text = std::fs::read_to_string(scratch.path().join(format!("{name}.1"))).unwrap();
        assert!(text.contains(word), "{name}: {text}");
    }
    let missing = scratch.path().join("missing");
    let ended = hart([OsStr::new("man"), missing.as_os_str()]).exits(2);
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:#?}");
}

/// Hunts a version that does not say which wasmtime is in it.
#[test]
fn the_version_says_what_is_in_it() {
    let version = env!("CARGO_PKG_VERSION");
    let long = hart(["--version"]).exits(0).stdout;
    assert!(
        long.starts_with(&format!("hart {version} (wasmtime 48.0.")),
        "{long}"
    );
    assert!(
        long.contains("core modules") && long.contains("keyvalue"),
        "{long}"
    );
    assert_eq!(
        hart(["-V"]).exits(0).stdout.lines().next(),
        long.lines().next()
    );
}
