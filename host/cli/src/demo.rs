//! `hart demo`: what hart does, shown on the reader's own machine.

mod guest;
mod sides;
mod table;

use crate::failure::Failure;
use crate::output::to_stdout;
use crate::scheduling::workers;
use crate::units;
use clap::{Args, Subcommand};
use guest::Pace;
use sides::{Crowd, Side};
use std::num::NonZeroUsize;
use std::thread;
use std::time::{Duration, Instant};
use table::Table;

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    #[command(subcommand)]
    pub(crate) demo: Demo,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Demo {
    /// How late guests respond while other guests spin, under hart and under tokio with wasmtime
    Noisy(NoisyArgs),
}

#[derive(Args, Debug)]
pub(crate) struct NoisyArgs {
    /// Duration of the demo, for both sides together
    #[arg(long, value_name = "D", default_value = "20s", value_parser = units::positive_duration)]
    pub(crate) time: Duration,

    /// Guests that wake every 20 ms and work for 70 us
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) guests: u32,

    /// Guests that spin
    #[arg(long, value_name = "N", default_value = "128", value_parser = clap::value_parser!(u32).range(0..=2000))]
    pub(crate) spinners: u32,

    /// Threads that run guests [default: one per core]
    #[arg(long, value_name = "N", value_parser = workers)]
    pub(crate) workers: Option<NonZeroUsize>,
}

/// How often the interactive guests wake, and what they do then: 0.35 % of a core each.
const REST: Duration = Duration::from_millis(20);
const WORK: Duration = Duration::from_micros(70);

/// Between two looks at how it goes.
const REFRESH: Duration = Duration::from_millis(500);

/// Shows what was asked for.
///
/// # Errors
/// If it cannot run here.
pub(crate) fn demo(args: &DemoArgs) -> Result<u8, Failure> {
    match &args.demo {
        Demo::Noisy(args) => noisy(args),
    }
}

/// Interactive guests beside guests that spin, under hart and then under tokio with wasmtime.
fn noisy(args: &NoisyArgs) -> Result<u8, Failure> {
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
