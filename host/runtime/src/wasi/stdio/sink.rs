//! Where an output stream of guests goes.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::end::{End, STDERR, STDOUT};
use super::queue::{Queue, Refused};
use super::writer::{ByTask, Writer};
use crate::base::sync::lock;
use crate::quota::account::Account;
use crate::sched::core::Core;

/// Where it goes.
#[derive(Clone)]
pub(crate) enum Sink {
    Null,
    Queued(Arc<Queue>),
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
            false => Self::Queued(Queue::new(end)),
            true => Self::Direct(end),
        }
    }

    /// A writer of the embedder's, polled by tasks of `core`.
    pub(crate) fn writer(writer: &Writer, core: &Arc<Core>) -> Self {
        Self::Queued(Queue::new(ByTask {
            writer: writer.clone(),
            core: core.clone(),
        }))
    }

    /// Waits until all that was written so far has got where it goes.
    pub(crate) async fn drained(&self) {
        if let Self::Queued(queue) = self {
            let accepted = queue.accepted();
            queue.moved().wait(|| queue.has_written(accepted)).await;
        }
    }

    /// Its run is gone.
    pub(crate) fn leave(&self) {
        if let Self::Queued(queue) = self {
            queue.leave();
        }
    }

    /// Takes all of `bytes`. What is held of them counts for `account`.
    pub(super) fn put(&self, bytes: Bytes, account: &Arc<Account>) -> Result<(), Refused> {
        match self {
            Self::Null => Ok(()),
            Self::Queued(queue) => queue.push(bytes, account),
            Self::Direct(end) => end.write(&bytes).map_err(Refused::Io),
            Self::Capture(kept) => {
                lock(kept).extend_from_slice(&bytes);
                Ok(())
            }
        }
    }
}
