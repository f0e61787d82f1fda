//! Parts of a suite that need a process of their own: what they measure is the process, or may end it.

use std::{
    ffi::{OsStr, OsString},
    process::Command,
};

use crate::suites::{concurrent, density, startup};

/// This program, doing `part` alone.
pub(crate) fn command(part: &str, argument: &OsStr) -> Command {
    let this = std::env::current_exe().expect("this program has a path");
    let mut what = OsString::from(format!("{part}:"));
    what.push(argument);
    let mut command = Command::new(this);
    command.arg("--child").arg(what);
    command
}

/// Does the part that [`command`] named.
pub(crate) fn run(what: &str) {
    let (part, argument) = what.split_once(':').expect("`command` wrote it");
    match part {
        "startup" => startup::peer(argument),
        "async" => concurrent::memory::child(argument),
        "density" => density::child(argument),
        part => unreachable!("there is no part {part}"),
    }
}
