//! How a service takes its requests.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::request::Parts;

use crate::wasi::numbering::LogPrefix;

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
    pub(super) prefix: LogPrefix,
    /// The number of the next instance.
    pub(super) instances: Arc<AtomicU64>,
    pub(super) data: Option<Arc<RequestData<T>>>,
}

/// Makes the data of a request's run.
pub(super) type RequestData<T> = dyn Fn(&Parts) -> T + Send + Sync;
