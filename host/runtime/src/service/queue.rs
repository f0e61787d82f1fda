//! Who may begin: so many requests of a service run at once, so many wait, and the next ones are refused.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use futures::future::{Either, select};

use crate::base::sync::lock;
use crate::sched::clock::Clock;

/// How many requests run, and who waits.
pub(super) struct Queue {
    /// The most that run at once.
    running: usize,
    /// The most that wait.
    waiting: usize,
    /// The longest that one waits.
    patience: Duration,
    clock: Arc<Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: usize,
    waiting: VecDeque<oneshot::Sender<Ticket>>,
    pace: Pace,
}

/// How fast requests end.
#[derive(Default)]
struct Pace {
    last: Option<Instant>,
    /// Seconds between two ends, on the average of about the last sixteen.
    between: f64,
}

/// One of those that run. Whoever drops it lets the next one in.
pub(super) struct Ticket {
    queue: Option<Arc<Queue>>,
}

/// The queue is full, or its wait too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Busy {
    /// When there is likely to be room again.
    pub(super) retry_after: Duration,
}

/// The shortest and the longest that a client is told to wait, seconds.
const RETRY: (f64, f64) = (1.0, 120.0);

impl Queue {
    pub(super) fn new(
        running: usize,
        waiting: usize,
        patience: Duration,
        clock: Arc<Clock>,
    ) -> Arc<Self> {
        Arc::new(Self {
            running,
            waiting,
            patience,
            clock,
            state: Mutex::default(),
        })
    }

    /// Waits for a ticket.
    pub(super) async fn enter(self: &Arc<Self>) -> Result<Ticket, Busy> {
        let mut ticket = {
            let mut state = lock(&self.state);
            if state.running < self.running {
                state.running += 1;
                return Ok(self.ticket());
            }
            // Those who gave up are still in it.
            if state.waiting.len() >= self.waiting {
                state.waiting.retain(|waiter| !waiter.is_canceled());
            }
            if state.waiting.len() >= self.waiting {
                return Err(state.busy());
            }
            let (sender, receiver) = oneshot::channel();
            state.waiting.push_back(sender);
            receiver
        };
        let patience = self.clock.sleep(self.patience);
        let came = match select(&mut ticket, patience).await {
            Either::Left((came, _)) => Some(came),
            Either::Right(_) => None,
        };
        match came {
            Some(Ok(ticket)) => Ok(ticket),
            // The queue keeps the sender until it sends.
            Some(Err(_)) => Err(lock(&self.state).busy()),
            None => {
                ticket.close();
                // One that came at this very moment is used.
                match ticket.try_recv() {
                    Ok(Some(ticket)) => Ok(ticket),
                    _ => Err(lock(&self.state).busy()),
                }
            }
        }
    }

    /// How many run and how many wait.
    pub(super) fn count(&self) -> (usize, usize) {
        let state = lock(&self.state);
        let waits = state.waiting.iter().filter(|waiter| !waiter.is_canceled());
        (state.running, waits.count())
    }

    fn ticket(self: &Arc<Self>) -> Ticket {
        Ticket {
            queue: Some(self.clone()),
        }
    }
}

impl State {
    fn busy(&self) -> Busy {
        let ahead = self.waiting.len() + 1;
        let seconds = self.pace.between * ahead as f64;
        Busy {
            retry_after: Duration::from_secs_f64(seconds.clamp(RETRY.0, RETRY.1)),
        }
    }
}

impl Pace {
    fn one_ends(&mut self, now: Instant) {
        if let Some(last) = self.last.replace(now) {
            let between = now.saturating_duration_since(last).as_secs_f64();
            self.between += (between - self.between) / 16.0;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(queue) = self.queue.take() else {
            return;
        };
        let mut next = {
            let mut state = lock(&queue.state);
            state.pace.one_ends(queue.clock.now());
            let next = state.next();
            if next.is_none() {
                state.running -= 1;
            }
            next
        };
        // A waker is foreign code: not under the lock.
        while let Some(waiter) = next {
            let Err(mut unused) = waiter.send(queue.ticket()) else {
                return;
            };
            unused.queue = None;
            let mut state = lock(&queue.state);
            next = state.next();
            if next.is_none() {
                state.running -= 1;
            }
        }
    }
}

impl State {
    /// The next one that still waits.
    fn next(&mut self) -> Option<oneshot::Sender<Ticket>> {
        std::iter::from_fn(|| self.waiting.pop_front()).find(|waiter| !waiter.is_canceled())
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use futures::FutureExt as _;
    use hart_executor::{Executor, StdPlatform};

    use super::*;
    use crate::sched::clock::thread::start;

    fn queue(running: usize, patience: Duration) -> Arc<Queue> {
        Queue::new(running, 1, patience, Arc::new(Clock::new(None)))
    }

    fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        future.poll_unpin(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn so_many_run_so_many_wait_and_the_rest_is_refused() {
        let queue = queue(2, Duration::from_secs(60));
        let first = queue.enter().await.ok();
        let _second = queue.enter().await.ok();
        let mut third = Box::pin(queue.enter());
        assert!(poll(&mut third).is_pending());
        assert!(queue.enter().await.is_err(), "one waits");
        assert_eq!(queue.count(), (2, 1));
        drop(first);
        assert!(third.await.is_ok());
        assert_eq!(queue.count(), (1, 0));
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_queue_to_the_next() {
        let queue = queue(1, Duration::from_secs(60));
        let first = queue.enter().await.ok();
        let mut gone = Box::pin(queue.enter());
        assert!(poll(&mut gone).is_pending());
        drop(gone);
        let mut next = Box::pin(queue.enter());
        assert!(poll(&mut next).is_pending(), "there is room to wait");
        drop(first);
        let next = next.await.ok();
        assert_eq!(queue.count(), (1, 0));
        drop(next);
        assert_eq!(queue.count(), (0, 0));
    }

    #[tokio::test]
    async fn a_wait_that_is_too_long_is_refused() {
        let queue = queue(1, Duration::from_millis(1));
        let clock = queue.clock.clone();
        let platform = Arc::new(StdPlatform::new());
        let thread = start(clock, Executor::new(), platform, Box::new(|| {})).unwrap();
        let _first = queue.enter().await.ok();
        assert!(queue.enter().await.is_err());
        assert_eq!(queue.count(), (1, 0));
        queue.clock.stop();
        thread.join().unwrap();
    }

    #[test]
    fn clients_are_told_to_come_back_when_the_queue_has_drained() {
        let mut state = State::default();
        let start = Instant::now();
        for end in 0..200 {
            state
                .pace
                .one_ends(start + Duration::from_millis(500) * end);
        }
        assert_eq!(state.busy().retry_after.as_secs_f64().round(), 1.0);
        state.waiting.extend((0..19).map(|_| oneshot::channel().0));
        assert_eq!(state.busy().retry_after.as_secs_f64().round(), 10.0);
    }
}
