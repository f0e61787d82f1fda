//! What a server tells of each request once it is over.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{Method, Request, Response, StatusCode, Version};

use crate::base::stats::RunStats;
use crate::service::body::ResponseBody;
use crate::service::handle::RequestUsage;

/// A request that is over. Its texts are the client's: whoever writes them escapes them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AccessRecord {
    /// The client.
    pub client: SocketAddr,
    /// When the head of the request was there.
    pub time: SystemTime,
    /// The request's method.
    pub method: Method,
    /// The request's path and query.
    pub path: String,
    /// The protocol.
    pub version: Version,
    /// The response's status.
    pub status: StatusCode,
    /// Bytes of the response's body.
    pub bytes: u64,
    /// The body came to its end; otherwise the client went away, or the guest ended first.
    pub is_whole: bool,
    /// From the head of the request to the end of the response.
    pub duration: Duration,
    /// The service's name, where one answered.
    pub app: Option<String>,
    /// What the request's run has used, where there was a run that answered.
    pub usage: Option<RunStats>,
}

/// Takes records.
pub(super) type AccessLog = dyn Fn(&AccessRecord) + Send + Sync;

/// What is known of a request when it begins.
pub(super) struct Begun {
    client: SocketAddr,
    time: SystemTime,
    start: Instant,
    method: Method,
    path: String,
    version: Version,
}

impl Begun {
    pub(super) fn new<B>(client: SocketAddr, request: &Request<B>) -> Self {
        let path = request.uri().path_and_query();
        Self {
            client,
            time: SystemTime::now(),
            start: Instant::now(),
            method: request.method().clone(),
            path: path.map_or("", |path| path.as_str()).to_owned(),
            version: request.version(),
        }
    }

    /// Tells `log` when the body of `response` is over.
    pub(super) fn responds(
        self,
        log: Arc<AccessLog>,
        app: Option<String>,
        response: &mut Response<ResponseBody>,
    ) {
        let status = response.status();
        let usage = response.extensions().get::<RequestUsage>().cloned();
        response.body_mut().on_end(move |taken| {
            log(&AccessRecord {
                client: self.client,
                time: self.time,
                method: self.method,
                path: self.path,
                version: self.version,
                status,
                bytes: taken.bytes,
                is_whole: taken.is_whole,
                duration: self.start.elapsed(),
                app,
                usage: usage.map(|usage| usage.stats()),
            });
        });
    }
}
