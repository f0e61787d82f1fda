//! `hart wit`: the contract for guests, with what it depends on and a world for commands.

use crate::failure::Failure;
use crate::output::to_stdout;
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  hart wit                                  prints the contract
  hart wit wit                              writes it into the directory wit of a project";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WitArgs {
    /// Write the packages here instead, with the world `command` and all that it depends on
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

/// The contract itself.
const CONTRACT: [(&str, &str); 2] = [
    (
        "tasks.wit",
        include_str!("../sdk/guest/sdk/wit/exec/tasks.wit"),
    ),
    (
        "tasks-async.wit",
        include_str!("../sdk/guest/sdk/wit/exec/tasks-async.wit"),
    ),
];

/// What goes with it into a project.
const MORE: [(&str, &str); 3] = [
    ("command.wit", include_str!("../wit/command.wit")),
    ("deps/cli/run.wit", include_str!("../wit/run.wit")),
    (
        "deps/io/poll.wit",
        include_str!("../sdk/guest/sdk/wit/exec/deps/io/poll.wit"),
    ),
];

/// The files of the package and of its dependencies, by their paths.
pub(crate) fn files() -> impl Iterator<Item = (&'static str, &'static str)> {
    CONTRACT.into_iter().chain(MORE)
}

/// Prints the contract, or writes it.
///
/// # Errors
/// A file that exists and is another one, or that cannot be written.
pub(crate) fn wit(args: &WitArgs) -> Result<(), Failure> {
    let Some(directory) = &args.directory else {
        for (path, text) in CONTRACT {
            to_stdout(&format!("// {path}\n{text}\n"));
        }
        return Ok(());
    };
    for (path, text) in files() {
        let path = directory.join(path);
        // What somebody has written there is not lost.
        if fs::read_to_string(&path).is_ok_and(|found| found != text) {
            return Err(Failure::usage("exists, and is another file; remove it first").at(&path));
        }
    }
    for (path, text) in files() {
        write(&directory.join(path), text)?;
    }
    to_stdout(&format!(
        "Wrote hart:exec with its dependencies into {}. A command is of the world hart:exec/command.\n",
        directory.display()
    ));
    Ok(())
}

/// Writes a file, and makes the directories above it.
///
/// # Errors
/// Whatever keeps it from being written.
pub(crate) fn write(path: &Path, content: &str) -> Result<(), Failure> {
    let written = match path.parent() {
        Some(parent) => fs::create_dir_all(parent),
        None => Ok(()),
    }
    .and_then(|()| fs::write(path, content));
    written.map_err(|error| Failure::usage(format!("cannot write it: {error}")).at(path))
}
