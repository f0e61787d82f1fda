//! The future around a workload's future, and the waker around its waker: they tell the machine what happens.

use super::handle::Sim;
use crate::{machine::Machine, trace::TaskNumber};
use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
};

/// A workload's future. Dropping it is the end of the task.
pub(crate) struct Guard<F> {
    machine: Arc<Machine>,
    /// Where a reference to the task is kept.
    refs: Option<Sim>,
    task: TaskNumber,
    /// `None` only while it is dropped.
    future: Option<Pin<Box<F>>>,
    probe: Arc<Probe>,
    /// Of `probe`.
    waker: Waker,
}

/// What a guarded task gives: counted until it is dropped.
pub(crate) struct Output<T> {
    value: Option<T>,
    machine: Arc<Machine>,
}

struct Probe {
    machine: Arc<Machine>,
    task: TaskNumber,
    /// The executor's waker, from the first poll to the end.
    waker: Mutex<Option<Waker>>,
    /// Wake by value the next time.
    by_value: AtomicBool,
}

impl<F: Future> Guard<F> {
    pub(crate) fn new(
        machine: Arc<Machine>,
        refs: Option<Sim>,
        task: TaskNumber,
        future: F,
    ) -> Self {
        let probe = Arc::new(Probe {
            machine: machine.clone(),
            task,
            waker: Mutex::new(None),
            by_value: AtomicBool::new(task.is_multiple_of(2)),
        });
        Self {
            machine,
            refs,
            task,
            future: Some(Box::pin(future)),
            waker: Waker::from(probe.clone()),
            probe,
        }
    }
}

impl<F: Future> Future for Guard<F> {
    type Output = Output<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let machine = this.machine.clone();
        let future = this.future.as_mut().expect("there until the drop");
        let mut polling = machine.begin_poll(this.task);
        this.probe.set(cx.waker());
        let polled = future.as_mut().poll(&mut Context::from_waker(&this.waker));
        polling.ready = polled.is_ready();
        drop(polling);
        polled.map(|value| Output::new(value, machine))
    }
}

impl<F> Drop for Guard<F> {
    fn drop(&mut self) {
        drop(self.probe.take());
        self.machine.lock().future_dropped(self.task);
        if let Some(sim) = &self.refs {
            let refs = sim.inner.refs.lock();
            let mut refs = refs.unwrap_or_else(PoisonError::into_inner);
            let task = refs.get_mut(self.task as usize).and_then(Option::take);
            drop(refs);
            drop(task);
        }
        // Where it runs foreign stacks to their ends, no other may go on in between.
        let _shielded = self.machine.shield(self.task);
        self.future = None;
    }
}

impl Probe {
    fn set(&self, waker: &Waker) {
        let mut mine = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if !mine.as_ref().is_some_and(|mine| mine.will_wake(waker)) {
            *mine = Some(waker.clone());
        }
    }

    fn take(&self) -> Option<Waker> {
        self.waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Wake for Probe {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let waker = self
            .waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(waker) = waker else { return };
        self.machine.lock().woken(self.task);
        // In turns, so that both kinds are seen to work. Not under the lock: it may pause.
        if self.by_value.fetch_xor(true, Relaxed) {
            waker.wake();
        } else {
            waker.wake_by_ref();
        }
    }
}

impl<T> Output<T> {
    fn new(value: T, machine: Arc<Machine>) -> Self {
        machine.outputs.fetch_add(1, Relaxed);
        Self {
            value: Some(value),
            machine,
        }
    }

    pub(super) fn into_inner(mut self) -> T {
        self.value.take().expect("taken once, here")
    }
}

impl<T> Drop for Output<T> {
    fn drop(&mut self) {
        self.machine.outputs.fetch_sub(1, Relaxed);
    }
}
