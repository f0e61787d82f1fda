//! `--requests FILE`: a service on a simulated machine, and what becomes of the requests that it is sent.

mod read;
mod show;

use super::args::SimArgs;
use super::guest::Prepared;
use super::verdict;
use crate::failure::Failure;
use crate::load;
use crate::output::to_stdout;
use crate::trace::TraceFile;
use hart_sim::{End, Exchange, HttpGuest};
use std::path::Path;

/// Runs it; returns the exit code.
pub(super) fn run(args: &SimArgs, prepared: &Prepared, file: &Path) -> Result<u8, Failure> {
    let text = std::fs::read(file)
        .map_err(|error| Failure::usage(format!("--requests: {}", load::read(&error))).at(file))?;
    let requests = read::requests(&text).map_err(|problem| problem.of(file))?;
    let guest = prepared.guest().clone().serves(requests);
    match &args.seeds {
        Some(seeds) => verdict::explore(args, prepared, &seeds.0, &guest, |found| {
            // Once more, for what it says.
            let guest = guest.clone().show_output(true);
            let run = prepared.explained(guest.run(&found.config))?;
            to_stdout(&show::all(&run.exchanges));
            let seed = found.config.seed;
            Ok(Failure::new(
                1,
                format!("seed {seed}: {}", failed(&run.exchanges)),
            ))
        }),
        None => once(args, prepared, &guest.show_output(true)),
    }
}

/// One seed.
fn once(args: &SimArgs, prepared: &Prepared, guest: &HttpGuest) -> Result<u8, Failure> {
    let trace = args
        .trace
        .as_deref()
        .map(|path| TraceFile::create("--trace", path))
        .transpose()?;
    let run = prepared.explained(guest.run(&args.config()))?;
    to_stdout(&show::all(&run.exchanges));
    verdict::report(args, prepared, &run.machine, &run.depends_on, trace)?;
    match run.exchanges.iter().any(is_failed) {
        true => Err(Failure::new(1, failed(&run.exchanges)).at(prepared.path())),
        false => Ok(0),
    }
}

fn is_failed(exchange: &Exchange) -> bool {
    matches!(exchange.end, End::Failed(_))
}

fn failed(exchanges: &[Exchange]) -> String {
    let failed = exchanges.iter().filter(|exchange| is_failed(exchange));
    format!(
        "the guest failed {} of {} requests",
        failed.count(),
        exchanges.len()
    )
}
