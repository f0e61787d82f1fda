//! New versions under load.

use super::{HELLO, put, until};
use crate::serve::{Server, get};
use crate::support::Scratch;
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
