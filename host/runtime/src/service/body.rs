//! The body of a response on its way to the client.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use wasmtime_wasi_http::{Error, WasiBody};

use super::exchange::Exchange;
use crate::host::run::handle::Canceller;

/// The body of a response of a [`Service`](crate::Service): what the guest writes, as it writes it.
///
/// Dropped before its end, it cancels the request's run: the client is gone. Its error means that the guest ended before
/// the body had.
pub struct ResponseBody {
    inner: Inner,
    told: Option<Told>,
}

/// Who is told, when the body is dropped, how much of it was taken.
struct Told {
    tell: Option<Box<dyn FnOnce(Taken) + Send>>,
    taken: Taken,
}

/// What was taken of a body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    /// Bytes, without those of the protocol.
    pub(crate) bytes: u64,
    /// The body came to its end.
    pub(crate) is_whole: bool,
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(tell) = self.tell.take() {
            tell(self.taken);
        }
    }
}

enum Inner {
    Text(Full<Bytes>),
    Guest(GuestBody),
}

struct GuestBody {
    body: WasiBody,
    exchange: Arc<Exchange>,
    /// Of the run, until all of the body is there.
    run: Option<Canceller>,
    /// Bytes that are still to come, where the response says how many.
    left: Option<u64>,
}

/// Why a body ended before its time.
#[derive(Debug)]
pub struct BodyError(Reason);

#[derive(Debug)]
enum Reason {
    Guest(Error),
    Broken,
}

impl ResponseBody {
    pub(crate) fn text(text: String) -> Self {
        Self::new(Inner::Text(Full::from(text)))
    }

    fn new(inner: Inner) -> Self {
        Self { inner, told: None }
    }

    /// Has `tell` called when the body has ended or was dropped.
    pub(crate) fn on_end(&mut self, tell: impl FnOnce(Taken) + Send + 'static) {
        self.told = Some(Told {
            taken: Taken {
                bytes: 0,
                is_whole: self.is_end_stream(),
            },
            tell: Some(Box::new(tell)),
        });
    }

    /// What the guest of `run` writes. Where nobody `wants` it, dropping it ends nothing.
    pub(super) fn guest(
        body: WasiBody,
        exchange: Arc<Exchange>,
        run: Canceller,
        length: Option<u64>,
        wanted: bool,
    ) -> Self {
        let left = length.or_else(|| body.size_hint().exact());
        let is_all = !wanted || left == Some(0) || body.is_end_stream();
        Self::new(Inner::Guest(GuestBody {
            body,
            exchange,
            run: (!is_all).then_some(run),
            left,
        }))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = match &mut self.inner {
            Inner::Text(text) => {
                let frame = Pin::new(text).poll_frame(cx);
                frame.map(|frame| {
                    frame.map(|frame| Ok(frame.unwrap_or_else(|never| match never {})))
                })
            }
            Inner::Guest(body) => body.poll_frame(cx),
        };
        // Whether it is at its end is asked only where somebody is told.
        if self.told.is_some()
            && let Poll::Ready(frame) = &polled
        {
            let is_whole = match frame {
                None => true,
                Some(Err(_)) => false,
                Some(Ok(frame)) => frame.is_trailers() || self.is_end_stream() || self.has_all(),
            };
            let data = frame
                .as_ref()
                .and_then(|frame| frame.as_ref().ok()?.data_ref());
            let bytes = data.map_or(0, |data| data.remaining() as u64);
            if let Some(told) = &mut self.told {
                told.taken.bytes += bytes;
                told.taken.is_whole = is_whole;
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Text(text) => text.is_end_stream(),
            Inner::Guest(body) => body.body.is_end_stream() && !body.exchange.is_broken(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Text(text) => text.size_hint(),
            Inner::Guest(body) => body.body.size_hint(),
        }
    }
}

impl ResponseBody {
    /// Whether all is there that the response's head says.
    fn has_all(&self) -> bool {
        matches!(&self.inner, Inner::Guest(body) if body.left == Some(0))
    }
}

impl GuestBody {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.remaining() as u64);
                self.left = self.left.map(|left| left.saturating_sub(bytes));
                if frame.is_trailers() || self.left == Some(0) {
                    self.run = None;
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                self.run = None;
                Some(Err(BodyError(Reason::Guest(error))))
            }
            // The guest's end of it goes when the guest does, however that came about.
            None if self.exchange.is_broken() => Some(Err(BodyError(Reason::Broken))),
            None => {
                self.run = None;
                None
            }
        })
    }
}

impl Drop for GuestBody {
    fn drop(&mut self) {
        let broken = self.exchange.is_broken();
        let error = broken.then_some("the guest ended before its body had");
        self.exchange.is_over(error);
        if let Some(run) = self.run.take() {
            run.cancel();
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("ended", &self.is_end_stream())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reason::Guest(error) => write!(f, "the guest's body failed: {error}"),
            Reason::Broken => f.write_str("the guest ended before its body had"),
        }
    }
}

impl std::error::Error for BodyError {}
