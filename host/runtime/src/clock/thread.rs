//! The clock's thread and its watchdog.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hart_executor::Executor;

use super::{Clock, Inner};
use crate::sync::lock;

/// Starts the thread. Without it no guest could be preempted, so the watchdog is the thread's own
/// outermost loop: whatever panics inside is reported and the clock goes on.
pub(super) fn start(clock: Arc<Clock>, executor: Executor) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("hart-clock".into())
        .spawn(move || {
            while catch_unwind(AssertUnwindSafe(|| run(&clock, &executor))).is_err() {
                tracing::error!("the epoch clock panicked and was restarted");
            }
        })
}

/// What a pass of the loop decided.
enum Next {
    /// Epochs are needed: the soonest engine is due then.
    Tick(Instant),
    /// Nothing to do but wait for a deadline, or for a poke.
    Park(Option<Instant>),
}

fn run(clock: &Clock, executor: &Executor) {
    let mut ticking = false;
    loop {
        let now = Instant::now();
        let expired = lock(&clock.inner).timers.due(now);
        for target in expired {
            target.expire();
        }

        let mut inner = lock(&clock.inner);
        if inner.stop {
            return;
        }
        let next = decide(clock, executor, &mut inner, now, ticking);
        ticking = matches!(next, Next::Tick(_));
        let deadline = inner.timers.next();
        match next {
            Next::Tick(due) => {
                let until = deadline.map_or(due, |deadline| deadline.min(due));
                // Held back by nothing but `stop`, `attach` and timers: all of them are brief.
                let timeout = until.saturating_duration_since(Instant::now());
                drop(clock.wake.wait_timeout(inner, timeout));
                tick(clock, executor);
            }
            Next::Park(_) if !clock.parked.load(Ordering::Relaxed) => {}
            Next::Park(until) => match until {
                Some(until) => {
                    let timeout = until.saturating_duration_since(Instant::now());
                    drop(clock.wake.wait_timeout(inner, timeout));
                }
                None => drop(clock.wake.wait(inner)),
            },
        }
        clock.parked.store(false, Ordering::Relaxed);
    }
}

/// Step 1 of the protocol.
fn decide(
    clock: &Clock,
    executor: &Executor,
    inner: &mut Inner,
    now: Instant,
    ticking: bool,
) -> Next {
    clock.parked.store(true, Ordering::Relaxed);
    // F1: pairs with the fences in `enter`, `killed` and `contended`.
    fence(Ordering::SeqCst);
    if clock.needs_epochs(executor) {
        inner
            .engines
            .retain(|attached| attached.engine.upgrade().is_some());
        if !ticking {
            // Slices begin now, not at a deadline from before the clock went to sleep.
            for attached in &mut inner.engines {
                attached.due = now + attached.slice;
            }
        }
        if let Some(due) = inner.engines.iter().map(|attached| attached.due).min() {
            clock.parked.store(false, Ordering::Relaxed);
            return Next::Tick(due);
        }
    }
    Next::Park(inner.timers.next())
}

/// Increments the engines that are due.
fn tick(clock: &Clock, executor: &Executor) {
    if !clock.needs_epochs(executor) {
        // It has passed meanwhile, as short waits do.
        return;
    }
    let now = Instant::now();
    let mut inner = lock(&clock.inner);
    let mut ticked = false;
    for attached in &mut inner.engines {
        if attached.due > now {
            continue;
        }
        if let Some(engine) = attached.engine.upgrade() {
            engine.increment_epoch();
            ticked = true;
        }
        // From now, not from when it was due: a late clock must not fire a burst.
        attached.due = now + attached.slice.max(Duration::from_micros(10));
    }
    if ticked {
        clock.epochs.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::{Arc, Weak};

    use super::super::Expire;
    use super::*;

    struct Panics;
    impl Expire for Panics {
        fn expire(self: Arc<Self>) {
            panic!("on purpose");
        }
    }

    struct Rings(AtomicBool);
    impl Expire for Rings {
        fn expire(self: Arc<Self>) {
            self.0.store(true, Ordering::Release);
        }
    }

    // Fault: one panic on the clock thread, after which no guest is preempted and no timeout comes.
    #[test]
    fn the_clock_survives_a_panic() {
        let clock = Arc::new(Clock::new(None));
        let thread = clock.start(Executor::new()).unwrap();
        let (panics, rings) = (Arc::new(Panics), Arc::new(Rings(AtomicBool::new(false))));
        let now = Instant::now();
        let target: Arc<dyn Expire> = panics.clone();
        clock.at(now, Arc::downgrade(&target));
        let target: Arc<dyn Expire> = rings.clone();
        let weak: Weak<dyn Expire> = Arc::downgrade(&target);
        clock.at(now + Duration::from_millis(20), weak);
        while !rings.0.load(Ordering::Acquire) {
            assert!(now.elapsed() < Duration::from_secs(60), "the clock is dead");
            std::thread::sleep(Duration::from_millis(1));
        }
        clock.stop();
        thread.join().unwrap();
    }
}
