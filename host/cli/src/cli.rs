//! The command line: its subcommands, and which of them is meant. What each takes stands in its own file.

use crate::blame::BlameArgs;
use crate::compile::CompileArgs;
use crate::demo::DemoArgs;
use crate::failure::{Failure, USAGE};
use crate::inspect::InspectArgs;
use crate::jobs::JobsArgs;
use crate::new::NewArgs;
use crate::output::{to_stderr, to_stdout};
use crate::pages::{CompletionsArgs, ManArgs};
use crate::run::RunArgs;
use crate::serve::ServeArgs;
use crate::sim::SimArgs;
use crate::submit::SubmitArgs;
use crate::top::TopArgs;
use crate::wast::WastArgs;
use crate::wit::WitArgs;
use crate::work::WorkArgs;
use clap::{Parser, Subcommand};
use std::ffi::OsString;

/// The subcommands. A first argument that is none of these means `run`.
pub(crate) const SUBCOMMANDS: [&str; 17] = [
    "run",
    "serve",
    "work",
    "submit",
    "jobs",
    "blame",
    "compile",
    "inspect",
    "top",
    "wast",
    "sim",
    "new",
    "wit",
    "demo",
    "completions",
    "man",
    "help",
];

/// The version, with that of wasmtime.
macro_rules! version {
    () => {
        concat!(
            env!("CARGO_PKG_VERSION"),
            " (wasmtime ",
            env!("HART_WASMTIME"),
            ", ",
            env!("HART_TARGET"),
            ")"
        )
    };
}

/// What `hart -V` says after the name.
const VERSION: &str = version!();

/// What `hart --version` says.
const LONG_VERSION: &str = concat!(
    version!(),
    "\nruns       components, core modules; WASI 0.1, 0.2, 0.3; component-model async",
    "\nprovides   hart:exec, wasi:cli, clocks, config, filesystem, http, io, keyvalue, random, sockets"
);

const EXAMPLES: &str = "\
Examples:
  hart app.wasm one two                     run a component with two arguments
  hart --dir ./src::/src app.wasm /src      let it read and write the directory ./src

`hart FILE` means `hart run FILE`; options come before FILE, and what follows goes to the guest.
`hart completions SHELL`, `hart man` and HART_LOG=hart=trace: for your shell, for man, a log.";

/// Runs WebAssembly components whose tasks use every core.
#[derive(Debug, Parser)]
#[command(name = "hart", version = VERSION, long_version = LONG_VERSION, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a component: a .wasm, a .wat or (with --allow-precompiled) a .cwasm file
    Run(Box<RunArgs>),
    /// Answer HTTP requests with a component
    Serve(Box<ServeArgs>),
    /// Run tasks that others submit, from a stream of NATS
    Work(Box<WorkArgs>),
    /// Submit a task for `hart work`, and wait for its result if asked to
    Submit(SubmitArgs),
    /// List, follow, cancel or retry what was submitted
    Jobs(JobsArgs),
    /// Find out whether one route of an HTTP server slows the others
    Blame(BlameArgs),
    /// Compile a component ahead of time, into a .cwasm file
    Compile(CompileArgs),
    /// Print what a guest imports, exports and needs, and what it would be granted
    Inspect(InspectArgs),
    /// Watch what runs, live, by the admin socket of `hart serve` or `hart run`
    Top(TopArgs),
    /// Run component test scripts (.wast)
    Wast(WastArgs),
    /// Run a component on a simulated machine, the same way every time
    Sim(Box<SimArgs>),
    /// Create a guest project in Rust, Python, JavaScript or C
    New(NewArgs),
    /// Print the contract for guests, or write it into a project
    Wit(WitArgs),
    /// Show what hart does, measured on this machine
    Demo(DemoArgs),
    /// Print what makes a shell complete hart's options
    #[command(hide = true)]
    Completions(CompletionsArgs),
    /// Print or write hart's manual pages
    #[command(hide = true)]
    Man(ManArgs),
}

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

/// What clap says, with errors in one line.
pub(crate) fn explain(error: &clap::Error) -> Result<u8, Failure> {
    use clap::error::ErrorKind;
    let text = error.render();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            to_stdout(&text.to_string());
            Ok(0)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            to_stderr(&text.to_string());
            Ok(USAGE)
        }
        _ => {
            let text = text.to_string();
            // The paragraphs before the usage: what is wrong, and perhaps a tip.
            let said: Vec<&str> = text
                .lines()
                .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
                .map(|line| line.trim().trim_start_matches("error: "))
                .filter(|line| !line.is_empty())
                .collect();
            let said = said.join(" ");
            Err(Failure::usage(format!("{said}; `hart --help` shows how")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduling::PoolArg;
    use crate::stats::StatsFormat;
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

    /// Hunts scripts that use the old name of `--pool` and are not told of the new one, which means something else.
    #[test]
    fn the_old_name_of_pool_is_told_the_new_one() {
        for subcommand in ["run", "compile", "serve"] {
            let line = ["hart", subcommand, "--profile", "dense", "a.wasm"];
            let said = parse(&line).unwrap_err().to_string();
            assert!(said.contains("--pool dense"), "{said}");
        }
        let args = run(&["hart", "--pool", "dense", "a.wasm"]);
        assert_eq!(args.scheduling.pool, PoolArg::Dense);
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
