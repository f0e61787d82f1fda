//! `hart jobs`: what was submitted, and what may be done with it.

use crate::failure::Failure;
use crate::output::{one_line, to_stderr, to_stdout};
use crate::queue::{QueueArgs, connect};
use crate::submit::{show, wait};
use crate::work::explain;
use clap::{Args, Subcommand};
use hart_host::work::{AppJobs, Cancelled, Queue};
use std::fmt::Write as _;

const EXAMPLES: &str = "\
Examples:
  hart jobs list                            by app: what waits, runs and failed
  hart jobs follow resize ID                wait for a job, and print what it returns
  hart jobs cancel resize ID                end it, whether it waits or runs
  hart jobs retry resize ID                 submit one that failed again";

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct JobsArgs {
    #[command(subcommand)]
    command: JobsCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum JobsCommand {
    /// Print what waits and runs, and what failed in the last week
    List(ListArgs),
    /// Wait for a job's result, and write it to standard output
    Follow(FollowArgs),
    /// End a job, whether it waits or runs
    Cancel(OneArgs),
    /// Submit a job that failed again, under its id
    Retry(OneArgs),
}

#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// Print one object of JSON for each app
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    queue: QueueArgs,
}

#[derive(Args, Clone, Debug)]
struct OneArgs {
    /// The app
    #[arg(value_name = "APP")]
    app: String,

    /// The job's id
    #[arg(value_name = "ID")]
    id: String,

    #[command(flatten)]
    queue: QueueArgs,
}

#[derive(Args, Clone, Debug)]
struct FollowArgs {
    #[command(flatten)]
    one: OneArgs,

    /// The task is one in Rust that returns one String or Vec<u8>: read it as it writes it
    #[arg(long)]
    text: bool,
}

/// Does it; the process's exit code.
///
/// # Errors
/// Bad usage, no such job, and a server that is not there or refuses something.
pub(crate) fn jobs(args: &JobsArgs) -> Result<u8, Failure> {
    let queue = match &args.command {
        JobsCommand::List(args) => &args.queue,
        JobsCommand::Follow(args) => &args.one.queue,
        JobsCommand::Cancel(args) | JobsCommand::Retry(args) => &args.queue,
    };
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(1, format!("no way to wait for a network: {error}")))?;
    tokio.block_on(async {
        let connected = connect(&queue.plan(), "hart jobs", |_| {}).await?;
        with(&args.command, &connected.queue).await
    })
}

async fn with(command: &JobsCommand, queue: &Queue) -> Result<u8, Failure> {
    match command {
        JobsCommand::List(args) => {
            let apps = queue.jobs().await.map_err(|error| explain(&error))?;
            to_stdout(&match args.json {
                true => json(&apps),
                false => text(&apps),
            });
            Ok(0)
        }
        JobsCommand::Follow(FollowArgs { one, text }) => {
            let result = wait(queue, &one.app, &one.id).await?;
            Ok(show(&result, *text))
        }
        JobsCommand::Cancel(OneArgs { app, id, .. }) => {
            let cancelled = queue.cancel(app, id).await;
            match cancelled.map_err(|error| explain(&error))? {
                Cancelled::Running => to_stderr("hart: the worker that has it ends it\n"),
                Cancelled::Waiting => to_stderr("hart: it waited, and is gone\n"),
                _ => {
                    return Err(Failure::usage(format!(
                        "the app `{app}` has no job {id} that waits or runs; `hart jobs list` shows those that there are"
                    )));
                }
            }
            Ok(0)
        }
        JobsCommand::Retry(OneArgs { app, id, .. }) => {
            let retried = queue.retry(app, id).await;
            retried.map_err(|error| explain(&error))?;
            Ok(0)
        }
    }
}

fn text(apps: &[AppJobs]) -> String {
    let mut text = String::from("APP                  WAITING  RUNNING   FAILED\n");
    for app in apps {
        let name = one_line(&app.app);
        let failed = app.dead.len();
        let (waiting, running) = (app.waiting, app.running);
        let _ = writeln!(text, "{name:<20} {waiting:>7} {running:>8} {failed:>8}");
    }
    for app in apps {
        let name = one_line(&app.app);
        for id in &app.ids {
            let _ = writeln!(text, "{name} {id}");
        }
        for id in &app.dead {
            let _ = writeln!(text, "{name} {id} failed");
        }
    }
    text
}

fn json(apps: &[AppJobs]) -> String {
    let object = |app: &AppJobs| {
        serde_json::json!({
            "app": app.app,
            "waiting": app.waiting,
            "running": app.running,
            "has-worker": app.has_worker,
            "jobs": app.ids,
            "failed": app.dead,
        })
    };
    apps.iter()
        .map(|app| format!("{}\n", object(app)))
        .collect()
}
