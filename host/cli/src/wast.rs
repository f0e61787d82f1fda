//! `hart wast FILES..`: component test scripts, on hart's own scheduler or on a simulated machine.

mod ground;
mod instance;
mod script;
mod simulated;
mod values;

use crate::args::WastArgs;
use crate::failure::{Failure, USAGE, one_line, to_stderr, to_stdout};
use crate::{limits, load, scheduling};
use ground::Ground;
use hart_host::Cache;
use script::Verdict;
use std::path::Path;

/// Exit code where a script failed.
const FAILED: u8 = 1;

/// Runs every script. Prints a line for each, what failed in it to standard error, and a closing
/// line; returns the exit code.
///
/// # Errors
/// Bad usage. A script that cannot be read is reported in its line, and the others still run.
pub(crate) fn wast(args: &WastArgs) -> Result<u8, Failure> {
    let Some(limits) = limits::limits(&args.limits)? else {
        return Ok(0);
    };
    if args.sim {
        let machines = simulated::Machines::new(args, limits)?;
        return Ok(all(&args.files, |path, shown, text| {
            machines.script(path, shown, text)
        }));
    }
    // What scripts contain is compiled once, so a cache would only grow.
    let host = scheduling::host(&args.scheduling, limits, |builder| {
        builder.cache(Cache::Off)
    })?;
    let ground = Ground::Workers(host);
    Ok(all(&args.files, |path, shown, text| {
        let verdict = script::run(&ground, limits, path, text);
        report(shown, &verdict, "")
    }))
}

/// Reads each file and has `script` run it, which tells what came of it; counts those, and returns the
/// worst exit code.
fn all(files: &[std::path::PathBuf], mut script: impl FnMut(&Path, &str, &str) -> u8) -> u8 {
    let (mut passed, mut worst) = (0, 0);
    for path in files {
        let shown = one_line(&path.display().to_string());
        let code = match std::fs::read_to_string(path) {
            Ok(text) => script(path, &shown, &text),
            Err(error) => {
                to_stderr(&format!("{shown}: {}\n", one_line(&load::read(&error))));
                to_stdout(&format!("{shown}: not read\n"));
                USAGE
            }
        };
        passed += usize::from(code == 0);
        worst = worst.max(code);
    }
    to_stdout(&format!(
        "{passed} passed, {} failed\n",
        files.len() - passed
    ));
    worst
}

/// Tells what came of a script.
fn report(shown: &str, verdict: &Verdict, under: &str) -> u8 {
    let count = verdict.directives;
    if verdict.failures.is_empty() {
        to_stdout(&format!("{shown}: ok, {count} directives{under}\n"));
        return 0;
    }
    for failure in &verdict.failures {
        to_stderr(&format!("{failure}\n"));
    }
    let failures = verdict.failures.len();
    to_stdout(&format!(
        "{shown}: FAILED, {failures} of {count} directives{under}\n"
    ));
    FAILED
}
