//! What a run leaves to be done: a process of its own makes the optimized code that the run did not wait for.
//!
//! The next start finds that in the cache. Without such a process, a program that ends sooner than it is compiled would
//! run baseline code for ever. It has the lowest priority and half of the cores, and there is one for each entry of the
//! cache: others wait for it, and find what it has made.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use hart_host::Component;

/// Set for such a process, to anything. It is called like the run that it works for.
const VARIABLE: &str = "HART_ONLY_COMPILE";

/// Whether this is such a process.
pub(crate) fn only_compiles() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// Starts one for what `path` had in it, if it is needed. Nobody waits for it.
pub(crate) fn compile(path: &Path, component: &Component) {
    // What came through a pipe is not there any more.
    let is_there = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    if !component.is_baseline() || !is_there {
        return;
    }
    let Ok(program) = env::current_exe() else {
        return;
    };
    let started = Command::new(program)
        .args(env::args_os().skip(1))
        .env(VARIABLE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C is not for it.
        .process_group(0)
        .spawn();
    // Where there is none, the next run tries again.
    drop(started);
}
