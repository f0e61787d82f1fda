//! What the two sides of a request know of each other: the client's and the guest's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Instant;

use futures::channel::oneshot;
use http::{Response, StatusCode};
use wasmtime_wasi_http::WasiBody;

use crate::base::span::{Followed, SpanEnd, SpanNote};
use crate::metrics::figures::AppFigures;

/// Why a request's body ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFault {
    /// It is longer than the service takes.
    TooLarge,
    /// The client sent nothing for too long.
    Slow,
}

/// One request and its response.
#[derive(Default)]
pub(super) struct Exchange {
    /// Where it is counted, and when it came.
    counted: Option<(Arc<AppFigures>, Instant)>,
    /// Its span, if it is followed.
    span: Option<Followed>,
    /// The guest ended before it had done what it was called for.
    broken: AtomicBool,
    /// A [`BodyFault`], if there is one.
    fault: AtomicU8,
}

const TOO_LARGE: u8 = 1;
const SLOW: u8 = 2;

impl Exchange {
    /// One that is counted, if there are figures of its app, and followed, if there is a span.
    pub(super) fn new(figures: Option<&Arc<AppFigures>>, span: Option<Followed>) -> Self {
        Self {
            span,
            counted: figures.map(|figures| (figures.clone(), figures.now())),
            ..Self::default()
        }
    }

    /// Where it is counted.
    pub(super) fn figures(&self) -> Option<&AppFigures> {
        self.counted.as_ref().map(|(figures, _)| &**figures)
    }

    /// Its span.
    pub(super) fn span(&self) -> Option<&Followed> {
        self.span.as_ref()
    }

    /// The response begins, with this status.
    pub(super) fn responds(&self, status: StatusCode) {
        if let Some(figures) = self.figures() {
            figures.responds(status.as_u16());
        }
        if let Some(span) = &self.span {
            span.note(&SpanNote::Status(status));
        }
    }

    /// The response is over, perhaps because of an error.
    pub(super) fn is_over(&self, error: Option<&str>) {
        if let Some(span) = &self.span {
            span.end(&SpanEnd::of_request(error));
        }
        if let Some((figures, start)) = &self.counted {
            figures.has_responded(*start);
        }
    }

    /// Whether what the guest wrote may be only a part.
    pub(super) fn is_broken(&self) -> bool {
        // Acquire: pairs with the Release in `Watch::drop`, which comes before the guest's end of the body goes.
        self.broken.load(Ordering::Acquire)
    }

    pub(super) fn set_fault(&self, fault: BodyFault) {
        let fault = match fault {
            BodyFault::TooLarge => TOO_LARGE,
            BodyFault::Slow => SLOW,
        };
        self.fault.store(fault, Ordering::Relaxed);
    }

    pub(super) fn fault(&self) -> Option<BodyFault> {
        match self.fault.load(Ordering::Relaxed) {
            TOO_LARGE => Some(BodyFault::TooLarge),
            SLOW => Some(BodyFault::Slow),
            _ => None,
        }
    }
}

/// Breaks the exchange, unless the guest's call returned. It lives in the future that borrows the guest's store, so it
/// goes before the store does, and with that the guest's end of the response.
pub(super) struct Watch {
    exchange: Arc<Exchange>,
    returned: bool,
}

impl Watch {
    pub(super) fn new(exchange: Arc<Exchange>) -> Self {
        Self {
            exchange,
            returned: false,
        }
    }

    pub(super) fn returned(mut self) {
        self.returned = true;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.returned {
            self.exchange.broken.store(true, Ordering::Release);
        }
    }
}

/// A guest's response, or the error that it chose instead.
pub(super) type Answer = Result<Response<WasiBody>, String>;

/// Where the guest's answer goes. The first one counts.
pub(super) struct Reply(Option<oneshot::Sender<Answer>>);

impl Reply {
    pub(super) fn new() -> (Self, oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(sender)), receiver)
    }

    pub(super) fn send(&mut self, answer: Answer) {
        if let Some(sender) = self.0.take() {
            // The client may be gone.
            let _ = sender.send(answer);
        }
    }
}
