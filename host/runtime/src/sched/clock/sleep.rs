//! A wait for a length of time, by the clock's timers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::task::AtomicWaker;

use crate::sched::clock::Clock;
use crate::sched::clock::timers::{Expire, TimerKey};

/// Ready after a length of time. It may be made and polled anywhere.
pub(crate) struct Sleep {
    clock: Arc<Clock>,
    deadline: Instant,
    /// Whether it is over before it begins.
    is_empty: bool,
    bell: Arc<Bell>,
    key: Option<TimerKey>,
}

#[derive(Default)]
struct Bell(AtomicWaker);

impl Clock {
    /// Waits for `length`, from now on.
    pub(crate) fn sleep(self: &Arc<Self>, length: Duration) -> Sleep {
        // A time that the clock cannot tell never comes.
        let now = self.now();
        Sleep {
            deadline: now.checked_add(length).unwrap_or(now + FAR),
            is_empty: length.is_zero(),
            clock: self.clone(),
            bell: Arc::default(),
            key: None,
        }
    }
}

impl Sleep {
    /// Whether its time has come.
    pub(crate) fn is_over(&self) -> bool {
        self.clock.now() >= self.deadline
    }
}

/// A century.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        // The bell may ring at any moment: whoever comes after it sees that the time has come.
        this.bell.0.register(cx.waker());
        if this.key.is_none() && !this.is_empty {
            // Not over yet, most likely, and to look at the time takes as long as all the rest. If it is, the bell rings at
            // once.
            let bell: Arc<dyn Expire> = this.bell.clone();
            this.key = Some(this.clock.at(this.deadline, Arc::downgrade(&bell)));
            return Poll::Pending;
        }
        match this.is_over() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.clock.forget(key);
        }
    }
}

impl Expire for Bell {
    fn expire(self: Arc<Self>) {
        self.0.wake();
    }
}
