//! `hart sim FILE [ARGS..]`: a guest on a simulated machine, deterministic.

mod args;
mod from;
mod guest;
mod output;
mod requests;
mod scale;
mod verdict;

pub(crate) use args::SimArgs;

use crate::ended;
use crate::failure::{Failure, exit_code};
use crate::trace::TraceFile;
use hart_sim::Found;
use output::write;

/// Runs a guest, or a synthetic load, on a simulated machine; returns the exit code.
///
/// # Errors
/// Bad usage, bad input, and whatever ends a guest before it ends by itself.
pub(crate) fn sim(args: &SimArgs) -> Result<u8, Failure> {
    if let Some(file) = &args.from {
        return from::run(args, file);
    }
    if args.scale.is_some() || args.workload.is_some() {
        return scale::run(args);
    }
    let Some(prepared) = guest::Prepared::new(args)? else {
        return Ok(0);
    };
    if let Some(file) = &args.requests {
        return requests::run(args, &prepared, file);
    }
    match &args.seeds {
        Some(seeds) => verdict::explore(args, &prepared, &seeds.0, prepared.guest(), |found| {
            again(&prepared, found)
        }),
        None => once(args, &prepared),
    }
}

/// One seed.
fn once(args: &SimArgs, prepared: &guest::Prepared) -> Result<u8, Failure> {
    let trace = args
        .trace
        .as_deref()
        .map(|path| TraceFile::create("--trace", path))
        .transpose()?;
    let run = prepared.explained(prepared.guest().run(&args.config()))?;
    if let Ok(outcome) = &run.result {
        write(&outcome.stdout, &outcome.stderr)?;
    }
    verdict::report(args, prepared, &run.machine, &run.depends_on, trace)?;
    let path = prepared.path();
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

/// The seed that fails once more, for what the guest says; the exit code is its own.
fn again(prepared: &guest::Prepared, found: &Found) -> Result<Failure, Failure> {
    let run = prepared.explained(prepared.guest().run(&found.config))?;
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
