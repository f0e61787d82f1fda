//! What `hart serve` takes.

use crate::admin::address::AdminAddress;
use crate::config::plan::LogFormat;
use crate::flight::FlightArgs;
use crate::grants::GrantArgs;
use crate::limits::LimitArgs;
use crate::otlp::OtlpArgs;
use crate::scheduling::SchedulingArgs;
use crate::tuning::TuningArgs;
use crate::units::{at_least_one, positive_duration, size};
use clap::Args;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub(super) const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

const EXAMPLES: &str = "\
Examples:
  hart serve hello.wasm                     answer requests on http://127.0.0.1:8080/
  hart serve --addr 0.0.0.0:80 app.wasm     on every address of this machine
  hart serve --timeout 5s -W max-memory=64MiB untrusted.wasm
  hart serve --allow-http api.example.com app.wasm
  hart serve hart.toml                      many apps; `hart new --config` writes an example
  hart serve --check hart.toml              say what is wrong with it

Limits are for each request: a trap is answered with 500, a time limit with 504, another limit with
503. SIGHUP loads what has changed and ends nothing: requests that run end as they began. Ctrl-C and SIGTERM stop accepting and let requests end for --grace; a second one leaves at once.";

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// The component: it exports wasi:http/incoming-handler (WASI 0.2) or wasi:http/handler (0.3);
    /// or a .toml file that names many apps
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The address to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT", help_heading = "Server")]
    pub(crate) addr: Option<SocketAddr>,

    /// Speak TLS, with the certificates in this PEM file; SIGHUP reads it again
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_key",
        help_heading = "Server"
    )]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The certificate's key, a PEM file
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_cert",
        help_heading = "Server"
    )]
    pub(crate) tls_key: Option<PathBuf>,

    /// Write a line for each request to this file; `-` is standard output; SIGHUP opens it again
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    pub(crate) access_log: Option<PathBuf>,

    /// How those lines look [default: common]
    #[arg(long, value_name = "FORMAT", value_enum, help_heading = "Server")]
    pub(crate) access_log_format: Option<LogFormat>,

    /// Listen there for `hart top`, Prometheus (`GET /metrics`) and new versions (`POST /apps/NAME`): on a
    /// Unix socket, or for reading on an address of this machine, like 127.0.0.1:9100; may be repeated
    #[arg(long, value_name = "PATH|ADDR:PORT", value_parser = AdminAddress::parse, help_heading = "Server")]
    pub(crate) admin: Vec<AdminAddress>,

    #[command(flatten)]
    pub(crate) flight: FlightArgs,

    /// Load a component, or the .toml file, anew when its file changes
    #[arg(long, help_heading = "Server")]
    pub(crate) watch: bool,

    /// Check FILE and all that it names, and serve nothing
    #[arg(long, help_heading = "Server")]
    pub(crate) check: bool,

    /// Stop, as Ctrl-C does, when something connects to this address
    #[arg(long, value_name = "ADDR:PORT", help_heading = "Server")]
    pub(crate) shutdown_addr: Option<SocketAddr>,

    /// How long requests may take to end once the server stops [default: 10s]
    #[arg(long, value_name = "D", value_parser = positive_duration, help_heading = "Server")]
    pub(crate) grace: Option<Duration>,

    /// Connections at once; more wait [default: no limit]
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = "Server")]
    pub(crate) max_concurrent_connections: Option<usize>,

    /// Requests that run at once; more wait in a queue [default: 512]
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = "Server")]
    pub(crate) max_concurrent_requests: Option<usize>,

    /// Requests that wait at once; more are answered with 503
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1024,
        help_heading = "Server"
    )]
    pub(crate) max_queued_requests: usize,

    /// How long a request waits at most before it is answered with 503
    #[arg(long, value_name = "D", default_value = "10s", value_parser = positive_duration, help_heading = "Server")]
    pub(crate) queue_timeout: Duration,

    /// Give each request this header instead of the client's, `NAME: VALUE`, or those in a file,
    /// `@FILE`; may be repeated
    #[arg(
        short = 'H',
        long = "header",
        value_name = "HEADER",
        help_heading = "Server"
    )]
    pub(crate) headers: Vec<String>,

    /// How long a client may take to send the head of a request
    #[arg(long, value_name = "D", default_value = "30s", value_parser = positive_duration, help_heading = "Server")]
    pub(crate) header_timeout: Duration,

    /// The largest head of a request; a larger one is answered with 431
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = size, help_heading = "Server")]
    pub(crate) max_header_size: u64,

    /// The largest body of a request; a larger one is answered with 413 [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Server")]
    pub(crate) max_body_size: Option<u64>,

    /// How long a client may send nothing of a body that the guest waits for; then 408. And how long
    /// it may take nothing of a response; then the connection is closed
    #[arg(long, value_name = "D", default_value = "60s", value_parser = positive_duration, help_heading = "Server")]
    pub(crate) body_timeout: Duration,

    /// Requests that an instance answers, one after the other, before it is dropped [default: 1 for
    /// WASI 0.2, 128 for 0.3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Instances")]
    pub(crate) max_instance_reuse_count: Option<u32>,

    /// Requests that one instance answers at the same time: always 1, so that one which computes
    /// holds up no other
    #[arg(long, value_name = "1", value_parser = clap::value_parser!(u32).range(1..=1), help_heading = "Instances")]
    pub(crate) max_instance_concurrent_reuse_count: Option<u32>,

    /// How long an instance waits for its next request before it is dropped
    #[arg(long, value_name = "D", default_value = "1s", value_parser = positive_duration, help_heading = "Instances")]
    pub(crate) idle_instance_timeout: Duration,

    /// Do not begin lines that guests write with `stdout [N] :: ` or `stderr [N] :: `, where N is the
    /// number of the instance, which the guest finds in INSTANCE_ID; apps of a .toml file have
    /// `[NAME N]`
    #[arg(long, help_heading = "Answers")]
    pub(crate) no_logging_prefix: bool,

    /// Do not say in a response why it is an error
    #[arg(long, help_heading = "Answers")]
    pub(crate) quiet_errors: bool,

    /// Add a Server-Timing header: CPU time, time in queues and after preemptions, memory
    #[arg(long, help_heading = "Answers")]
    pub(crate) server_timing: bool,

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
