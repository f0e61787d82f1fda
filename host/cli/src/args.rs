//! What the command line looks like: names, groups of the help, examples.
//!
//! What the `-W` and `-S` keys do is in `limits.rs` and `wasi.rs`; here they are plain text.

use crate::sim::{SeedRange, SimArgs, seeds};
use crate::units;
use clap::{Args, Parser, Subcommand, ValueEnum};
use hart_sim::Faults;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// The subcommands. A first argument that is none of these means `run`.
pub(crate) const SUBCOMMANDS: [&str; 7] = ["run", "compile", "wast", "sim", "new", "demo", "help"];

const EXAMPLES: &str = "\
Examples:
  hart app.wasm one two                     run a component with two arguments
  hart --dir ./src::/src app.wasm /src      let it read and write a directory
  hart run --help                           every option of a run

`hart FILE` means `hart run FILE`. Options come before FILE; what follows it goes to the guest.
HART_LOG=hart=trace logs when each task starts and ends, and how long it ran.";

const RUN_EXAMPLES: &str = "\
Examples:
  hart run app.wasm one two                 run a command component with two arguments
  hart run --dir src::/src::ro wc.wasm /src a directory, read-only, under the name /src
  hart run --invoke 'add(1, 2)' lib.wasm    call an export and print its result
  hart run --workers 2 --stats app.wasm     two workers; at exit, what each of them did
  hart run --timeout 10s -W max-memory=1GiB untrusted.wasm

Exit codes: the guest's own; 1 where its `run` returned an error; 134 on a trap; 124 on a time
limit; 130 on Ctrl-C; 143 on SIGTERM; 2 on bad usage or bad input.";

