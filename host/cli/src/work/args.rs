//! What `hart work` takes.

use crate::grants::GrantArgs;
use crate::limits::LimitArgs;
use crate::otlp::OtlpArgs;
use crate::queue::QueueArgs;
use crate::scheduling::SchedulingArgs;
use crate::tuning::TuningArgs;
use crate::units::{at_least_one, positive_duration};
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  hart work hart.toml                       run what others submit for the apps of this file
  hart work --timeout 5s resize.wasm        one app, called `resize`
  hart work --server tls://nats.example.com --creds worker.creds hart.toml
  hart submit resize thumbnail --file in.png --wait > out.png

Limits are for each job: one that traps or reaches a limit has a result that says so, and goes to the stream of dead
letters, which `hart jobs` shows. Ctrl-C and SIGTERM take no more jobs and let those that run end for --grace; then they
go back to the stream, for other workers. A second one leaves at once, and loses no job. SIGHUP reads FILE, its components
and --job-log anew: what is taken from then on is run by those, and jobs that run end as they began.";

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WorkArgs {
    /// The component, whose tasks are run by their names: it exports hart:exec/entry; or a .toml
    /// file that names many apps, the same as for `hart serve`
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) queue: QueueArgs,

    /// How long a job stays with a worker that says nothing; it is extended while the job runs
    /// [default: 30s]
    #[arg(long, value_name = "D", value_parser = positive_duration, help_heading = "Jobs")]
    pub(crate) lease: Option<Duration>,

    /// How often a job is delivered to workers before it is given up [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Jobs")]
    pub(crate) deliveries: Option<u32>,

    /// Jobs of an app that run here at once; others stay in the stream [default: 8 for each worker]
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = "Jobs")]
    pub(crate) max_concurrent_jobs: Option<usize>,

    /// How long jobs may take to end once the worker stops [default: 10s]
    #[arg(long, value_name = "D", value_parser = positive_duration, help_heading = "Jobs")]
    pub(crate) grace: Option<Duration>,

    /// Write a line of JSON for each job to this file; `-` is standard output. Without it, one to
    /// standard error for each job that fails
    #[arg(long, value_name = "FILE", help_heading = "Jobs")]
    pub(crate) job_log: Option<PathBuf>,

    /// Listen on this address for `GET /live`, `GET /ready`, which is 503 without a connection and once
    /// the worker stops, and `GET /metrics`, for Prometheus
    #[arg(long, value_name = "ADDR:PORT", help_heading = "Jobs")]
    pub(crate) health: Option<SocketAddr>,

    #[command(flatten)]
    pub(crate) otlp: OtlpArgs,

    #[command(flatten)]
    pub(crate) grants: GrantArgs,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    #[command(flatten)]
    pub(crate) tuning: TuningArgs,

    #[command(flatten)]
    pub(crate) scheduling: SchedulingArgs,

    /// Accept a .cwasm file: native code, which can do whatever hart itself can do
    #[arg(long, help_heading = "Files")]
    pub(crate) allow_precompiled: bool,

    /// Compile again, and do not cache the result
    #[arg(long, help_heading = "Files")]
    pub(crate) no_cache: bool,
}
