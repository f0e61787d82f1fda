//! Threads that wait for the system in the place of guests: some for files, others for name look-ups.
//!
//! wasmtime-wasi hands what may block to the blocking threads of the tokio runtime that it finds itself in, where all
//! operations stand in one queue, whoever asked. Here each thread is a tokio runtime of its own with one blocking thread.
//! A call of a guest's is lent one, and is polled inside that runtime: what it hands over is done there and nowhere else.
//!
//! # Protocol
//!
//! 1. A call asks with [`lend`](IoThreads::lend). It has a thread at once where one is free and its run and its tenant
//!    have fewer than their parts; else it waits in the queue of its run.
//! 2. A thread that comes back goes to the next run in turn that waits and has less than its part. A run of many
//!    operations gets no more turns than a run of one.
//! 3. Whoever gives up while they wait leave the queue: their operation never starts.
//! 4. A call that has returned leaves nothing on its thread, which comes back at once. One that was dropped before may
//!    have left an operation there, which nothing can end. So a mark is queued behind it, and the thread comes back when it
//!    gets to the mark: until then it counts as its run's, also where that is over.
//! 5. What the thread's CPU clock shows from the loan to its end is charged to the run's group, at the end or in parts.

mod clock;
mod queue;
#[cfg(test)]
mod tests;
mod thread;

