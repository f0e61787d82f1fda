//! New versions under load.

use super::{HELLO, put, until};
use crate::serve::{Server, get};
use crate::support::{Scratch, hart};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Hunts a request that a swap ends or refuses, a version that is not taken, and a broken one that is.
#[test]
fn requests_go_on_while_a_version_is_swapped() {
    let scratch = Scratch::new();
    let file = scratch.path().join("app.wasm");
    put("http-lab", &file);
    let server = Server::start(&[], &file.to_string_lossy());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let long = scope.spawn(|| server.ask(&get("/sleep/3000")));
        // Until it runs: its instance has had a request.
        until("the old version", || server.text("/hello") == "hello");
        let asks = scope.spawn(|| {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                let said = server.text("/hello");
                assert!(said == "hello" || said == HELLO, "{said}");
                count += 1;
            }
            count
        });
        put("hello-http", &file);
        server.signal(libc::SIGHUP);
        until("the new version", || server.text("/hello") == HELLO);
        // It began with the old one.
        assert_eq!(long.join().unwrap().text(), "slept");
        stop.store(true, Ordering::Relaxed);
        assert!(asks.join().unwrap() > 0);
    });
    // It loads, and traps before it is ready.
    scratch.write(
        "app.wasm",
        "(component (core module $m (func $f unreachable) (start $f)) (core instance (instantiate $m)))",
    );
    server.signal(libc::SIGHUP);
    assert_eq!(server.text("/hello"), HELLO);
    put("http-lab", &file);
    server.signal(libc::SIGHUP);
    until("the next version", || server.text("/hello") == "hello");
    server.signal(libc::SIGTERM);
    let (code, _, said) = server.wait();
    assert_eq!(code, Some(0), "{said}");
}

/// A component that loads and has all that a service has, and traps before its instance is ready: the guest of this name,
/// with one more module, whose start function traps.
pub(crate) fn trapper(guest: &str) -> Vec<u8> {
    let mut component = std::fs::read(hart_build::guest(guest)).unwrap();
    let payloads = wasmparser::Parser::new(0).parse_all(&component);
    let mut depth = 0;
    let mut modules = 0;
    for payload in payloads {
        match payload.unwrap() {
            wasmparser::Payload::ModuleSection { .. } => {
                modules += u8::from(depth == 0);
                depth += 1;
            }
            wasmparser::Payload::ComponentSection { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth -= 1,
            _ => {}
        }
    }
    let module = wat::parse_str("(module (func $f unreachable) (start $f))").unwrap();
    // The module, and an instance of it without arguments.
    component.extend([1, u8::try_from(module.len()).unwrap()]);
    component.extend(module);
    component.extend([2, 4, 1, 0, modules, 0]);
    component
}

/// Hunts a version that is taken although none of its requests could be answered, and one that is served from the start.
#[test]
fn a_component_that_traps_when_it_starts_is_not_served() {
    let scratch = Scratch::new();
    let component = scratch.path().join("app.wasm");
    put("http-lab", &component);
    put("http-lab", &scratch.path().join("lab.wasm"));
    let config = |version: &str| {
        format!(
            "[[app]]\nname = \"a\"\ncomponent = \"app.wasm\"\n[[app]]\nname = \"b\"\ncomponent = \"lab.wasm\"\n\
             path = \"/quiet\"\nenv = {{ VERSION = \"{version}\" }}\n"
        )
    };
    let file = scratch.write("hart.toml", config("1"));
    let name = file.to_string_lossy();
    let server = Server::start(&[], &name);
    scratch.write("app.wasm", trapper("http-lab"));
    scratch.write("hart.toml", config("2"));
    server.signal(libc::SIGHUP);
    until("the other app", || server.text("/quiet/env/VERSION") == "2");
    assert_eq!(server.text("/hello"), "hello");
    for option in ["--addr=127.0.0.1:0", "--check"] {
        let ended = hart(["serve", option, &name]);
        assert_ne!(ended.code(), 0, "{ended:#?}");
        assert!(ended.stderr.contains("unreachable"), "{ended:#?}");
    }
    server.signal(libc::SIGTERM);
    let (_, _, said) = server.wait();
    let told = |line: &str| line.contains("`a` stays as it was") && line.contains("unreachable");
    assert!(said.lines().any(told), "{said}");
}

/// Hunts a change that is not seen, a broken version that is taken or not told, and apps that come and go unnoticed.
#[test]
pub(crate) fn a_file_that_changes_is_loaded() {
    let scratch = Scratch::new();
    let component = scratch.path().join("app.wasm");
    put("hello-http", &component);
    put("http-lab", &scratch.path().join("lab.wasm"));
    let app = "[[app]]\nname = \"a\"\ncomponent = \"app.wasm\"\n";
    let file = scratch.write("hart.toml", app);
    let server = Server::start(&["--watch"], &file.to_string_lossy());
    assert_eq!(server.text("/hello"), HELLO);
    put("http-lab", &component);
    until("the new component", || server.text("/hello") == "hello");
    let more = "[[app]]\nname = \"b\"\ncomponent = \"lab.wasm\"\npath = \"/quiet\"\nenv = { WHO = \"b\" }\n";
    scratch.write("hart.toml", format!("{app}{more}"));
    until("the new app", || server.text("/quiet/env/WHO") == "b");
    scratch.write("app.wasm", "no component");
    scratch.write("hart.toml", app);
    until("its end", || server.text("/quiet/env/WHO").is_empty());
    assert_eq!(server.text("/hello"), "hello");
    server.signal(libc::SIGTERM);
    let (_, _, said) = server.wait();
    let told =
        |line: &&str| line.contains("the app `a` stays as it was") && line.contains("app.wasm");
    assert!(said.lines().any(|line| told(&line)), "{said}");
}
