//! `hart sim FILE [ARGS..]`: a guest on a simulated machine, deterministic.

mod args;
mod guest;
mod scale;

pub(crate) use args::{SeedRange, SimArgs, seeds};
pub(crate) use guest::quote;

use crate::failure::{Failure, exit_code, to_stderr, to_stdout};
use crate::trace::TraceFile;
use hart_sim::{Config, Failure as Broken, Found, GuestError, GuestOutcome, Schedule, Seeds};
use std::io::IsTerminal;
use std::path::Path;

/// Exit code where an oracle failed.
pub(crate) const ORACLE: u8 = 3;

/// Runs a guest, or a synthetic load, on a simulated machine; returns the exit code.
///
/// # Errors
/// Bad usage, bad input, and whatever ends a guest before it ends by itself.
pub(crate) fn sim(args: &SimArgs) -> Result<u8, Failure> {
    if args.scale.is_some() || args.workload.is_some() {
        return scale::run(args);
    }
    let Some(prepared) = guest::Prepared::new(args)? else {
        return Ok(0);
    };
    match &args.seeds {
        Some(seeds) => explore(args, &prepared, seeds.0.clone()),
        None => once(args, &prepared),
    }
}

impl SimArgs {
    /// The machine that the options describe.
    fn config(&self) -> Config {
        let mut config = Config::new(self.seed);
        config.harts = self.harts.map_or(config.harts, usize::from);
        // A curve is of the scheduler, not of delays that are drawn to find faults.
        let usual = match self.scale {
            Some(_) => Schedule::Time,
            None => config.schedule,
        };
        config.schedule = self.schedule.unwrap_or(usual);
        config.faults = self.faults;
        config.keep_trace = self.trace.is_some() || self.report.is_some();
        config
    }
}

/// One seed.
fn once(args: &SimArgs, prepared: &guest::Prepared) -> Result<u8, Failure> {
    let config = args.config();
    let trace = args.trace.as_deref().map(TraceFile::create).transpose()?;
    let run = prepared.run(|guest| guest.run(&config))?;
    let path = prepared.path();
    if let Ok(outcome) = &run.result {
        guest::write(&outcome.stdout, &outcome.stderr)?;
    }
    for what in &run.depends_on {
        to_stderr(&format!("hart: note: the run depends on {what}\n"));
    }
    pictures(args, prepared, &run, trace)?;
    if args.stats {
        to_stderr(&run.machine.stats.to_string());
    }
    if let Some(broken) = &run.machine.failure {
        return Err(oracle(broken, &prepared.command(args, &config.options())));
    }
    match run.result {
        Ok(outcome) => {
            if args.invoke.is_some() {
                let text = outcome.to_wave().map_err(|error| {
                    Failure::new(
                        1,
                        format!("the result cannot be written in WAVE: {error:#}"),
                    )
                })?;
                to_stdout(&format!("{text}\n"));
            }
            Ok(exit_code(outcome.exit_code))
        }
        Err(error) => Err(crate::run::explain(&error).at(path)),
    }
}

/// Many seeds, until one fails.
fn explore(
    args: &SimArgs,
    prepared: &guest::Prepared,
    range: std::ops::Range<u64>,
) -> Result<u8, Failure> {
    let mut seeds = Seeds::new(range.clone()).faults(args.faults);
    if let Some(harts) = args.harts {
        seeds = seeds.harts(harts.into());
    }
    if let Some(schedule) = args.schedule {
        seeds = seeds.schedule(schedule);
    }
    let shown = std::io::stderr().is_terminal();
    let found = prepared.run(|guest| seeds.explore(guest, |seed| progress(shown, &range, seed)))?;
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
    Err(seed_failed(args, prepared, &found)?)
}

/// A bar of 40 places.
pub(crate) fn progress(shown: bool, range: &std::ops::Range<u64>, seed: u64) {
    let (done, all) = (seed - range.start, range.end - range.start);
    // Drawn for each hundredth, not for each seed.
    if shown && done.is_multiple_of(all.div_ceil(100)) {
        let places = usize::try_from(done * 40 / all).unwrap_or(40);
        to_stderr(&format!("\r[{:<40}] seed {seed}", "#".repeat(places)));
    }
}

/// What is said about the seed, and the exit code: the guest's own where it is the guest that fails.
fn seed_failed(
    args: &SimArgs,
    prepared: &guest::Prepared,
    found: &Found,
) -> Result<Failure, Failure> {
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
    if found.failure.oracle != hart_sim::Oracle::Guest {
        return Ok(Failure::new(
            ORACLE,
            format!(
                "seed {}: oracle {} failed",
                found.config.seed, found.failure.oracle
            ),
        ));
    }
    // Once more, for what it says.
    let run = prepared.run(|guest| guest.run(&found.config))?;
    Ok(match run.result {
        Ok(outcome) => {
            guest::write(&outcome.stdout, &outcome.stderr)?;
            let code = exit_code(outcome.exit_code);
            Failure::new(
                code.max(1),
                format!("seed {}: the guest exits with {code}", found.config.seed),
            )
        }
        Err(error) => crate::run::explain(&error).at(prepared.path()),
    })
}

fn oracle(broken: &Broken, command: &str) -> Failure {
    to_stderr(&broken.to_string());
    to_stderr(&format!("replay: {command}\n"));
    Failure::new(ORACLE, format!("oracle {} failed", broken.oracle))
}

/// `--trace` and `--report`.
fn pictures(
    args: &SimArgs,
    prepared: &guest::Prepared,
    run: &GuestOutcome,
    trace: Option<TraceFile>,
) -> Result<(), Failure> {
    if let Some(file) = trace {
        file.write_with(|file| run.machine.write_chrome_trace(file))?;
    }
    if let Some(path) = &args.report {
        let title = prepared.command(args, &args.config().options());
        save(path, &run.machine.html_report(&title, &run.depends_on))?;
    }
    Ok(())
}

fn save(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::usage(format!("cannot be written: {error}")).at(path))
}

/// Why a guest could not be run.
fn explain(error: &GuestError) -> Failure {
    match error {
        GuestError::Load(error) => crate::load::explain(error),
        GuestError::Start(error) => crate::run::explain(error),
        other => Failure::usage(other),
    }
}
