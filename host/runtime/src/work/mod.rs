//! Work from a stream: tasks that other machines submit, by NATS JetStream.
//!
//! A [`Queue`] is a stream of jobs and what comes of them. Programs [submit](Queue::submit) jobs to it; a [`Worker`] runs
//! them, as many at a time as there is room for. A job names an app and one of its tasks; which component that is and what
//! it may do, the worker's owner says. Any number of workers, on any number of machines, take from one queue.
//!
//! ```no_run
//! use hart_host::work::{App, Job, Queue};
//! use hart_host::{Host, Limits};
//! use std::time::Duration;
//!
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! let client = async_nats::connect("nats://127.0.0.1").await?;
//! let queue = Queue::new(client);
//!
//! // One process, or many:
//! let host = Host::builder().build()?;
//! let component = host.load(&std::fs::read("wordcount.wasm")?)?;
//! let app = App::new(&host, "wordcount", &component)
//!     .run(|run| run.limits(Limits::new().timeout(Duration::from_secs(60))));
//! let worker = host.worker(&queue).app(app).start().await?;
//!
//! // Others:
//! let id = queue.submit("wordcount", &Job::new("count", b"input".to_vec())).await?;
//! let result = queue.wait("wordcount", &id).await?;
//! println!("{:?}: {} bytes", result.status, result.bytes.len());
//!
//! worker.stop(Duration::from_secs(10)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! A job that was submitted is run at least once, and has exactly one result. The stream keeps a job until its result is
//! stored. A worker holds it by a lease, which it extends while the job runs; where a worker dies, the lease runs out and
//! another one runs the job anew. So a task may run twice, and may have effects twice; the second result is dropped. One
//! worker never runs a job twice at once. A job that several workers had, and none ended, is given up; those that were
//! stopped, and gave it back, do not count. Each time that it extends a lease it looks for the job's result, and ends its run
//! where there is one: another worker was faster, or the job was cancelled.
//!
//! # Tasks that run anywhere
//!
//! A guest may spawn tasks with the option `anywhere`, and a run that is given a [`Remote`] sends those to a queue that would
//! have to wait on their own machine, for a slot or for a core. To the guest they are tasks as all others: they are joined,
//! cancelled and closed with what is above them, and their errors are the same. What a run may use, its tasks may use
//! elsewhere, each by itself. The app's own grants and limits hold where they run.
//!
//! A job's tasks stay with its worker, whatever their options say. If they could go to the queue, all workers could be busy
//! with jobs that wait for jobs that wait for a worker.
//!
//! # Encoding
//!
//! For other programs and languages. The names are those of a queue called `HART`, which is the default; one called `X`
//! has streams `X`, `X_RESULTS` and `X_DEAD`, and subjects that begin with `x.`.
//!
//! | stream | subject | what a message is |
//! | --- | --- | --- |
//! | `HART`, a work queue | `hart.work.APP.ID` | a job: its payload is the task's input |
//! | `HART_RESULTS`, kept for a day | `hart.result.APP.ID` | what came of it: the payload is what the task returned |
//! | `HART_DEAD`, kept for a week | `hart.dead.APP.ID` | a job that failed, as it was, and why |
//! | none | `hart.cancel.APP.ID` | ends a job that runs; a worker that has it answers |
//!
//! `ID` is any name of letters, digits, `-` and `_` that no other job of the app has whose result is still kept. Headers of a
//! job:
//!
//! | header | what it says |
//! | --- | --- |
//! | `Hart-Entry` | which task |
//! | `Hart-Timeout` | milliseconds that the task may take; the app's own limit holds where it is less |
//! | `Hart-Cpu-Time` | the same for milliseconds of CPU time |
//! | `Hart-Memory` | the same for bytes |
//! | `Hart-Task-Cpu-Time`, `Hart-Task-Memory`, `Hart-Fuel`, `Hart-Task-Fuel`, `Hart-Tasks`, `Hart-Result-Bytes`, `Hart-Depth` | the same for further [limits](crate::Limits): of each task by itself, of fuel, of tasks at a time, of the result, and of how deep spawns may nest |
//! | `Hart-Deny` | rights that the task has not, by their names in `hart:exec`, with commas between them |
//! | `Hart-Reply` | a subject that the result is sent to as well; it begins with `_INBOX.` |
//! | `Nats-Msg-Id` | `APP.ID`, so that the server drops a job that is sent twice |
//!
//! Headers of a result:
//!
//! | header | what it says |
//! | --- | --- |
//! | `Hart-Status` | `ok`; `error`, where the payload is the task's own error; `failed`, as by a trap or a limit; `cancelled` |
//! | `Hart-Exit-Code` | as `hart run` has it: 0, 1, 134 for a trap, 124 for a limit of time, 130 for a cancel |
//! | `Hart-Why` | where it is one of these: `trap`; `fuel`, `memory` or `time` for a limit; `exit`, for an exit code of its own |
//! | `Hart-Reason` | why it is not `ok`, for people; dead letters have it, too |
//! | `Hart-Left-Out` | only in a dead letter: headers or input of the job are left out there |
//! | `Nats-Msg-Id` | `APP.ID.N`, with the job's number in its stream |
//!
//! Two results of one job cannot be stored, whatever its workers do: each is published as the first of its subject
//! (`Nats-Expected-Last-Subject-Sequence: 0`). The dead letter of a job that failed comes right after its result.

mod app;
mod bounds;
mod desk;
mod error;
mod going;
mod job;
mod jobs;
mod letter;
mod names;
mod objects;
mod perform;
mod pull;
mod queue;
mod remote;
mod result;
pub mod rules;
mod settle;
mod shared;
mod status;
mod streams;
mod unread;
mod worker;

pub use app::App;
pub use error::WorkError;
pub use job::Job;
pub use jobs::{AppJobs, Cancelled};
pub use queue::Queue;
pub use remote::Remote;
pub use result::JobResult;
pub use shared::{AppStats, JobRecord};
pub use status::JobStatus;
pub use worker::{Worker, WorkerBuilder};

/// The client of NATS that queues are made of.
pub use async_nats;
