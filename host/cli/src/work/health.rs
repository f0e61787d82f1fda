//! What tells others how a worker is: for Kubernetes, and for Prometheus.

use super::current::Current;
use crate::admin::http::{self, Listener, text};
use crate::admin::metrics::metrics;
use crate::failure::Failure;
use hart_host::http::{HeaderMap, Response, StatusCode};
use hart_host::work::{AppStats, Queue};
use hart_host::{Host, MetricsText};
use http_body_util::Full;
use hyper::body::Bytes;
use std::future::ready;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a worker is. Clones share it.
#[derive(Clone)]
pub(super) struct Health(Arc<State>);

struct State {
    current: Arc<Current>,
    queue: Queue,
    host: Host,
    stops: AtomicBool,
}

impl Health {
    pub(super) fn new(current: Arc<Current>, queue: Queue, host: Host) -> Self {
        let stops = AtomicBool::new(false);
        Self(Arc::new(State {
            current,
            queue,
            host,
            stops,
        }))
    }

    /// It takes no more jobs.
    pub(super) fn stops(&self) {
        self.0.stops.store(true, Ordering::Relaxed);
    }

    /// Answers on `addr`, until the process ends.
    ///
    /// # Errors
    /// An address that cannot be had.
    pub(super) fn listen(&self, addr: SocketAddr) -> Result<(), Failure> {
        let failed = |error: io::Error| {
            Failure::new(
                1,
                format!("cannot listen on {addr}: {error}; choose another address with --health"),
            )
        };
        let listener = TcpListener::bind(addr).map_err(failed)?;
        let health = self.clone();
        http::serve("hart-health", Listener::Tcp(listener), move |request| {
            ready(health.answer(request.uri().path(), request.headers()))
        })
        .map_err(failed)
    }

    fn answer(&self, path: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
        match path {
            "/live" => text(StatusCode::OK, "it lives\n"),
            "/ready" => self.ready(),
            "/metrics" => metrics(&self.0.host, headers, |to| {
                write(&self.0.current.worker().stats(), to)
            }),
            _ => text(
                StatusCode::NOT_FOUND,
                "there are /live, /ready and /metrics\n",
            ),
        }
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        let why = if self.0.stops.load(Ordering::Relaxed) {
            "it stops\n"
        } else if !self.0.queue.is_connected() {
            "there is no connection to NATS\n"
        } else {
            return text(StatusCode::OK, "it takes jobs\n");
        };
        text(StatusCode::SERVICE_UNAVAILABLE, why)
    }
}

/// A number of an app.
type Value = fn(&AppStats) -> u64;

/// How jobs have ended.
const ENDED: [(&str, Value); 4] = [
    ("ok", |app| app.ok),
    ("error", |app| app.errors),
    ("failed", |app| app.failed),
    ("cancelled", |app| app.cancelled),
];

/// Name, help and value.
type Figure = (&'static str, &'static str, Value);

const GAUGES: [Figure; 2] = [
    (
        "hart_jobs_running",
        "Jobs that the worker has now.",
        |app| app.running as u64,
    ),
    ("hart_jobs_most", "Jobs that it has at most.", |app| {
        app.concurrency as u64
    }),
];

const COUNTERS: [Figure; 2] = [
    (
        "hart_jobs_returned_total",
        "Jobs that went back to the stream.",
        |app| app.returned,
    ),
    (
        "hart_jobs_redelivered_total",
        "Deliveries that were not the first.",
        |app| app.redelivered,
    ),
];

/// What the worker has done.
fn write(apps: &[AppStats], to: &mut MetricsText) {
    to.counter("hart_jobs_total", "Jobs that have ended.");
    for app in apps {
        for (status, value) in ENDED {
            let labels = [("app", app.name.as_str()), ("status", status)];
            to.value(&labels, value(app) as f64);
        }
    }
    for (name, help, value) in GAUGES {
        to.gauge(name, help);
        values(apps, value, to);
    }
    for (name, help, value) in COUNTERS {
        to.counter(name, help);
        values(apps, value, to);
    }
}

fn values(apps: &[AppStats], value: Value, to: &mut MetricsText) {
    for app in apps {
        to.value(&[("app", &app.name)], value(app) as f64);
    }
}
