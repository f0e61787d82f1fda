//! A task whose polls and wakes are recorded.
//!
//! It stands between the executor and the task's future, with a waker of its own: the first wake since a
//! poll began leaves a *mark*, who and when, and the next poll takes it.
//!
//! There is one allocation for each task: it is made by one worker and mostly freed by another, which
//! allocators are slow at.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;

use super::{Clock, Record, Recorder};
use crate::task::Control;

/// Wraps the future of a task, from its spawn on.
pub(crate) struct Traced<F> {
    future: F,
    control: Arc<Control>,
    recorder: Arc<Recorder>,
    task: Arc<TracedTask>,
    /// Of `task`.
    waker: Waker,
}

/// What its wakers and its records share. Not the recorder: that has the records.
pub(super) struct TracedTask {
    clock: Clock,
    pub(super) id: u64,
    /// It may come from a guest.
    pub(super) name: Arc<str>,
    pub(super) group: Arc<str>,
    /// The first wake since the last poll began; 0 for none.
    mark: AtomicU64,
    /// The executor's, while the future is there.
    waker: AtomicWaker,
}

impl<F> Traced<F> {
    pub(crate) fn new(
        recorder: &Arc<Recorder>,
        control: &Arc<Control>,
        id: u64,
        name: &str,
        future: F,
    ) -> Self {
        let [name, group] = recorder.names([name, control.account.group.name()]);
        let task = Arc::new(TracedTask {
            clock: recorder.clock,
            id,
            name,
            group,
            mark: AtomicU64::new(recorder.clock.here().mark()),
            waker: AtomicWaker::new(),
        });
        Self {
            future,
            control: control.clone(),
            recorder: recorder.clone(),
            waker: Waker::from(task.clone()),
            task,
        }
    }
}

impl<F: Future + Unpin> Future for Traced<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        // Relaxed, here and below: a mark is compared with nothing but times.
        let queued = this.task.mark.swap(0, Ordering::Relaxed);
        this.task.waker.register(cx.waker());
        let clock = this.recorder.clock;
        let from = clock.now();
        let polled = Pin::new(&mut this.future).poll(&mut Context::from_waker(&this.waker));
        this.recorder.record(Record {
            from,
            to: clock.now(),
            queued,
            preempted: this.control.is_preempted(),
            task: Some(this.task.clone()),
        });
        polled
    }
}

impl<F> Drop for Traced<F> {
    fn drop(&mut self) {
        // Records stay for long, and are not to keep the executor's task.
        drop(self.task.waker.take());
    }
}

impl Wake for TracedTask {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.mark.load(Ordering::Relaxed) == 0 {
            let mark = self.clock.here().mark();
            let _ = self
                .mark
                .compare_exchange(0, mark, Ordering::Relaxed, Ordering::Relaxed);
        }
        self.waker.wake();
    }
}
