//! What is said of a machine: pictures, the promise that was broken, the seed that fails.

use super::args::SimArgs;
use super::guest::Prepared;
use super::output::save;
use crate::failure::Failure;
use crate::output::{to_stderr, to_stdout};
use crate::simulation::{ORACLE, progress};
use crate::trace::TraceFile;
use hart_sim::{Failure as Broken, Found, Oracle, Outcome, Seeds, Simulated};
use std::io::IsTerminal;
use std::ops::Range;

/// Everything that is said of one run, except for what the guest says; the promise that was broken, if one was.
pub(super) fn report(
    args: &SimArgs,
    prepared: &Prepared,
    machine: &Outcome,
    depends_on: &[String],
    trace: Option<TraceFile>,
) -> Result<(), Failure> {
    for what in depends_on {
        to_stderr(&format!("hart: note: the run depends on {what}\n"));
    }
    if let Some(file) = trace {
        file.write_with(|file| machine.write_chrome_trace(file))?;
    }
    let options = args.config().options();
    if let Some(path) = &args.report {
        let title = prepared.command(args, &options);
        save(path, &machine.html_report(&title, depends_on))?;
    }
    if args.stats {
        to_stderr(&machine.stats.to_string());
    }
    match &machine.failure {
        Some(broken) => Err(oracle(broken, &prepared.command(args, &options))),
        None => Ok(()),
    }
}

fn oracle(broken: &Broken, command: &str) -> Failure {
    to_stderr(&broken.to_string());
    to_stderr(&format!("replay: {command}\n"));
    Failure::new(ORACLE, format!("oracle {} failed", broken.oracle))
}

/// Many seeds, until one fails. If it is the guest that fails, `again` runs it once more, for what it says.
pub(super) fn explore(
    args: &SimArgs,
    prepared: &Prepared,
    range: &Range<u64>,
    guest: &impl Simulated,
    again: impl FnOnce(&Found) -> Result<Failure, Failure>,
) -> Result<u8, Failure> {
    let mut seeds = Seeds::new(range.clone()).faults(args.faults);
    if let Some(harts) = args.harts {
        seeds = seeds.harts(harts.into());
    }
    if let Some(schedule) = args.schedule {
        seeds = seeds.schedule(schedule);
    }
    let shown = std::io::stderr().is_terminal();
    let found = prepared.explained(seeds.explore(guest, |seed| progress(shown, range, seed)))?;
    if shown {
        to_stderr("\r\x1b[K");
    }
    let Some(found) = found else {
        let count = range.end - range.start;
        to_stdout(&format!(
            "{count} seeds: no oracle failed, and the guest held up\n"
        ));
        return Ok(0);
    };
    to_stderr(&format!("seed {}: {}", found.config.seed, found.failure));
    let command = prepared.command(args, &found.options());
    to_stderr(&format!("replay: {command}\n"));
    if found.options() != found.smaller_options() {
        to_stderr(&format!("\na smaller machine: {}", found.smaller_failure));
        to_stderr(&format!(
            "replay: {}\n",
            prepared.command(args, &found.smaller_options())
        ));
    }
    Err(match found.failure.oracle {
        Oracle::Guest | Oracle::Answered => again(&found)?,
        oracle => Failure::new(
            ORACLE,
            format!("seed {}: oracle {oracle} failed", found.config.seed),
        ),
    })
}
