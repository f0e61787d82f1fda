//! Spans of distributed tracing: what the embedder's tracer is told of requests and tasks.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode, Uri, Version};

use crate::base::stats::RunStats;

/// Makes the spans of distributed tracing for what a host does: see [`HostBuilder::tracer`](crate::HostBuilder::tracer).
///
/// The host holds a span as long as what it is of, and no limit of a guest counts that: a run may have 100,000 tasks. A
/// tracer that keeps much in each has a limit of its own.
pub trait Tracer: Send + Sync {
    /// A span that has none above it in this host: that of a request, or of the root of a run where no request that is
    /// followed started it. With `None` it is not followed, and nor is what it spawns.
    fn start(&self, of: &SpanOf<'_>) -> Option<Arc<dyn Span>>;
}

/// A span, from a [`Tracer`]. It is over when it is told so; one that is dropped before was given up: a client went away.
pub trait Span: Send + Sync {
    /// A span below this one.
    fn child(self: Arc<Self>, of: &SpanOf<'_>) -> Option<Arc<dyn Span>>;

    /// Says in the headers of an outgoing request to which span it belongs: that is this one.
    fn inject(&self, headers: &mut HeaderMap);

    /// Something happened.
    fn note(&self, note: &SpanNote<'_>);

    /// It is over. Told once.
    fn end(&self, end: &SpanEnd<'_>);
}

/// What a span is of. Texts may come from guests and clients: untrusted, and URIs and headers may be long.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum SpanOf<'a> {
    /// A request that a [`Service`](crate::Service) answers.
    #[non_exhaustive]
    Request {
        /// The service's name.
        app: &'a str,
        /// Its method.
        method: &'a Method,
        /// What it asks for.
        uri: &'a Uri,
        /// Its headers, among which may be a `traceparent`.
        headers: &'a HeaderMap,
        /// The protocol.
        version: Version,
    },
    /// A guest task. Its span begins before it waits for its slots.
    #[non_exhaustive]
    Task {
        /// The number of its run.
        run: u64,
        /// The name of its run.
        run_name: &'a str,
        /// Its own number.
        id: u64,
        /// Its name.
        name: &'a str,
        /// How deep it is below the root, whose depth is 0.
        depth: u32,
    },
    /// A request that a guest sends, until the head of its answer is there.
    #[non_exhaustive]
    Outgoing {
        /// Its method.
        method: &'a Method,
        /// Where it goes.
        uri: &'a Uri,
    },
}

/// Something that happened in a span.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum SpanNote<'a> {
    /// A task has its slots, and begins.
    Started,
    /// A core was taken from a task. That may be a thousand times in a second.
    Preempted,
    /// A limit refused a spawn to a task: which one, in words.
    LimitReached(&'a str),
    /// The head of a response is there, or of the answer to an outgoing request.
    Status(StatusCode),
}

/// How a span has ended.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct SpanEnd<'a> {
    /// In a word: `returned`, `failed`, `exited`, `trapped`, `cancelled`, `closed`, `limit` or `other` for a task,
    /// `answered` or `failed` for a request.
    pub how: &'static str,
    /// Why that is an error, if it is one. The text may come from the guest: untrusted.
    pub error: Option<&'a str>,
    /// What the run has used, where it is the root that has ended.
    pub stats: Option<&'a dyn Fn() -> RunStats>,
}

impl<'a> SpanEnd<'a> {
    /// That of a request: answered, or not because of `error`.
    pub(crate) fn of_request(error: Option<&'a str>) -> Self {
        Self {
            how: error.map_or("answered", |_| "failed"),
            error,
            stats: None,
        }
    }
}

impl fmt::Debug for SpanEnd<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanEnd")
            .field("how", &self.how)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// A span of the embedder's, which may panic: the host goes on.
#[derive(Clone)]
pub(crate) struct Followed(Arc<dyn Span>);

impl Followed {
    /// The first span of something.
    pub(crate) fn first(tracer: Option<&Arc<dyn Tracer>>, of: &SpanOf<'_>) -> Option<Self> {
        let tracer = tracer?;
        contained(|| tracer.start(of)).flatten().map(Self)
    }

    /// A span below this one.
    pub(crate) fn child(&self, of: &SpanOf<'_>) -> Option<Self> {
        contained(|| self.0.clone().child(of)).flatten().map(Self)
    }

    pub(crate) fn inject(&self, headers: &mut HeaderMap) {
        contained(|| self.0.inject(headers));
    }

    pub(crate) fn note(&self, note: &SpanNote<'_>) {
        contained(|| self.0.note(note));
    }

    pub(crate) fn end(&self, end: &SpanEnd<'_>) {
        contained(|| self.0.end(end));
    }
}

fn contained<T>(call: impl FnOnce() -> T) -> Option<T> {
    let called = catch_unwind(AssertUnwindSafe(call));
    called
        .inspect_err(|_| tracing::error!("a tracer panicked"))
        .ok()
}
