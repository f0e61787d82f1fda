//! `hart sim FILE [ARGS..]`: a guest on a simulated machine, deterministic.

mod args;
mod guest;
mod output;
mod scale;

pub(crate) use args::SimArgs;

use crate::ended;
use crate::failure::{Failure, exit_code};
use crate::output::{to_stderr, to_stdout};
use crate::simulation::{ORACLE, progress};
use crate::trace::TraceFile;
use hart_sim::{Failure as Broken, Found, GuestOutcome, Seeds};
use output::{save, write};
use std::io::IsTerminal;

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

/// One seed.
fn once(args: &SimArgs, prepared: &guest::Prepared) -> Result<u8, Failure> {
    let config = args.config();
    let trace = args.trace.as_deref().map(TraceFile::create).transpose()?;
    let run = prepared.run(|guest| guest.run(&config))?;
    let path = prepared.path();
    if let Ok(outcome) = &run.result {
        write(&outcome.stdout, &outcome.stderr)?;
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
                ended::print_result(&outcome)?;
            }
            ended::exit_code(&outcome).map_err(|failure| failure.at(path))
        }
        Err(error) => Err(ended::explain(&error).at(path)),
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
            write(&outcome.stdout, &outcome.stderr)?;
            let code = exit_code(outcome.exit_code);
            Failure::new(
                code.max(1),
                format!("seed {}: the guest exits with {code}", found.config.seed),
            )
        }
        Err(error) => ended::explain(&error).at(prepared.path()),
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
