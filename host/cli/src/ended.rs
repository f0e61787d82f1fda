//! What a guest is called with, and what its end means for the process.

use crate::failure::{self, Failure, USAGE};
use crate::limits;
use crate::output::to_stdout;
use hart_host::{Outcome, RunError};
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The guest's arguments: its program name, by default the file's name, and the rest.
pub(crate) fn guest_arguments(
    path: &Path,
    program: Option<&OsStr>,
    rest: &[OsString],
) -> Result<Vec<String>, Failure> {
    let program = program.unwrap_or(path.file_name().unwrap_or(path.as_os_str()));
    let mut arguments = vec![program.to_string_lossy().into_owned()];
    for argument in rest {
        let Some(argument) = argument.to_str() else {
            return Err(Failure::usage(format!(
                "the argument `{}` is not UTF-8, which guests' arguments have to be; write it otherwise",
                argument.to_string_lossy()
            )));
        };
        arguments.push(argument.to_owned());
    }
    Ok(arguments)
}

/// Prints what an invoked function returned, as WAVE.
pub(crate) fn print_result(outcome: &Outcome) -> Result<(), Failure> {
    let text = outcome.to_wave().map_err(|error| {
        Failure::new(
            1,
            format!("the result cannot be written in WAVE: {error:#}"),
        )
    })?;
    if !text.is_empty() {
        to_stdout(&format!("{}\n", text.trim_end_matches('\n')));
    }
    Ok(())
}

/// The exit code of a guest that has ended by itself.
///
/// # Errors
/// A `run` that returned an error: an exit code of 1 alone would not tell that anything was wrong.
pub(crate) fn exit_code(outcome: &Outcome) -> Result<u8, Failure> {
    let code = failure::exit_code(outcome.exit_code);
    if outcome.returned_error {
        return Err(Failure::new(
            code,
            "its `run` returned an error, such as an uncaught exception; the text of it, if there is one, is in \
             what the program wrote to standard error",
        ));
    }
    Ok(code)
}

/// The host crate's errors with exit codes and options of this program.
pub(crate) fn explain(error: &RunError) -> Failure {
    let code = u8::try_from(error.exit_code()).unwrap_or(1);
    if let Some(limit) = error.limit() {
        return Failure::new(code, limits::explain(limit));
    }
    match error {
        RunError::Trapped { backtrace, .. } if !backtrace.is_empty() => {
            Failure::new(code, error).detail(backtrace.as_str())
        }
        // The guest had not started.
        RunError::Setup(_) => Failure::new(USAGE, error),
        _ => Failure::new(code, error),
    }
}
