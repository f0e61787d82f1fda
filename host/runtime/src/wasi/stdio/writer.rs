//! An output stream that goes into a writer of the embedder's.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;

use futures::future::select;
use futures::lock::Mutex;
use tokio::io::AsyncWrite;

use super::queue::{Destination, Queue, join};
use crate::quota::account::Account;
use crate::sched::core::Core;

/// A writer of the embedder's, for output: see [`Stdio::writer`](crate::Stdio::writer). Clones are the same writer.
#[derive(Clone)]
pub struct Writer(Arc<Mutex<Pin<Box<dyn AsyncWrite + Send>>>>);

impl Writer {
    pub(super) fn new(writer: impl AsyncWrite + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Box::pin(writer))))
    }

    /// Writes all of `bytes`, and has the writer hand it on.
    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        let mut writer = self.0.lock().await;
        while !bytes.is_empty() {
            let written = poll_fn(|cx| writer.as_mut().poll_write(cx, bytes)).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[written..];
        }
        poll_fn(|cx| writer.as_mut().poll_flush(cx)).await
    }
}

impl PartialEq for Writer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Writer {}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// Has a task of the run's write what is in a queue, while there is something.
pub(super) struct ByTask {
    pub(super) writer: Writer,
    pub(super) core: Arc<Core>,
}

impl Destination for ByTask {
    fn is_terminal(&self) -> bool {
        false
    }

    fn write_now(&self, _bytes: &[u8]) -> io::Result<usize> {
        Ok(0)
    }

    fn list(&self, queue: Arc<Queue>, account: &Arc<Account>) -> io::Result<()> {
        let writes = Writes {
            queue,
            writer: self.writer.clone(),
            is_done: false,
        };
        self.core.spawn_for(&account.group, "output", writes.all());
        Ok(())
    }

    /// A writer that never takes anything would have the host keep it for ever.
    fn keeps(&self, _bytes: u64) -> bool {
        false
    }

    fn wrote_kept(&self, _bytes: u64) {}
}

impl fmt::Debug for ByTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.writer.fmt(f)
    }
}

/// The task.
struct Writes {
    queue: Arc<Queue>,
    writer: Writer,
    is_done: bool,
}

impl Writes {
    async fn all(mut self) {
        {
            let queue = &self.queue;
            let left = pin!(queue.moved().wait(|| queue.is_left()));
            let writes = pin!(async {
                loop {
                    let taken = queue.take();
                    let result = self.writer.write(&join(&taken)).await;
                    if !queue.wrote(taken, result) {
                        break;
                    }
                }
            });
            // The writer may take nothing for ever. That is the run's own affair, until it is gone.
            select(left, writes).await;
        }
        self.is_done = !self.queue.is_left();
    }
}

impl Drop for Writes {
    /// The run is gone, the writer has panicked, or the executor is closed: whoever waits for the queue goes on.
    fn drop(&mut self) {
        if !self.is_done {
            self.queue.breaks();
        }
    }
}
