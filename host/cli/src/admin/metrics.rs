//! What a server tells of itself: metrics as text, and all there is to see as JSON.

use super::http::typed;
use hart_host::http::header::ACCEPT;
use hart_host::http::{HeaderMap, Response, StatusCode};
use hart_host::{Host, Metrics, MetricsFormat, MetricsText, RunStats};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};

/// Runs that a snapshot has at most: those that have used the most CPU time.
const RUNS: usize = 1000;

/// What there is to see at one moment.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Snapshot {
    pub(crate) metrics: Metrics,
    /// Those that are not over.
    pub(crate) runs: Vec<RunStats>,
}

impl Snapshot {
    pub(crate) fn of(host: &Host) -> Self {
        let mut runs = host.groups();
        runs.sort_by_key(|run| std::cmp::Reverse(run.cpu_time));
        runs.truncate(RUNS);
        Self {
            metrics: host.metrics(),
            runs,
        }
    }
}

/// Metrics of `host`, and what `more` writes, in the format that the client asks for.
pub(crate) fn metrics(
    host: &Host,
    asked: &HeaderMap,
    more: impl FnOnce(&mut MetricsText),
) -> Response<Full<Bytes>> {
    let accept = asked.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = MetricsFormat::accepted(accept.unwrap_or(""));
    let mut text = MetricsText::new(format);
    host.metrics().write(&mut text);
    more(&mut text);
    typed(StatusCode::OK, format.content_type(), text.finish())
}
