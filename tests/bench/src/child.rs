//! Parts of a suite that need a process of their own: what they measure is the process, or may end it.

use std::{
    ffi::{OsStr, OsString},
    process::Command,
};

/// This program, doing `part` alone: `main` knows the parts.
pub(crate) fn command(part: &str, argument: &OsStr) -> Command {
    let this = std::env::current_exe().expect("this program has a path");
    let mut what = OsString::from(format!("{part}:"));
    what.push(argument);
    let mut command = Command::new(this);
    command.arg("--child").arg(what);
    command
}
