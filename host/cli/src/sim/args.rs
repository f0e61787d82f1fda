//! The command line of `hart sim`.

use crate::args::LimitArgs;
use clap::Args;
use hart_sim::{Faults, MAX_HARTS, Schedule, Workload};
use std::ffi::OsString;
use std::ops::Range;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  hart sim --harts 8 --stats app.wasm one          one run on 8 virtual cores
  hart sim --seeds 0..1000 app.wasm                a thousand orders of events; stops at the first bad one
  hart sim --seeds 0..1000 --faults heavy app.wasm and with everything going wrong that can
  hart sim --seed 42 --report run.html app.wasm    what happened, as a page to look at
  hart sim --scale 1,2,4,...,64 app.wasm           how far the scheduler alone would take it

The same build, component, input, seed and options give the same output, trace and statistics, byte for
byte. Clocks, sleeps and random numbers are the machine's; there is no network.

Exit codes: 0; the guest's own; 3 where an oracle failed: a promise of the scheduler was broken; 2 on bad
usage or bad input.";

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES, override_usage = "hart sim [OPTIONS] FILE [ARGS]...")]
pub(crate) struct SimArgs {
    /// Virtual cores, 1 to 1024 [default: 4; with --seeds: drawn from each seed]
    #[arg(long, value_name = "N", value_parser = harts, help_heading = "Machine")]
    pub(crate) harts: Option<u16>,

    /// What everything random comes from
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        conflicts_with = "seeds",
        help_heading = "Machine"
    )]
    pub(crate) seed: u64,

    /// Seeds to run, until one fails
    #[arg(long, value_name = "A..B", value_parser = seeds, help_heading = "Machine")]
    pub(crate) seeds: Option<SeedRange>,

    /// What goes wrong: none, light, heavy, or names such as `stall,late,cancel`
    #[arg(
        long,
        value_name = "KINDS",
        default_value = "none",
        help_heading = "Machine"
    )]
    pub(crate) faults: Faults,

    /// Which core goes on next: random, pct, pct:BOUND, round-robin or time [default: random; with --seeds
    /// drawn from each seed; with --scale time]
    #[arg(long, value_name = "POLICY", help_heading = "Machine")]
    pub(crate) schedule: Option<Schedule>,

    /// Units of fuel between two preemption points
    #[arg(long, value_name = "FUEL", default_value_t = hart_sim::SLICE, value_parser = clap::value_parser!(u64).range(1..), help_heading = "Machine")]
    pub(crate) slice: u64,

    /// Places in the pool of instances
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000), help_heading = "Machine")]
    pub(crate) instances: u32,

    /// Write what happened as a Chrome trace (JSON), which Perfetto opens
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "seeds",
        help_heading = "What comes out"
    )]
    pub(crate) trace: Option<PathBuf>,

    /// Write what happened as a page of HTML that needs nothing else
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "seeds",
        help_heading = "What comes out"
    )]
    pub(crate) report: Option<PathBuf>,

    /// At exit, write what each virtual core did to standard error
    #[arg(long, help_heading = "What comes out")]
    pub(crate) stats: bool,

    /// Run on machines with so many cores each, `1,2,4,...,64`, and print makespan and speed-up
    #[arg(long, value_name = "LIST", value_parser = scale, conflicts_with_all = ["seeds", "trace", "report"], help_heading = "What comes out")]
    pub(crate) scale: Option<ScaleList>,

    /// With --scale: write the curve as a picture (SVG)
    #[arg(
        long,
        value_name = "FILE",
        requires = "scale",
        help_heading = "What comes out"
    )]
    pub(crate) svg: Option<PathBuf>,

    /// A synthetic load instead of FILE, such as `fork:2000` (also tree, skew, burst)
    #[arg(long, value_name = "LOAD", conflicts_with_all = ["seeds", "trace", "report", "file_and_args"], help_heading = "What runs")]
    pub(crate) workload: Option<Workload>,

    /// A real directory the guest may read, `HOST[::GUEST]`; the run depends on what is in it
    #[arg(long = "dir", value_name = "HOST[::GUEST]", help_heading = "What runs")]
    pub(crate) dirs: Vec<OsString>,

    /// A directory under this name that is empty at the start and gone at the end, to read and write
    #[arg(long, value_name = "GUEST", help_heading = "What runs")]
    pub(crate) scratch: Option<String>,

    /// An environment variable; there are no others
    #[arg(long = "env", value_name = "K=V", help_heading = "What runs")]
    pub(crate) envs: Vec<String>,

    /// The guest's standard input, which is empty else
    #[arg(long, value_name = "FILE", help_heading = "What runs")]
    pub(crate) stdin: Option<PathBuf>,

    /// As of `hart run`; the network and the environment of hart itself are refused
    #[arg(
        short = 'S',
        long = "wasi",
        value_name = "KEY",
        help_heading = "What runs"
    )]
    pub(crate) wasi: Vec<String>,

    /// Call an exported function, written in WAVE, instead of `run`; its result is printed
    #[arg(
        long,
        value_name = "F(ARGS)",
        allow_hyphen_values = true,
        help_heading = "What runs"
    )]
    pub(crate) invoke: Option<String>,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    /// The component, and then what it gets as its arguments
    #[arg(value_name = "FILE [ARGS]", num_args = 0.., trailing_var_arg = true)]
    pub(crate) file_and_args: Vec<OsString>,
}

