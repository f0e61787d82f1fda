//! `hart wast FILES..`: component test scripts, on hart's own scheduler.

mod instance;
mod script;
mod values;

use crate::args::WastArgs;
use crate::failure::{Failure, USAGE, one_line, to_stderr, to_stdout};
use crate::{limits, load, scheduling};
use hart_host::Cache;

/// Runs every script. Prints a line for each, what failed in it to standard error, and a closing
/// line; returns the exit code.
///
/// # Errors
/// Bad usage. A script that cannot be read is reported in its line, and the others still run.
pub(crate) fn wast(args: &WastArgs) -> Result<u8, Failure> {
    let Some(limits) = limits::limits(&args.limits)? else {
        return Ok(0);
    };
    // What scripts contain is compiled once, so a cache would only grow.
    let host = scheduling::host(&args.scheduling, limits, Cache::Off)?;
    let (mut passed, mut failed, mut unread) = (0, 0, 0);
    for path in &args.files {
        let shown = one_line(&path.display().to_string());
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                unread += 1;
                failed += 1;
                to_stderr(&format!("{shown}: {}\n", one_line(&load::read(&error))));
                to_stdout(&format!("{shown}: not read\n"));
                continue;
            }
        };
        let verdict = script::run(&host, limits, path, &text);
        let count = verdict.directives;
        if verdict.failures.is_empty() {
            passed += 1;
            to_stdout(&format!("{shown}: ok, {count} directives\n"));
        } else {
            failed += 1;
            for failure in &verdict.failures {
                to_stderr(&format!("{failure}\n"));
            }
            let failures = verdict.failures.len();
            to_stdout(&format!(
                "{shown}: FAILED, {failures} of {count} directives\n"
            ));
        }
    }
    to_stdout(&format!("{passed} passed, {failed} failed\n"));
    Ok(match (unread, failed) {
        (0, 0) => 0,
        (0, _) => 1,
        _ => USAGE,
    })
}
