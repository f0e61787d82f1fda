//! A wait for a length of time: of tokio's timers, or of a simulated machine's clock.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::task::AtomicWaker;

use crate::sched::clock::Clock;
use crate::sched::clock::timers::{Expire, TimerKey};

/// Ready after a length of time. Where no machine is simulated it has to be made, and polled, where a tokio runtime with
/// timers is entered.
pub(crate) enum Sleep {
    Real(Pin<Box<tokio::time::Sleep>>),
    Simulated(Alarm),
}

/// Ready at a time of the machine's clock.
pub(crate) struct Alarm {
    clock: Arc<Clock>,
    deadline: Instant,
    bell: Arc<Bell>,
    key: Option<TimerKey>,
}

#[derive(Default)]
struct Bell(AtomicWaker);

impl Clock {
    /// Waits for `length`, from now on.
    pub(crate) fn sleep(self: &Arc<Self>, length: Duration) -> Sleep {
        // A time that the clock cannot tell never comes.
        let deadline = self.machine.as_ref().map(|time| {
            let now = time.now();
            now.checked_add(length).unwrap_or(now + FAR)
        });
        match deadline {
            None => Sleep::real(length),
            Some(deadline) => Sleep::Simulated(Alarm {
                clock: self.clone(),
                deadline,
                bell: Arc::default(),
                key: None,
            }),
        }
    }
}

/// A century.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl Sleep {
    /// One of tokio's.
    pub(crate) fn real(length: Duration) -> Self {
        Self::Real(Box::pin(tokio::time::sleep(length)))
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.get_mut() {
            Self::Real(sleep) => sleep.as_mut().poll(cx),
            Self::Simulated(alarm) => alarm.poll(cx),
        }
    }
}

impl Alarm {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.clock.now() >= self.deadline {
            return Poll::Ready(());
        }
        // The machine and whoever waits are on one thread: the alarm does not go off in between.
        self.bell.0.register(cx.waker());
        if self.key.is_none() {
            let bell: Arc<dyn Expire> = self.bell.clone();
            self.key = Some(self.clock.at(self.deadline, Arc::downgrade(&bell)));
        }
        Poll::Pending
    }
}

impl Drop for Alarm {
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
