//! One thread: a tokio runtime with one blocking thread.

use std::sync::Arc;

use tokio::runtime::{Builder, EnterGuard, Runtime};

use super::clock::CpuClock;
use crate::sched::kernel_slice;

/// What a thread is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its calls await what blocks.
    Files,
    /// The same, for what capabilities of the embedder's do.
    Own,
    /// Its calls spawn tasks of tokio's which do: another thread drives these.
    Names,
}

/// A thread that comes when it is first needed, and goes when it has not been for a while.
pub(super) struct Thread {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    clock: Arc<CpuClock>,
}

impl Thread {
    /// # Panics
    ///
    /// If the system has no thread for the driver of [`Kind::Names`]. That ends the guest that asked.
    pub(super) fn new(kind: Kind) -> Self {
        let clock = Arc::new(CpuClock::default());
        let (begins, ends) = (clock.clone(), clock.clone());
        let mut builder = match kind {
            Kind::Files | Kind::Own => Builder::new_current_thread(),
            Kind::Names => {
                let mut builder = Builder::new_multi_thread();
                builder.worker_threads(1);
                builder
            }
        };
        let name = match kind {
            Kind::Files => "hart-files",
            Kind::Own => "hart-blocking",
            Kind::Names => "hart-names",
        };
        let runtime = builder
            .max_blocking_threads(1)
            .thread_name(name)
            .on_thread_start(move || {
                kernel_slice::shorten();
                begins.set();
            })
            .on_thread_stop(move || ends.unset())
            .build()
            .expect("a runtime without drivers");
        Self {
            runtime: Some(runtime),
            clock,
        }
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is not dropped")
    }

    /// While the guard lives, what this thread of the caller's hands to tokio is done by this one.
    pub(super) fn enter(&self) -> EnterGuard<'_> {
        self.runtime().enter()
    }

    /// Calls `then` on the thread, once it has done all that was handed to it.
    pub(super) fn when_idle(self, then: impl FnOnce(Self) + Send + 'static) {
        let handle = self.runtime().handle().clone();
        handle.spawn_blocking(move || then(self));
    }

    /// Of the CPU time that it has used.
    pub(super) fn clock(&self) -> &Arc<CpuClock> {
        &self.clock
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Wherever this is, even on the thread itself: nobody waits for it.
            runtime.shutdown_background();
        }
    }
}