/// Seeds, at least one.
#[derive(Clone, Debug)]
pub(crate) struct SeedRange(pub(crate) Range<u64>);

/// Numbers of harts, at least one of them.
#[derive(Clone, Debug)]
pub(crate) struct ScaleList(pub(crate) Vec<usize>);

fn harts(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(harts) if (1..=MAX_HARTS).contains(&harts.into()) => Ok(harts),
        _ => Err(format!("a machine has 1 to {MAX_HARTS} cores")),
    }
}

pub(crate) fn seeds(text: &str) -> Result<SeedRange, String> {
    let wrong = || format!("`{text}` is no range of seeds; write it like 0..1000");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let range = from.parse().map_err(|_| wrong())?..to.parse().map_err(|_| wrong())?;
    if range.is_empty() {
        return Err(format!(
            "there is no seed in `{text}`; the first one comes before the `..`, the one after the last behind it"
        ));
    }
    Ok(SeedRange(range))
}

/// `1,2,4,...,64`: three dots stand for doubling up to what follows.
fn scale(text: &str) -> Result<ScaleList, String> {
    let mut list: Vec<usize> = Vec::new();
    let mut doubling = false;
    for word in text.split(',').map(str::trim) {
        if word == "..." {
            doubling = true;
            continue;
        }
        let next = usize::from(harts(word)?);
        let last = list.last().copied();
        if last.is_some_and(|last| next <= last) {
            return Err(String::from("the numbers of cores go up"));
        }
        if std::mem::take(&mut doubling) {
            let Some(mut last) = last else {
                return Err(String::from("`...` goes between two numbers"));
            };
            while last * 2 < next {
                last *= 2;
                list.push(last);
            }
        }
        list.push(next);
    }
    if doubling {
        return Err(String::from("`...` goes between two numbers"));
    }
    Ok(ScaleList(list))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts lists that skip a number or go on for ever.
    #[test]
    fn lists_of_harts() {
        assert_eq!(scale("1,2,4,...,64").unwrap().0, [1, 2, 4, 8, 16, 32, 64]);
        assert_eq!(scale("1,...,12").unwrap().0, [1, 2, 4, 8, 12]);
        assert_eq!(scale("3").unwrap().0, [3]);
        for wrong in ["", "0", "2,1", "...", "1,...", "...,4", "1,2000"] {
            assert!(scale(wrong).is_err(), "{wrong}");
        }
    }

    /// Hunts ranges without a seed.
    #[test]
    fn ranges_of_seeds() {
        assert_eq!(seeds("3..10").unwrap().0, 3..10);
        for wrong in ["", "3", "3..", "..3", "5..5", "9..1", "a..b"] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
    }
}
