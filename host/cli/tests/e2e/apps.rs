//! `hart serve` as a server of many apps: its file, TLS, the access log, swaps under load, the admin socket.

pub(crate) mod admin;
pub(crate) mod config;
pub(crate) mod log;
pub(crate) mod swap;
pub(crate) mod tls;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before it counts as hanging: far more than it needs on a busy machine.
const GUARD: Duration = Duration::from_secs(120);

/// The guest that greets.
const HELLO: &str = "Hello from hart";

/// Puts the component of a guest at `path`, as a deployment does: all of it at once.
fn put(guest: &str, path: &Path) {
    let new = path.with_extension("new");
    std::fs::copy(hart_build::guest(guest), &new).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// Waits until `holds`.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < GUARD, "it never comes: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A file's text, if it is there.
fn text_of(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
