//! Driving a worker until a future completes.

use super::{state::Worker, step::Step, tick::Limit};
use crate::{error::Closed, executor::SharedRef, platform::WorkerId, sync::Ordering::Release};
use alloc::{sync::Arc, task::Wake};
use core::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

/// Polls of fast-lane tasks between two polls of a woken `run` future, while there are any.
const RUN_INTERVAL: usize = 16;

impl Worker {
    /// Drives the worker until `future` completes. It polls tasks meanwhile, and sleeps when there is
    /// nothing to do.
    ///
    /// The future is polled on this thread and need not be `Send`. It is polled soon after it is woken,
    /// however busy the queues are: after 16 further polls of the fast lane at most, or one turn of a group.
    ///
    /// # Errors
    ///
    /// [`Closed`] if the executor was closed before; the future is dropped.
    ///
    /// # Panics
    ///
    /// If `future` panics. Panics of tasks reach their joiners instead.
    pub fn run<F: Future>(&mut self, future: F) -> Result<F::Output, Closed> {
        let mut future = pin!(future);
        let _entered = self.enter();
        self.slot().awaited.clear();
        let mut drive = Drive::new(self);
        loop {
            match drive.advance(future.as_mut()) {
                Progress::Done(result) => return result,
                Progress::Polled | Progress::Looked => {}
                Progress::Sleep { until } => drive.worker.park(until),
            }
        }
    }

    /// As [`run`](Self::run), for a thread that another executor has: it is a future, and when `run` would sleep
    /// it is pending until there is something to do.
    ///
    /// Each time it is polled it does as much as a [`tick`](Self::tick), then lets its executor go on. It stays on the
    /// worker's thread. Dropped before it is ready, it leaves the worker as it was, and its queued tasks to the others.
    ///
    /// It has no timer: while all that is left belongs to groups whose CPU rate is used up, it asks to be polled again
    /// at once.
    ///
    /// # Errors
    ///
    /// [`Closed`] if the executor was closed before; the future is dropped.
    ///
    /// # Panics
    ///
    /// If `future` panics. Panics of tasks reach their joiners instead.
    pub async fn run_async<F: Future>(&mut self, future: F) -> Result<F::Output, Closed> {
        let mut future = pin!(future);
        let mut polled = Polled(Drive::new(self));
        poll_fn(|cx| polled.poll(future.as_mut(), cx)).await
    }
}

/// What `run` and `run_async` are a loop over.
struct Drive<'w> {
    worker: &'w mut Worker,
    /// The future's.
    waker: Waker,
    /// Polls of tasks since the future was polled.
    polls: usize,
}

enum Progress<T> {
    Done(Result<T, Closed>),
    /// Tasks, or the future.
    Polled,
    Looked,
    Sleep {
        until: Option<u64>,
    },
}

impl<'w> Drive<'w> {
    fn new(worker: &'w mut Worker) -> Self {
        let waker = Waker::from(Arc::new(RunWaker {
            shared: worker.shared().clone(),
            worker: worker.id,
        }));
        // A new future is polled first.
        worker.slot().run_woken.store(true, Release);
        Self {
            worker,
            waker,
            polls: RUN_INTERVAL,
        }
    }

    /// On a core whose cell names the worker.
    fn advance<F: Future>(&mut self, future: Pin<&mut F>) -> Progress<F::Output> {
        let worker = &mut *self.worker;
        if self.polls >= RUN_INTERVAL && worker.take_run_woken() {
            self.polls = 0;
            worker.now = None;
            if worker.shared().is_closed() {
                return Progress::Done(Err(Closed));
            }
            // The future may take its time, or panic, or be done, and then nobody steps this worker.
            worker.stand_down();
            return match future.poll(&mut Context::from_waker(&self.waker)) {
                Poll::Pending => Progress::Polled,
                Poll::Ready(output) => {
                    worker.end_pass(1);
                    worker.offer_queue();
                    Progress::Done(Ok(output))
                }
            };
        }
        match worker.step_entered(RUN_INTERVAL) {
            Step::Polled => {
                // One turn of a group may be as long as thousands of polls of the fast lane.
                self.polls = match worker.now {
                    Some(_) => RUN_INTERVAL,
                    None => self.polls + 1,
                };
                Progress::Polled
            }
            Step::Closed => Progress::Done(Err(Closed)),
            Step::Sleep { until } => {
                self.polls = RUN_INTERVAL;
                Progress::Sleep { until }
            }
            // No task at hand: the future's turn, if it was woken.
            Step::Stole(_) | Step::Announced | Step::Retracted => {
                self.polls = RUN_INTERVAL;
                Progress::Looked
            }
        }
    }
}

/// A worker that another executor polls.
struct Polled<'w>(Drive<'w>);

impl Polled<'_> {
    fn poll<F: Future>(
        &mut self,
        mut future: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<F::Output, Closed>> {
        let Self(drive) = self;
        let _entered = drive.worker.enter();
        drive.worker.slot().awaited.set(cx.waker());
        drive.worker.now = None;
        let mut limit = Limit::new();
        loop {
            match drive.advance(future.as_mut()) {
                Progress::Done(result) => return Poll::Ready(result),
                Progress::Looked => {}
                Progress::Polled if !limit.is_reached(drive.worker.now) => {}
                Progress::Sleep { until: None } => return Poll::Pending,
                Progress::Polled | Progress::Sleep { until: Some(_) } => {
                    // It may be polled again long after this.
                    drive.worker.stand_down();
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Drop for Polled<'_> {
    fn drop(&mut self) {
        let worker = &mut *self.0.worker;
        worker.slot().awaited.clear();
        worker.stand_down();
    }
}

/// Wakes the `run` future of a worker.
struct RunWaker {
    shared: SharedRef,
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
