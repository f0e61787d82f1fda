//! Giving up the core.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Lets others run: the calling task goes to the back of its queue, behind everything that is
/// runnable now.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Worker, yield_now};
///
/// let executor = Executor::new();
/// let task = executor.spawn(async {
///     yield_now().await;
///     7
/// });
/// assert_eq!(Worker::new(&executor).unwrap().run(task).unwrap().unwrap(), 7);
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Worker};
///
/// let executor = Executor::new();
/// let mut worker = Worker::new(&executor).unwrap();
/// let turn: hart_executor::YieldNow = hart_executor::yield_now();
/// worker.run(executor.spawn(turn)).unwrap().unwrap();
/// ```
#[derive(Debug)]
#[must_use = "futures do nothing unless polled or awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        // A wake during a poll puts the task at the back of its queue when the poll ends.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
