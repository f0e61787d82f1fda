//! The body of a request on its way to the guest: no longer than allowed, and no slower.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use wasmtime_wasi_http::Error;

use super::exchange::{BodyFault, Exchange};
use crate::sched::clock::pause::Pause;

/// Any error of a body's.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a guest is told of it.
fn for_guest(error: BoxError) -> Error {
    match error.downcast::<hyper::Error>() {
        Ok(error) => Error::Hyper(*error),
        Err(error) => match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => Error::InternalError(Some(error.to_string())),
        },
    }
}

/// A body from the client.
pub(super) struct RequestBody<B> {
    body: Pin<Box<B>>,
    exchange: Arc<Exchange>,
    /// Bytes that may still come.
    left: u64,
    /// How long the client may send nothing while the guest waits for it.
    pause: Pause,
    failed: bool,
}

impl<B> RequestBody<B> {
    pub(super) fn new(body: B, exchange: Arc<Exchange>, most: u64, pause: Pause) -> Self {
        Self {
            body: Box::pin(body),
            exchange,
            left: most,
            pause,
            failed: false,
        }
    }

    fn fails(&mut self, fault: BodyFault) -> Error {
        self.failed = true;
        self.exchange.set_fault(fault);
        match fault {
            BodyFault::TooLarge => Error::HttpRequestBodySize(None),
            BodyFault::Slow => Error::ConnectionReadTimeout,
        }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if this.failed {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = this.body.as_mut().poll_frame(cx) else {
            ready!(this.pause.poll(cx));
            return Poll::Ready(Some(Err(this.fails(BodyFault::Slow))));
        };
        this.pause.ends();
        let frame = match frame {
            None => return Poll::Ready(None),
            Some(frame) => frame.map_err(|error| for_guest(error.into()))?,
        };
        let bytes = frame.data_ref().map_or(0, |data| data.remaining() as u64);
        match this.left.checked_sub(bytes) {
            Some(left) => this.left = left,
            None => return Poll::Ready(Some(Err(this.fails(BodyFault::TooLarge)))),
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
