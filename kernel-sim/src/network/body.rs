//! The body of a request, as its client sends it.

use super::requests::Rate;
use crate::{machine::Machine, sim::Sleep};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// The most bytes that come at once.
const CHUNK: u64 = 4096;

/// How often a client on a slow line sends something, nanoseconds: not more often.
const PAUSE: u64 = 1_000_000;

/// A body of letters, at its client's pace.
pub(super) struct Upload {
    machine: Arc<Machine>,
    rate: Option<Rate>,
    sent: u64,
    left: u64,
    /// Until the next bytes come.
    pause: Option<Sleep>,
}

impl Upload {
    pub(super) fn new(machine: Arc<Machine>, bytes: u64, rate: Option<Rate>) -> Self {
        Self {
            machine,
            rate,
            sent: 0,
            left: bytes,
            pause: None,
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let most = this.rate.map_or(CHUNK, |rate| rate.count_in(PAUSE).max(1));
        let chunk = this.left.min(most).min(CHUNK);
        if let Some(rate) = this.rate {
            let machine = &this.machine;
            let sleep = || Sleep::new(machine.clone(), rate.time_for(chunk));
            let pause = this.pause.get_or_insert_with(sleep);
            ready!(Pin::new(pause).poll(cx));
            this.pause = None;
        }
        let letters = (this.sent..this.sent + chunk).map(|at| b'a' + (at % 26) as u8);
        this.sent += chunk;
        this.left -= chunk;
        Poll::Ready(Some(Ok(Frame::data(letters.collect()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
