//! The clock's thread and its watchdog.

use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hart_executor::group::SHORTEST_SLICE;
use hart_executor::{Executor, Platform};

use crate::base::sync::lock;
use crate::sched::clock::{Clock, Inner, LEAST_PAUSE};
use crate::sched::kernel_slice::shorten;

/// Starts the thread. Without it no guest could be preempted, so the watchdog is the thread's own
/// outermost loop: whatever panics inside is reported and the clock goes on.
///
/// It owns the executor's handle, not the clock: a ring of references would never be freed. At every tick it calls
/// `look`, which may see to the workers.
pub(crate) fn start(
    clock: Arc<Clock>,
    executor: Executor,
    platform: Arc<dyn Platform>,
    mut look: Box<dyn FnMut() + Send>,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("hart-clock".into())
        .spawn(move || {
            shorten();
            // Deadlines are to be met to some microseconds; Linux adds up to 50 of its own. Without, all is as it was.
            let _may_be_refused = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
            while catch_unwind(AssertUnwindSafe(|| {
                run(&clock, &executor, &*platform, &mut look)
            }))
            .is_err()
            {
                tracing::error!("the epoch clock panicked and was restarted");
                // What panics at every pass must not fill the log.
                std::thread::sleep(SHORTEST_SLICE);
            }
        })
}

/// The least time from one look at the timers to the next, which is how late a deadline may be noticed. Each look wakes
/// the thread, for some microseconds of a core.
const NAP: Duration = Duration::from_micros(40);

/// What a pass of the loop decided.
enum Next {
    /// Epochs are needed: the next ones then.
    Tick(Instant),
    /// Nothing to do, but there was: a look then.
    Linger(Instant),
    /// Nothing to do but wait for a deadline, or for a poke.
    Park,
}

fn run(clock: &Clock, executor: &Executor, platform: &dyn Platform, look: &mut dyn FnMut()) {
    // When the present tick began, while it ticks.
    let mut began = None;
    // Until when it lingers.
    let mut lingers = None;
    loop {
        // May poke, so not under the lock.
        let _ = executor.refill();
        let now = Instant::now();
        let expired = lock(&clock.inner).timers.due(now);
        for target in expired {
            target.expire();
        }

        let mut inner = lock(&clock.inner);
        if inner.stop {
            return;
        }
        let next = decide(clock, executor, &inner, now, &mut began, &mut lingers);
        // After step 1: whoever parks a group later finds the clock parked, and pokes.
        let refill = executor
            .next_refill()
            .map(|at| Instant::now() + Duration::from_nanos(at.saturating_sub(platform.now())));
        // Deadlines that are closer together than this have one wake-up.
        let timer = inner.timers.next().map(|next| next.max(now + NAP));
        let deadline = timer.into_iter().chain(refill).min();
        match next {
            Next::Tick(due) if due <= Instant::now() => {
                if clock.needs_epochs(executor) {
                    clock.increment(&mut inner);
                }
                drop(inner);
                look();
                began = Some(Instant::now());
            }
            Next::Tick(due) | Next::Linger(due) => {
                let until = deadline.map_or(due, |deadline| deadline.min(due));
                let timeout = until.saturating_duration_since(Instant::now());
                drop(clock.wake.wait_timeout(inner, timeout));
            }
            Next::Park if !clock.parked.load(Ordering::Relaxed) => {}
            Next::Park => match deadline {
                Some(deadline) => {
                    let timeout = deadline.saturating_duration_since(Instant::now());
                    drop(clock.wake.wait_timeout(inner, timeout));
                }
                None => drop(clock.wake.wait(inner)),
            },
        }
        clock.parked.store(false, Ordering::Relaxed);
        clock.lingers.store(false, Ordering::Relaxed);
    }
}

/// Step 1 of the protocol.
fn decide(
    clock: &Clock,
    executor: &Executor,
    inner: &Inner,
    now: Instant,
    began: &mut Option<Instant>,
    lingers: &mut Option<Instant>,
) -> Next {
    clock.parked.store(true, Ordering::Relaxed);
    // F1: pairs with the fences in `enter`, `killed`, `woken` and `contended`.
    fence(Ordering::SeqCst);
    if clock.needs_epochs(executor) {
        let tick = clock.tick(executor, inner);
        clock
            .tick
            .store(super::nanoseconds(tick), Ordering::Relaxed);
        clock.parked.store(false, Ordering::Relaxed);
        *lingers = Some(now + tick);
        // Where the clock has just woken, whoever runs may have used its slice long ago: it is asked soon, after a
        // pause in which waits that are short pass by themselves.
        let first = || now.checked_sub(tick - LEAST_PAUSE).unwrap_or(now);
        return Next::Tick(*began.get_or_insert_with(first) + tick);
    }
    *began = None;
    if let Some(until) = *lingers
        && now < until
    {
        clock.lingers.store(true, Ordering::Relaxed);
        clock.parked.store(false, Ordering::Relaxed);
        return Next::Linger(until);
    }
    *lingers = None;
    clock.tick.store(0, Ordering::Relaxed);
    Next::Park
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::{Arc, Weak};

    use super::*;
    use crate::sched::clock::timers::Expire;

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
        let platform = Arc::new(hart_executor::StdPlatform::new());
        let thread = start(clock.clone(), Executor::new(), platform, Box::new(|| {})).unwrap();
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
