//! Files in the machine's time: what a guest reads and writes happens at the end of its poll, in order.
//!
//! wasmtime hands reads and writes of streams to a thread, which answers when it is done: at a time that no
//! seed decides. So there is one such thread, and it stands at a *gate* while guests are polled:
//!
//! 1. A job that waits for its gate is the first that the thread has.
//! 2. What a guest hands over in its poll queues up behind it.
//! 3. At the end of the poll, [`Files::settle`] queues a job that waits for the next gate, opens the present
//!    one, and waits until the thread stands at the next. All that was queued in between is done, and its
//!    wakers were called.
//! 4. Dropping this opens the gate for good.

use crate::{cost, machine::Machine};
use futures::future::BoxFuture;
use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    task::{Context, Poll},
};
use tokio::runtime::{EnterGuard, Runtime};

pub(crate) struct Files {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    gate: Mutex<Option<Sender<()>>>,
}

impl Files {
    /// Starts the thread.
    pub(super) fn new() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()?;
        let files = Self {
            runtime: Some(runtime),
            gate: Mutex::new(None),
        };
        let (gate, _reached) = files.wait_at_a_gate();
        files.replace_gate(Some(gate));
        Ok(files)
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("there until the drop")
    }

    /// While what this gives is there, work for threads that comes from this thread goes to this one.
    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.runtime().enter()
    }

    /// Queues a job that waits until what this gives is dropped, and tells when it begins.
    fn wait_at_a_gate(&self) -> (Sender<()>, Receiver<()>) {
        let (gate, opened) = channel::<()>();
        let (tell, reached) = channel();
        drop(self.runtime().spawn_blocking(move || {
            // Nobody listens to the first one.
            let _ = tell.send(());
            // An error: the gate is gone, that is, open.
            let _ = opened.recv();
        }));
        (gate, reached)
    }

    fn replace_gate(&self, gate: Option<Sender<()>>) {
        let mut present = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        drop(std::mem::replace(&mut *present, gate));
    }

    fn settle(&self) {
        let (gate, reached) = self.wait_at_a_gate();
        self.replace_gate(Some(gate));
        // An error: the thread is gone, and with it all that it had to do.
        let _ = reached.recv();
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.replace_gate(None);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A guest that pays for its instance at its first poll, and whose files are settled at the end of every one.
pub(super) struct Settled {
    pub(super) future: BoxFuture<'static, ()>,
    pub(super) files: Option<Arc<Files>>,
    /// Until its first poll.
    pub(super) starts: Option<Arc<Machine>>,
}

impl Future for Settled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(machine) = self.starts.take() {
            // No guest is on this stack yet.
            machine.spend(cost::INSTANCE);
        }
        let polled = self.future.as_mut().poll(cx);
        if polled.is_pending()
            && let Some(files) = &self.files
        {
            files.settle();
        }
        polled
    }
}
