//! A task whose polls and wakes are recorded.
//!
//! It stands between the executor and the task's future, with a waker of its own: the first wake since a
//! poll began leaves a *mark*, who and when, and the next poll takes it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};

use crate::sched::task::control::Control;
use crate::sched::trace::place::Clock;
use crate::sched::trace::recorder::{Begun, Recorder};

/// Wraps the future of a task, from its spawn on.
pub(crate) struct Traced<F> {
    future: F,
    control: Arc<Control>,
    recorder: Arc<Recorder>,
    id: u64,
    /// It may come from a guest.
    name: Box<str>,
    /// Its last poll ended because its core was taken.
    preempted: bool,
    wakes: Arc<Wakes>,
    /// Of `wakes`.
    waker: Waker,
}

/// What the task's wakers share.
struct Wakes {
    clock: Clock,
    /// The first wake since the last poll began; 0 for none.
    mark: AtomicU64,
    /// The executor's, from the first poll on. A task has one as long as it lives.
    waker: OnceLock<Waker>,
}

impl<F> Traced<F> {
    pub(crate) fn new(
        recorder: &Arc<Recorder>,
        control: &Arc<Control>,
        id: u64,
        name: &str,
        future: F,
    ) -> Self {
        let wakes = Arc::new(Wakes {
            clock: recorder.clock,
            mark: AtomicU64::new(recorder.clock.here().mark()),
            waker: OnceLock::new(),
        });
        Self {
            future,
            control: control.clone(),
            recorder: recorder.clone(),
            id,
            name: name.into(),
            preempted: false,
            waker: Waker::from(wakes.clone()),
            wakes,
        }
    }
}

impl<F: Future + Unpin> Future for Traced<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        // Relaxed, here and below: a mark is compared with nothing but times.
        let queued = this.wakes.mark.swap(0, Ordering::Relaxed);
        let waker = this.wakes.waker.get_or_init(|| cx.waker().clone());
        debug_assert!(waker.will_wake(cx.waker()), "a task has one waker");
        this.recorder.begins(&Begun {
            queued,
            task: this.id,
            name: &this.name,
            resumes: this.preempted,
            group: &this.control.account.group,
        });
        let polled = Pin::new(&mut this.future).poll(&mut Context::from_waker(&this.waker));
        this.preempted = this.control.is_preempted();
        this.recorder.ends(this.preempted);
        polled
    }
}

impl Wake for Wakes {
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
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }
}
