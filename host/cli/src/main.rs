//! The `hart` command: runs WebAssembly components whose tasks use every core.
//!
//! Each subcommand is a function from its arguments to an exit code or a [`failure::Failure`]; this
//! file finds out which one is meant, and nothing else writes errors or ends the process (a second
//! Ctrl-C excepted, see [`interrupt`]).

mod args;
mod compile;
mod demo;
mod failure;
mod interrupt;
mod keys;
mod limits;
mod load;
mod new;
mod run;
mod scheduling;
mod sim;
mod stats;
mod trace;
mod units;
mod wasi;
mod wast;

use args::{Command, Demo, DemoArgs};
use failure::{Failure, to_stderr, to_stdout};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

fn main() {
    let code = match start() {
        Ok(code) => code,
        Err(failure) => {
            failure.report();
            failure.code()
        }
    };
    // Not a return: what a guest left in a blocking read of standard input would be waited for.
    std::process::exit(code.into());
}

fn start() -> Result<u8, Failure> {
    let cli = match args::parse(std::env::args_os().collect()) {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    log()?;
    match cli.command {
        Command::Run(args) => run::run(*args),
        Command::Compile(args) => compile::compile(&args).map(|()| 0),
        Command::Wast(args) => wast::wast(&args),
        Command::Sim(args) => sim::sim(&args),
        Command::New(args) => new::new(&args).map(|()| 0),
        Command::Demo(DemoArgs {
            demo: Demo::Noisy(args),
        }) => demo::noisy(&args),
    }
}

/// What clap says, with errors in one line.
fn explain(error: &clap::Error) -> Result<u8, Failure> {
    use clap::error::ErrorKind;
    let text = error.render();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            to_stdout(&text.to_string());
            Ok(0)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            to_stderr(&text.to_string());
            Ok(failure::USAGE)
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

/// Writes what `HART_LOG` asks for to standard error.
fn log() -> Result<(), Failure> {
    let Ok(directives) = std::env::var("HART_LOG") else {
        return Ok(());
    };
    let filter = EnvFilter::try_new(&directives).map_err(|error| {
        Failure::usage(format!(
            "HART_LOG: {error}; write it like `info` or `hart=trace`"
        ))
    })?;
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // Tasks are spans: a line when one starts, and one when it ends, with its busy and idle time.
        .with_span_events(FmtSpan::NEW | FmtSpan::CLOSE)
        .try_init();
    Ok(())
}
