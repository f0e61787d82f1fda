//! Driving a worker until a future completes.

use super::{Step, Worker};
use crate::{error::Closed, executor::Strong, platform::WorkerId, sync::Ordering::Release};
use alloc::{sync::Arc, task::Wake};
use core::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

/// Polls of tasks between two polls of a woken `run` future, while there are any.
const RUN_INTERVAL: usize = 16;

impl Worker {
    /// Drives the worker until `future` completes. It polls tasks meanwhile, and sleeps when there is
    /// nothing to do.
    ///
    /// The future is polled on this thread and need not be `Send`. It is polled soon after it is woken,
    /// however busy the queues are.
    ///
    /// # Errors
    ///
    /// [`Closed`] if the executor was closed before; the future is dropped.
    ///
    /// # Panics
    ///
    /// If `future` panics. Panics of tasks reach their joiners instead.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_executor::{Executor, Worker};
    ///
    /// let executor = Executor::new();
    /// let mut worker = Worker::new(&executor).unwrap();
    /// let text = worker.run(async { executor.spawn(async { "hello" }).await.unwrap() });
    /// assert_eq!(text.unwrap(), "hello");
    /// ```
    pub fn run<F: Future>(&mut self, future: F) -> Result<F::Output, Closed> {
        let mut future = pin!(future);
        let _entered = self.enter();
        let waker = Waker::from(Arc::new(RunWaker {
            shared: self.shared().clone(),
            worker: self.id,
        }));
        let mut cx = Context::from_waker(&waker);
        // A new future is polled first.
        self.slot().run_woken.store(true, Release);
        let mut polls = RUN_INTERVAL;
        loop {
            if polls >= RUN_INTERVAL && self.take_run_woken() {
                polls = 0;
                self.now = None;
                if self.shared().is_closed() {
                    return Err(Closed);
                }
                // The future may take its time, or panic, or be done, and then nobody steps this worker.
                self.stand_down();
                if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                    self.offer_queue();
                    return Ok(output);
                }
            }
            match self.step_entered(RUN_INTERVAL) {
                Step::Polled => polls += 1,
                Step::Closed => return Err(Closed),
                Step::Sleep { until } => {
                    self.park(until);
                    polls = RUN_INTERVAL;
                }
                // No task at hand: the future's turn, if it was woken.
                Step::Stole(_) | Step::Announced | Step::Retracted => polls = RUN_INTERVAL,
            }
        }
    }
}

/// Wakes the `run` future of a worker.
struct RunWaker {
    shared: Strong,
    worker: WorkerId,
}

impl Wake for RunWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(slot) = self.shared.slots().get(self.worker) {
            // Release pairs with the swap in `take_run_woken`.
            slot.run_woken.store(true, Release);
            self.shared.wake_run(self.worker);
        }
    }
}
