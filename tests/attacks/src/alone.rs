//! Runs each test in a process of its own.

use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Set in a process that was started for one test.
const MARK: &str = "HART_ATTACKS_ALONE";

/// Tests run one at a time, so that one attack does not slow another down.
static ONE: Mutex<()> = Mutex::new(());

/// Runs `body` in a process that runs nothing else. `body` is a closure in a test function.
///
/// # Panics
///
/// If it does not pass there; the message has its output.
pub fn alone<F: FnOnce()>(body: F) {
    if std::env::var_os(MARK).is_some() {
        return body();
    }
    let name = test_of(std::any::type_name::<F>());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let ended = Command::new(std::env::current_exe().expect("this program has a path"))
        .args(["--exact", name, "--nocapture"])
        .env(MARK, "1")
        .output()
        .expect("this program can be started again");
    let said = String::from_utf8_lossy(&ended.stdout);
    let complained = String::from_utf8_lossy(&ended.stderr);
    assert!(
        ended.status.success() && said.contains("1 passed"),
        "{name}: {}\n{said}\n{complained}",
        ended.status
    );
    print!("{said}");
}

/// The test's name in libtest, from the type name of a closure in it: the path without the crate.
fn test_of(closure: &str) -> &str {
    let path = closure.split_once("::").map_or(closure, |(_, path)| path);
    path.split_once("::{{closure}}")
        .map_or(path, |(name, _)| name)
}
