//! The command line of `hart sim`.

use crate::limits::LimitArgs;
use crate::simulation::{SeedRange, seeds};
use crate::units::positive_duration;
use clap::Args;
use hart_sim::{Config, Faults, MAX_HARTS, Schedule, Workload};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  hart sim --harts 8 --stats app.wasm one          one run on 8 virtual cores
  hart sim --seeds 0..1000 app.wasm                a thousand orders of events; stops at the first failure
  hart sim --seeds 0..1000 --faults heavy app.wasm the same, with every kind of fault
  hart sim --seed 42 --report run.html app.wasm    what happened, as a page to look at
  hart sim --scale 1,2,4,...,64 app.wasm           how far the scheduler scales it
  hart sim --requests load.txt service.wasm        an HTTP service, and clients on a virtual network
  hart sim --from flight.json --scale 2,4,8        what was recorded, on more cores than there were

A file of requests has one on each line: when, method, path, and how its client behaves:
  at 1.5ms GET /hello
  at 2ms POST /echo header x-id=7 body 64KiB at 1MiB/s   a body that comes slowly
  at 3ms GET /big reads 10KiB/ms leaves after 5ms        reads slowly, and leaves
  rate 1000/s from 10ms for 100ms GET /hello             so many; when, the seed decides
  latency 1ms..5ms                                       to the service, and back; the seed decides
Lines that begin with # are comments. What becomes of each request is printed, and percentiles.

The same build, component, input, seed and options give the same output, trace and statistics,
byte for byte. Clocks, sleeps and random numbers are the machine's; guests have no network.

Exit codes: the guest's own, or 1 where it failed to answer a request; 3 if an oracle saw the
scheduler break a promise; 2 on bad usage or bad input.";

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES, override_usage = "hart sim [OPTIONS] FILE [ARGS]...")]
pub(crate) struct SimArgs {
    /// Virtual cores, 1 to 1024 [default: 4; with --seeds: drawn from each seed]
    #[arg(long, value_name = "N", value_parser = harts, help_heading = "Machine")]
    pub(crate) harts: Option<u16>,

    /// The seed of everything random
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

    /// Faults to inject: none, light, heavy, or names such as `stall,late,cancel`
    #[arg(
        long,
        value_name = "KINDS",
        default_value = "none",
        help_heading = "Machine"
    )]
    pub(crate) faults: Faults,

    /// Which core runs next: random, pct, pct:BOUND, round-robin or time [default: random; with
    /// --seeds: drawn from each seed; with --scale: time]
    #[arg(long, value_name = "POLICY", help_heading = "Machine")]
    pub(crate) schedule: Option<Schedule>,

    /// Units of fuel between two preemption points [default: 10000]; with --from a time, like 1ms [default:
    /// as recorded]
    #[arg(long, value_name = "FUEL|D", value_parser = Slice::parse, help_heading = "Machine")]
    pub(crate) slice: Option<Slice>,

    /// Slots in the pool of instances
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000), help_heading = "Machine")]
    pub(crate) instances: u32,

    /// Write a Chrome trace (JSON) of what happened, for Perfetto
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "seeds",
        help_heading = "What comes out"
    )]
    pub(crate) trace: Option<PathBuf>,

    /// Write what happened as a self-contained HTML page
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

    /// Run on machines of these sizes, `1,2,4,...,64`, and print makespan and speed-up
    #[arg(long, value_name = "LIST", value_parser = scale, conflicts_with_all = ["seeds", "trace", "report"], help_heading = "What comes out")]
    pub(crate) scale: Option<ScaleList>,

    /// With --scale: draw the curve (SVG)
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

    /// Grant a real directory, read-only; the run then depends on its contents
    #[arg(long = "dir", value_name = "HOST[::GUEST]", help_heading = "What runs")]
    pub(crate) dirs: Vec<OsString>,

    /// Grant an empty temporary directory under this name, to read and write
    #[arg(long, value_name = "GUEST", help_heading = "What runs")]
    pub(crate) scratch: Option<String>,

    /// Set an environment variable; the guest sees no others
    #[arg(long = "env", value_name = "K=V", help_heading = "What runs")]
    pub(crate) envs: Vec<String>,

    /// The guest's standard input; empty by default
    #[arg(long, value_name = "FILE", help_heading = "What runs")]
    pub(crate) stdin: Option<PathBuf>,

    /// The keys of `hart run`, except for the network and hart's own environment
    #[arg(
        short = 'S',
        long = "wasi",
        value_name = "KEY",
        help_heading = "What runs"
    )]
    pub(crate) wasi: Vec<String>,

    /// Call an exported function, written in WAVE, instead of `run`, and print its result
    #[arg(
        long,
        value_name = "F(ARGS)",
        allow_hyphen_values = true,
        help_heading = "What runs"
    )]
    pub(crate) invoke: Option<String>,

    /// Run a service instead of a command, and send it the requests that this file lists
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["scale", "workload", "invoke", "stdin"],
        help_heading = "What runs"
    )]
    pub(crate) requests: Option<PathBuf>,

    /// Replay what a `--trace` of `hart run` or a flight recorder has written: the same work, scheduled anew
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["faults", "workload", "invoke", "stdin", "requests", "dirs", "scratch", "envs", "file_and_args", "svg", "instances", "wasi", "limits", "timeout"],
        help_heading = "What runs"
    )]
    pub(crate) from: Option<PathBuf>,

    /// With --from: another weight for a group or tenant; may be repeated
    #[arg(long, value_name = "NAME=N", value_parser = weight, requires = "from", help_heading = "What runs")]
    pub(crate) weight: Vec<(String, u32)>,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    /// The component, then its arguments
    #[arg(value_name = "FILE [ARGS]", num_args = 0.., trailing_var_arg = true)]
    pub(crate) file_and_args: Vec<OsString>,
}

impl SimArgs {
    /// The machine that the options describe.
    pub(super) fn config(&self) -> Config {
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

/// Between two preemption points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Slice {
    Fuel(u64),
    Time(Duration),
}

impl Slice {
    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(0) => Err("a slice is at least 1".into()),
            Ok(fuel) => Ok(Self::Fuel(fuel)),
            Err(_) => positive_duration(text).map(Self::Time),
        }
    }
}

/// `NAME=N`.
fn weight(text: &str) -> Result<(String, u32), String> {
    let (name, weight) = text.rsplit_once('=').ok_or("write it as NAME=N")?;
    match weight.parse() {
        Ok(weight @ 1..) => Ok((name.into(), weight)),
        _ => Err("a weight is a whole number from 1 on".into()),
    }
}

/// Numbers of harts, at least one of them.
#[derive(Clone, Debug)]
pub(crate) struct ScaleList(pub(crate) Vec<usize>);

fn harts(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(harts) if (1..=MAX_HARTS).contains(&harts.into()) => Ok(harts),
        _ => Err(format!("a machine has 1 to {MAX_HARTS} cores")),
    }
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
            return Err(String::from(
                "write the numbers of cores in rising order, like 1,2,4",
            ));
        }
        if std::mem::take(&mut doubling) {
            let Some(mut last) = last else {
                return Err(String::from(
                    "write `...` between two numbers, like 1,2,...,64",
                ));
            };
            while last * 2 < next {
                last *= 2;
                list.push(last);
            }
        }
        list.push(next);
    }
    if doubling {
        return Err(String::from(
            "write `...` between two numbers, like 1,2,...,64",
        ));
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
}