const WAST_EXAMPLES: &str = "\
Examples:
  hart wast tests/*.wast
  hart wast --preempt fuel --slice 10000 tests/tasks.wast
  hart wast --sim --seeds 0..100 tests/tasks.wast   a hundred orders of events, the same every time

Directives: component, component definition, component instance, register, invoke, assert_return,
assert_trap, assert_exhaustion, assert_invalid, assert_malformed, assert_unlinkable. A component may
import WASI, hart:exec/tasks, and the exported functions and core modules of a component that was
registered before it. Exit code 0 where every file passed, 1 where one failed, 2 where one could not
be read, 3 where an oracle of the simulated machine failed.";

const NEW_EXAMPLES: &str = "\
Examples:
  hart new counter && cd counter && cargo build --release";

/// Runs WebAssembly components whose tasks use every core.
#[derive(Debug, Parser)]
#[command(name = "hart", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a component: a .wasm, a .wat or (with --allow-precompiled) a .cwasm file
    Run(Box<RunArgs>),
    /// Compile a component ahead of time, into a .cwasm file
    Compile(CompileArgs),
    /// Run component test scripts (.wast)
    Wast(WastArgs),
    /// Run a component on a simulated machine, which does the same every time
    Sim(Box<SimArgs>),
    /// Write a guest project whose tasks are Rust functions
    New(NewArgs),
    /// Show on this machine what hart does
    Demo(DemoArgs),
}

/// How guests are made to let each other run.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum PreemptMode {
    /// By time; costs guests the least
    Epoch,
    /// By counting instructions: exact and repeatable
    Fuel,
    /// Never: only for guests that you trust to yield
    None,
}

/// What instances are made for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum ProfileArg {
    /// Made quickly, and at full speed
    #[default]
    Fast,
    /// As many as possible: bounds are checked in code, no memory grows beyond 64 MiB, no table beyond 8,000 elements
    Dense,
}

/// Whether the kernel is asked which pages were written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum PoolScanArg {
    /// No, as swap may come later
    #[default]
    Auto,
    /// Yes: this system has no swap and gets none
    On,
    /// No
    Off,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Scheduling")]
pub(crate) struct SchedulingArgs {
    /// Threads that run guests [default: one per core]
    #[arg(long, value_name = "N", value_parser = workers)]
    pub(crate) workers: Option<NonZeroUsize>,

    /// How a guest that computes for long is made to let others run [default: epoch; fuel where -W
    /// fuel is given]
    #[arg(long, value_name = "MODE")]
    pub(crate) preempt: Option<PreemptMode>,

    /// Guest tasks that can have started and not ended; others wait [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) instances: Option<u32>,

    /// Whether instances are to be fast, or as many as the system allows
    #[arg(long, value_name = "PROFILE", default_value = "fast")]
    pub(crate) profile: ProfileArg,

    /// Whether the kernel is asked which pages a guest has written, to reset only those: unsafe where
    /// there is swap or may be
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) pool_scan: PoolScanArg,

    /// Memory of the system that is kept free: with less left, tasks that have not started wait; 0: none
    /// [default: a 32nd of what there is, at most 256M]
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    pub(crate) memory_reserve: Option<u64>,

    /// How long a guest may run before another gets its worker: a duration with epochs [default:
    /// 1ms], units of fuel with fuel [default: 1000000]
    #[arg(long, value_name = "D|FUEL")]
    pub(crate) slice: Option<String>,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// End the run after this long, with exit code 124
    #[arg(long, value_name = "D", value_parser = units::positive_duration)]
    pub(crate) timeout: Option<Duration>,

    /// Limits on memory, CPU time, tasks, results, output: `-W help` lists them with their defaults
    #[arg(
        short = 'W',
        long = "wasm",
        value_name = "KEY=VALUE",
        allow_hyphen_values = true
    )]
    pub(crate) limits: Vec<String>,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = RUN_EXAMPLES, override_usage = "hart [run] [OPTIONS] FILE [ARGS]...")]
pub(crate) struct RunArgs {
    /// A directory the guest may use, `HOST[::GUEST[::ro]]`; everything in it can be changed unless
    /// `ro` is there; may be repeated
    #[arg(
        long = "dir",
        value_name = "HOST[::GUEST[::ro]]",
        help_heading = "What the guest gets"
    )]
    pub(crate) dirs: Vec<OsString>,

    /// An environment variable; without a value, the one that hart itself has; may be repeated
    #[arg(
        long = "env",
        value_name = "K[=V]",
        help_heading = "What the guest gets"
    )]
    pub(crate) envs: Vec<String>,

    /// The rest of the environment, and the network: `-S help` lists the keys
    #[arg(
        short = 'S',
        long = "wasi",
        value_name = "KEY",
        allow_hyphen_values = true,
        help_heading = "What the guest gets"
    )]
    pub(crate) wasi: Vec<String>,

    /// Call an exported function, written in WAVE, instead of `run`; its result is printed
    #[arg(
        long,
        value_name = "F(ARGS)",
        help_heading = "What the guest gets",
        allow_hyphen_values = true
    )]
    pub(crate) invoke: Option<String>,

    #[command(flatten)]
    pub(crate) scheduling: SchedulingArgs,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    /// At exit, write what the run used and what each worker did to standard error
    #[arg(
        long,
        value_name = "FORMAT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "text",
        help_heading = "Statistics"
    )]
    pub(crate) stats: Option<StatsFormat>,

    /// Write what each worker did as a Chrome trace (JSON), which Perfetto opens: the last million polls
    /// and waits
    #[arg(long, value_name = "FILE", help_heading = "Statistics")]
    pub(crate) trace: Option<PathBuf>,

    /// Accept a .cwasm file: native code, which can do whatever hart itself can do
    #[arg(long, help_heading = "Files")]
    pub(crate) allow_precompiled: bool,

    /// Compile anew, and keep nothing of it
    #[arg(long, help_heading = "Files")]
    pub(crate) no_cache: bool,

    /// The component, and then what it gets as its arguments
    #[arg(
        value_name = "FILE [ARGS]",
        num_args = 1..,
        trailing_var_arg = true
    )]
    pub(crate) file_and_args: Vec<OsString>,
}

/// How statistics are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum StatsFormat {
    /// A table
    Text,
    /// One line of JSON
    Json,
}

#[derive(Args, Debug)]
pub(crate) struct CompileArgs {
    /// The component
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Where the native code goes
    #[arg(short, long, value_name = "OUT.cwasm")]
    pub(crate) output: PathBuf,

    /// How the code lets others run: compiled in, so `hart run` needs the same --preempt
    #[arg(long, value_name = "MODE", default_value = "epoch")]
    pub(crate) preempt: PreemptMode,
}

#[derive(Args, Debug)]
#[command(after_help = WAST_EXAMPLES)]
pub(crate) struct WastArgs {
    #[command(flatten)]
    pub(crate) scheduling: SchedulingArgs,

    /// Run each script on simulated machines, which do the same every time: a script that fails tells its
    /// seed. With it --slice is in units of fuel
    #[arg(long, conflicts_with_all = ["workers", "preempt"], help_heading = "Simulation")]
    pub(crate) sim: bool,

    /// Seeds to run each script under, until one fails [default: 0..1]
    #[arg(long, value_name = "A..B", value_parser = seeds, requires = "sim", help_heading = "Simulation")]
    pub(crate) seeds: Option<SeedRange>,

    /// What goes wrong on the machines, of what changes no results: stall,slow,late,spurious,offline,jump
    #[arg(
        long,
        value_name = "KINDS",
        requires = "sim",
        help_heading = "Simulation"
    )]
    pub(crate) faults: Option<Faults>,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    /// Scripts
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Args, Debug)]
#[command(after_help = NEW_EXAMPLES)]
pub(crate) struct NewArgs {
    /// The project's name, and the directory that is made for it
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// Take the crate hart-guest from a checkout of hart (or of the crate itself) instead of the
    /// registry
    #[arg(long, value_name = "DIR")]
    pub(crate) sdk_path: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    #[command(subcommand)]
    pub(crate) demo: Demo,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Demo {
    /// How late guests respond beside guests that spin, under hart and under tokio with wasmtime
    Noisy(NoisyArgs),
}

#[derive(Args, Debug)]
pub(crate) struct NoisyArgs {
    /// How long, for both sides together
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

fn workers(text: &str) -> Result<NonZeroUsize, String> {
    let count = units::count(text)?;
    match usize::try_from(count).map(NonZeroUsize::new) {
        Ok(Some(count)) if count.get() <= MAX_WORKERS => Ok(count),
        Ok(None) => Err(String::from("nothing runs with 0 workers; use 1 or more")),
        _ => Err(format!("more than {MAX_WORKERS} workers; use fewer")),
    }
}

/// More threads than this is a slip of the finger.
const MAX_WORKERS: usize = 1024;

/// The command line with `run` put in where no subcommand was named.
fn with_default_subcommand(arguments: Vec<OsString>) -> Vec<OsString> {
    let Some(first) = arguments.get(1) else {
        return arguments;
    };
    let own = matches!(first.to_str(), Some("-h" | "--help" | "-V" | "--version"))
        || SUBCOMMANDS.iter().any(|name| first == name);
    if own {
        return arguments;
    }
    let mut with_run = arguments;
    with_run.insert(1, OsString::from("run"));
    with_run
}

/// Reads the command line.
///
/// # Errors
/// What clap says of it, requests for help among that.
pub(crate) fn parse(arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    /// The options of `run` without those of all others, which take a while to describe.
    #[derive(Parser)]
    struct Run {
        #[command(flatten)]
        args: RunArgs,
    }

    let arguments = with_default_subcommand(arguments);
    if arguments.get(1).is_some_and(|name| name == "run")
        && let Ok(run) = Run::try_parse_from(&arguments[1..])
    {
        let command = Command::Run(Box::new(run.args));
        return Ok(Cli { command });
    }
    Cli::try_parse_from(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &[&str]) -> Result<Cli, clap::Error> {
        super::parse(line.iter().map(OsString::from).collect())
    }

    fn run(line: &[&str]) -> RunArgs {
        match parse(line).unwrap().command {
            Command::Run(run) => *run,
            other => panic!("{other:?}"),
        }
    }

    /// Hunts definitions that clap itself finds contradictory, and a list of subcommands that is
    /// not the one clap knows (then `hart compile` would run a file called `compile`).
    #[test]
    fn definitions_agree() {
        let mut command = Cli::command();
        command.build();
        let names: Vec<&str> = command.get_subcommands().map(|c| c.get_name()).collect();
        assert_eq!(names, SUBCOMMANDS);
        command.debug_assert();
    }

    /// Hunts a command line that means something else where only the options of `run` are read.
    #[test]
    fn run_alone_is_read_like_all() {
        for line in [
            &["hart", "a.wasm"][..],
            &["hart", "run", "a.wasm", "--help", "-x"],
            &[
                "hart",
                "run",
                "--stats=json",
                "--dir",
                "a::b",
                "-W",
                "fuel=3",
                "run",
            ],
            &[
                "hart",
                "--invoke",
                "f(1)",
                "--workers",
                "2",
                "--",
                "-a.wasm",
            ],
            &["hart", "run"],
            &["hart", "run", "--help"],
            &["hart", "run", "-V"],
            &["hart", "run", "--no-such", "a.wasm"],
            &["hart", "run", "help"],
        ] {
            let arguments = line.iter().map(OsString::from).collect();
            let all = Cli::try_parse_from(with_default_subcommand(arguments));
            let text = |read: Result<Cli, clap::Error>| match read {
                Ok(cli) => format!("{cli:?}"),
                Err(error) => error.render().to_string(),
            };
            assert_eq!(text(parse(line)), text(all), "{line:?}");
        }
    }

    /// Hunts options of the guest that hart takes for its own, and the reverse.
    #[test]
    fn what_follows_the_file_is_the_guests() {
        let args = run(&[
            "hart",
            "--workers",
            "2",
            "a.wasm",
            "--workers",
            "3",
            "-W",
            "--",
            "--help",
        ]);
        assert_eq!(args.scheduling.workers.unwrap().get(), 2);
        assert_eq!(
            args.file_and_args,
            ["a.wasm", "--workers", "3", "-W", "--", "--help"]
        );
        let args = run(&["hart", "run", "--stats", "a.wasm", "--stats=json"]);
        assert_eq!(args.stats, Some(StatsFormat::Text));
        assert_eq!(args.file_and_args, ["a.wasm", "--stats=json"]);
        let args = run(&["hart", "--stats=json", "-W", "help", "a.wasm"]);
        assert_eq!(args.stats, Some(StatsFormat::Json));
        assert_eq!(args.limits.limits, ["help"]);
    }

    /// Hunts a zero, or an absurd number, that gets through to the scheduler.
    #[test]
    fn worker_counts_are_checked() {
        for count in ["0", "-1", "many", "1000000"] {
            assert!(parse(&["hart", "--workers", count, "a.wasm"]).is_err());
        }
        assert!(parse(&["hart", "--timeout", "0s", "a.wasm"]).is_err());
    }
}
