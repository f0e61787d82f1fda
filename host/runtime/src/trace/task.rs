//! A task whose polls and wakes are recorded.
//!
//! It stands between the executor and the task's future, with a waker of its own: the first wake since a
//! poll began leaves a *mark*, who and when, and the next poll takes it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;

use super::{Label, Record, Recorder};
use crate::task::Control;

/// Wraps the future of a task, from its spawn on.
pub(crate) struct Traced<F> {
    future: F,
    control: Arc<Control>,
    label: Arc<Label>,
    woken: Arc<Woken>,
    /// Of `woken`.
    waker: Waker,
}

struct Woken {
    recorder: Arc<Recorder>,
    /// The first wake since the last poll began; 0 for none.
    mark: AtomicU64,
    /// The executor's.
    waker: AtomicWaker,
}

impl<F> Traced<F> {
    pub(crate) fn new(
        recorder: &Arc<Recorder>,
        control: &Arc<Control>,
        label: Label,
        future: F,
    ) -> Self {
        let woken = Arc::new(Woken {
            recorder: recorder.clone(),
            mark: AtomicU64::new(recorder.here().mark()),
            waker: AtomicWaker::new(),
        });
        Self {
            future,
            control: control.clone(),
            label: Arc::new(label),
            waker: Waker::from(woken.clone()),
            woken,
        }
    }
}

impl<F: Future + Unpin> Future for Traced<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        // Relaxed, here and below: a mark is compared with nothing but times.
        let queued = this.woken.mark.swap(0, Ordering::Relaxed);
        this.woken.waker.register(cx.waker());
        let from = this.woken.recorder.now();
        let polled = Pin::new(&mut this.future).poll(&mut Context::from_waker(&this.waker));
        this.woken.recorder.record(Record {
            from,
            to: this.woken.recorder.now(),
            queued,
            preempted: this.control.is_preempted(),
            label: Some(this.label.clone()),
        });
        polled
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.mark.load(Ordering::Relaxed) == 0 {
            let mark = self.recorder.here().mark();
            let _ = self
                .mark
                .compare_exchange(0, mark, Ordering::Relaxed, Ordering::Relaxed);
        }
        self.waker.wake();
    }
}
