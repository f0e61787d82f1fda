//! Where an output stream of guests goes.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::queue::{End, Queue, Refused, STDERR, STDOUT};
use crate::base::sync::lock;
use crate::quota::account::Account;

/// Where it goes.
#[derive(Clone)]
pub(crate) enum Sink {
    Null,
    Process(Arc<Queue>),
    /// The process's own, at once: on a simulated machine time does not go on while a reader is slow.
    Direct(&'static End),
    Capture(Arc<Mutex<Vec<u8>>>),
}

impl Sink {
    /// The process's standard output.
    pub(crate) fn stdout(waits: bool) -> Self {
        Self::process(&STDOUT, waits)
    }

    /// The process's standard error.
    pub(crate) fn stderr(waits: bool) -> Self {
        Self::process(&STDERR, waits)
    }

    fn process(end: &'static End, waits: bool) -> Self {
        match waits {
            false => Self::Process(Queue::new(end)),
            true => Self::Direct(end),
        }
    }

    /// Waits until all that was written so far has got where it goes.
    pub(crate) async fn drained(&self) {
        if let Self::Process(queue) = self {
            let accepted = queue.accepted();
            queue.moved().wait(|| queue.has_written(accepted)).await;
        }
    }

    /// Its run is gone.
    pub(crate) fn leave(&self) {
        if let Self::Process(queue) = self {
            queue.leave();
        }
    }

    /// Takes all of `bytes`. What is held of them counts for `account`.
    pub(super) fn put(&self, bytes: Bytes, account: &Arc<Account>) -> Result<(), Refused> {
        match self {
            Self::Null => Ok(()),
            Self::Process(queue) => queue.push(bytes, account),
            Self::Direct(end) => end.write(&bytes).map_err(Refused::Io),
            Self::Capture(kept) => {
                lock(kept).extend_from_slice(&bytes);
                Ok(())
            }
        }
    }
}
