//! The `hart` command: runs WebAssembly components whose tasks use every core.
//!
//! Each subcommand is a function from its arguments to an exit code or a `failure::Failure`; this
//! file finds out which one is meant, and nothing else writes errors or ends the process (signals
//! excepted, see `interrupt`).

mod admin;
mod blame;
mod cli;
mod compile;
mod config;
mod demo;
mod ended;
mod failure;
#[cfg(test)]
mod flags;
mod flight;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod grants;
mod inspect;
mod interrupt;
mod jobs;
mod keys;
mod later;
mod limits;
mod line_log;
mod load;
mod log;
mod new;
mod otlp;
mod output;
mod pages;
mod queue;
mod refused;
mod remote;
mod run;
mod scheduling;
mod serve;
mod sim;
mod simulation;
mod stats;
mod submit;
mod sync;
mod top;
mod trace;
mod tuning;
mod units;
mod utc;
mod wast;
mod wit;
mod work;
mod writer;

use clap::CommandFactory;
use cli::{Cli, Command};
use failure::Failure;

/// The program: does what this process's arguments say, and ends it.
pub fn main() -> ! {
    let code = match start() {
        Ok(code) => code,
        Err(failure) => {
            failure.report();
            failure.code()
        }
    };
    writer::finish();
    // Not a return: what a guest left in a blocking read of standard input would be waited for.
    std::process::exit(code.into());
}

fn start() -> Result<u8, Failure> {
    let cli = match cli::parse(std::env::args_os().collect()) {
        Ok(cli) => cli,
        Err(error) => return cli::explain(&error),
    };
    log::start()?;
    match cli.command {
        Command::Run(args) => run::run(*args),
        Command::Serve(args) => serve::serve(*args),
        Command::Work(args) => work::work(&args),
        Command::Submit(args) => submit::submit(args),
        Command::Jobs(args) => jobs::jobs(&args),
        Command::Blame(args) => blame::blame(&args),
        Command::Compile(args) => compile::compile(&args).map(|()| 0),
        Command::Wast(args) => wast::wast(&args),
        Command::Sim(args) => sim::sim(&args),
        Command::Top(args) => top::top(&args),
        Command::New(args) => new::new(&args).map(|()| 0),
        Command::Wit(args) => wit::wit(&args).map(|()| 0),
        Command::Demo(args) => demo::demo(&args),
        Command::Inspect(args) => inspect::inspect(&args).map(|()| 0),
        Command::Completions(args) => {
            pages::completions(&args, Cli::command());
            Ok(0)
        }
        Command::Man(args) => pages::man(&args, Cli::command()).map(|()| 0),
    }
}
