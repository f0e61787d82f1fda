//! How a service takes its requests.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;

/// What a service is set up with.
pub(super) struct Settings<T> {
    pub(super) concurrency: usize,
    pub(super) queue: usize,
    pub(super) patience: Duration,
    pub(super) reuse: Option<u32>,
    pub(super) idle: Duration,
    pub(super) body_limit: u64,
    pub(super) body_pause: Duration,
    pub(super) quiet: bool,
    pub(super) data: Option<Arc<RequestData<T>>>,
}

/// Makes the data of a request's run.
pub(super) type RequestData<T> = dyn Fn(&Parts) -> T + Send + Sync;
