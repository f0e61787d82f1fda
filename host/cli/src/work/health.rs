//! What tells others how a worker is: for Kubernetes, and for Prometheus.
//!
//! A thread of its own answers, also where guests keep all workers busy.

use crate::failure::Failure;
use hart_host::http::{Request, Response, StatusCode};
use hart_host::work::{AppStats, Queue, Worker};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How long it waits to accept again where the system has no descriptor left.
const NO_DESCRIPTOR: Duration = Duration::from_millis(50);

/// How a worker is. Clones share it.
#[derive(Clone)]
pub(super) struct Health(Arc<State>);

struct State {
    worker: Arc<Worker>,
    queue: Queue,
    stops: AtomicBool,
}

impl Health {
    pub(super) fn new(worker: Arc<Worker>, queue: Queue) -> Self {
        let stops = AtomicBool::new(false);
        Self(Arc::new(State {
            worker,
            queue,
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
        listener.set_nonblocking(true).map_err(failed)?;
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let health = self.clone();
        thread::Builder::new()
            .name("hart-health".into())
            .spawn(move || {
                // It goes on until the process ends.
                let _ = tokio.block_on(health.accept(listener));
            })
            .map_err(failed)?;
        Ok(())
    }

    async fn accept(self, listener: TcpListener) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(NO_DESCRIPTOR).await;
                continue;
            };
            let health = self.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = health.answer(request.uri().path());
                    async move { Ok::<_, Infallible>(answer) }
                });
                // A client that goes away is no error of ours.
                let _ = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    }

    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        let (status, text) = match path {
            "/live" => (StatusCode::OK, "it lives\n".to_owned()),
            "/ready" => self.ready(),
            "/metrics" => (StatusCode::OK, metrics(&self.0.worker.stats())),
            _ => (
                StatusCode::NOT_FOUND,
                "there are /live, /ready and /metrics\n".to_owned(),
            ),
        };
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = status;
        response
    }

    fn ready(&self) -> (StatusCode, String) {
        let why = if self.0.stops.load(Ordering::Relaxed) {
            "it stops"
        } else if !self.0.queue.is_connected() {
            "there is no connection to NATS"
        } else {
            return (StatusCode::OK, "it takes jobs\n".into());
        };
        (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"))
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

/// Name, kind, help and value.
const OTHERS: [(&str, &str, &str, Value); 4] = [
    (
        "hart_jobs_running",
        "gauge",
        "Jobs that the worker has now.",
        |app| app.running as u64,
    ),
    (
        "hart_jobs_most",
        "gauge",
        "Jobs that it has at most.",
        |app| app.concurrency as u64,
    ),
    (
        "hart_jobs_returned_total",
        "counter",
        "Jobs that went back to the stream.",
        |app| app.returned,
    ),
    (
        "hart_jobs_redelivered_total",
        "counter",
        "Deliveries that were not the first.",
        |app| app.redelivered,
    ),
];

/// What the worker has done, as Prometheus reads it. Names of apps are letters, digits, `-` and `_`.
fn metrics(apps: &[AppStats]) -> String {
    let mut text = String::from(
        "# HELP hart_jobs_total Jobs that have ended.\n# TYPE hart_jobs_total counter\n",
    );
    for app in apps {
        let name = &app.name;
        for (status, value) in ENDED {
            let value = value(app);
            let _ = writeln!(
                text,
                "hart_jobs_total{{app=\"{name}\",status=\"{status}\"}} {value}"
            );
        }
    }
    for (metric, kind, help, value) in OTHERS {
        let _ = writeln!(text, "# HELP {metric} {help}\n# TYPE {metric} {kind}");
        for app in apps {
            let (name, value) = (&app.name, value(app));
            let _ = writeln!(text, "{metric}{{app=\"{name}\"}} {value}");
        }
    }
    text
}
