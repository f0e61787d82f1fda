//! `hart demo`: what hart does, shown on the reader's own machine.

mod guest;
mod sides;
mod table;

use crate::args::NoisyArgs;
use crate::failure::{Failure, to_stdout};
use guest::Pace;
use sides::{Crowd, Side};
use std::thread;
use std::time::{Duration, Instant};
use table::Table;

/// How often the interactive guests wake, and what they do then: 0.35 % of a core each.
const REST: Duration = Duration::from_millis(20);
const WORK: Duration = Duration::from_micros(70);

/// Between two looks at how it goes.
const REFRESH: Duration = Duration::from_millis(500);

/// Interactive guests beside guests that spin, under hart and then under tokio with wasmtime.
pub(crate) fn noisy(args: &NoisyArgs) -> Result<u8, Failure> {
    let workers = match args.workers {
        Some(workers) => workers.get(),
        None => thread::available_parallelism().map_or(1, usize::from),
    };
    let crowd = Crowd {
        workers,
        guests: args.guests,
        spinners: args.spinners,
        rest: REST,
        work: WORK,
        pace: Pace::measure().map_err(failed)?,
    };
    to_stdout(&format!(
        "{} guests wake every 20 ms for 70 us of work, beside {} that spin, on {workers} workers.\n\
         A response is the time from when the work was due to when it was done.\n\n",
        crowd.guests, crowd.spinners,
    ));
    let mut table = Table::start();
    for kind in sides::KINDS {
        let side = Side::start(kind, crowd).map_err(failed)?;
        let until = Instant::now() + args.time / sides::KINDS.len() as u32;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            table.show(kind.name(), &side.figures(), left.is_zero());
            if left.is_zero() {
                break;
            }
            thread::sleep(REFRESH.min(left));
        }
        side.stop();
    }
    Ok(0)
}

fn failed(error: wasmtime::Error) -> Failure {
    Failure::new(1, format!("the demonstration cannot run here: {error:#}"))
}