use std::future::Future;
use std::panic::{catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::base::sync::lock;
use crate::quota::account::Account;
use clock::CpuClock;
use queue::{Borrower, Queue, Slot, Ticket, Waiting};
use thread::{Kind, Thread};

/// The threads of a host.
pub(crate) struct Io {
    /// Those that wait for files.
    pub(crate) files: Arc<IoThreads>,
    /// Those that look up names. Apart, because a name server may take a minute to answer nothing.
    pub(crate) names: Arc<IoThreads>,
    /// Those that do what capabilities of the embedder's block for. Apart, because that may compute for as long as its run
    /// may, and nobody's files are to wait for it.
    pub(crate) own: Arc<IoThreads>,
}

impl Io {
    /// So many for files, as many for capabilities, and a quarter of that for names; none at all if that is 0.
    pub(crate) fn new(files: usize) -> Arc<Self> {
        Arc::new(Self {
            files: IoThreads::new(files, Kind::Files),
            names: IoThreads::new(files.div_ceil(4), Kind::Names),
            own: IoThreads::new(files, Kind::Own),
        })
    }
}

/// Threads of one kind.
pub(crate) struct IoThreads {
    /// None at all: calls block the thread that polls them.
    inline: bool,
    kind: Kind,
    queue: Mutex<Queue>,
}

impl IoThreads {
    fn new(most: usize, kind: Kind) -> Arc<Self> {
        Arc::new(Self {
            inline: most == 0,
            kind,
            queue: Mutex::new(Queue::new(most)),
        })
    }

    /// Waits for a thread. Nobody waits before this is polled.
    pub(crate) fn lend(self: &Arc<Self>, run: u64, account: &Arc<Account>) -> Lend {
        let account = account.clone();
        let tenant = account.tenant.as_ref();
        let tenant = tenant.map(|tenant| tenant.tenant.id().as_u64());
        Lend {
            threads: self.clone(),
            borrower: Borrower { run, tenant },
            account,
            ticket: None,
        }
    }

    /// Step 2.
    fn come_back(&self, thread: Thread, borrower: Borrower) {
        let next = lock(&self.queue).come_back(thread, borrower);
        // A waker is foreign code: not under the lock.
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

/// A future of a [`Loan`].
pub(crate) struct Lend {
    threads: Arc<IoThreads>,
    account: Arc<Account>,
    borrower: Borrower,
    ticket: Option<Ticket>,
}

impl Lend {
    fn loan(&self, thread: Option<Thread>) -> Loan {
        let clock = thread.as_ref().map(|thread| thread.clock().clone());
        let began = clock.as_ref().and_then(|clock| clock.read());
        Loan {
            meter: Meter {
                clock,
                // One that has not begun has used nothing.
                charged: Arc::new(AtomicU64::new(began.unwrap_or(0))),
                account: self.account.clone(),
            },
            thread,
            threads: self.threads.clone(),
            borrower: self.borrower,
            busy: false,
        }
    }
}

impl Future for Lend {
    type Output = Loan;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Loan> {
        let this = self.get_mut();
        if this.threads.inline {
            return Poll::Ready(this.loan(None));
        }
        let slot = {
            let mut queue = lock(&this.threads.queue);
            match this.ticket {
                Some(ticket) => queue.look(this.borrower, ticket, cx.waker()),
                None => queue.ask(this.borrower, cx.waker()),
            }
        };
        match slot {
            Slot::Waits(ticket, _old) => {
                this.ticket = Some(ticket);
                Poll::Pending
            }
            Slot::Lent(thread) => {
                this.ticket = None;
                Poll::Ready(this.loan(Some(thread)))
            }
            Slot::New => {
                this.ticket = None;
                let kind = this.threads.kind;
                match catch_unwind(|| Thread::new(kind)) {
                    Ok(thread) => Poll::Ready(this.loan(Some(thread))),
                    Err(panic) => {
                        lock(&this.threads.queue).not_made(this.borrower);
                        resume_unwind(panic)
                    }
                }
            }
        }
    }
}

impl Drop for Lend {
    /// Step 3.
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let left = lock(&self.threads.queue).leave(self.borrower, ticket);
            if let Some(Waiting::Lent(thread)) = left {
                self.threads.come_back(thread, self.borrower);
            }
        }
    }
}

/// Charges a run for a thread that is lent to it.
#[derive(Clone)]
pub(crate) struct Meter {
    /// None where the operation is done on the thread that polls.
    clock: Option<Arc<CpuClock>>,
    /// Up to where it was charged. Only a number: `Relaxed`.
    charged: Arc<AtomicU64>,
    account: Arc<Account>,
}

impl Meter {
    /// Charges what was used since the last time, and says how much: nanoseconds.
    pub(crate) fn charge(&self) -> u64 {
        let now = self.clock.as_ref().and_then(|clock| clock.read());
        let Some(now) = now else {
            return 0;
        };
        let used = now.saturating_sub(self.charged.fetch_max(now, Ordering::Relaxed));
        self.account.group.charge(Duration::from_nanos(used));
        used
    }
}

/// A thread that is lent to one call.
pub(crate) struct Loan {
    threads: Arc<IoThreads>,
    thread: Option<Thread>,
    borrower: Borrower,
    meter: Meter,
    /// Something may be on the thread.
    busy: bool,
}

impl Loan {
    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Does on the thread what `call` hands to tokio's blocking threads. All of that is done when the call returns.
    pub(crate) async fn within<F: Future>(mut self, call: F) -> F::Output {
        // It goes before the loan does, and takes back what has not begun.
        let mut call = pin!(call);
        self.busy = true;
        let output = std::future::poll_fn(|cx| {
            let _entered = self.thread.as_ref().map(Thread::enter);
            call.as_mut().poll(cx)
        })
        .await;
        self.busy = false;
        output
    }

    /// Does this on the thread.
    pub(crate) async fn block<T: Send + 'static>(
        self,
        operate: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        if self.thread.is_none() {
            return operate();
        }
        self.within(async { wasmtime_wasi::runtime::spawn_blocking(operate).await })
            .await
    }
}

impl Drop for Loan {
    /// Step 4.
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        let (threads, meter) = (self.threads.clone(), self.meter.clone());
        let borrower = self.borrower;
        let ends = move |thread: Thread| {
            meter.charge();
            threads.come_back(thread, borrower);
        };
        if self.busy {
            thread.when_idle(ends);
        } else {
            ends(thread);
        }
    }
}
