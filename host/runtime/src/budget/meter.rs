//! A budget, and what counts against it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{Engine, Store, UpdateDeadline};

use super::ticker::{Polling, TICK, register};

/// How much a guest may use. Cheap to clone; clones are the same budget.
#[derive(Clone)]
pub struct Budget {
    limits: Limits,
    used: Arc<Used>,
}

#[derive(Clone, Copy)]
struct Limits {
    cpu: Duration,
    wall: Option<Duration>,
    slice: Duration,
}

/// What has been used of it.
struct Used {
    /// CPU time of the polls that are over, nanoseconds.
    cpu: AtomicU64,
    /// The CPU clock of its thread when the present poll began; none is going on where it is `u64::MAX`.
    began: AtomicU64,
    /// That when it last yielded.
    slice_began: AtomicU64,
    /// When the time on the clock is over.
    deadline: OnceLock<Instant>,
}

/// Why a guest was ended: what the error of its call is, by `downcast_ref`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exceeded {
    /// It has used so much CPU time.
    Cpu(Duration),
    /// So much time on the clock is over.
    Wall(Duration),
}

/// The CPU clock of this thread.
fn cpu_now() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    // A CPU clock is not negative.
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

impl Budget {
    /// A budget without limits yet, for stores of this engine, whose configuration needs
    /// [`epoch_interruption`](wasmtime::Config::epoch_interruption). Nothing else should increment its epochs.
    pub fn new(engine: &Engine) -> Self {
        register(engine);
        Self {
            limits: Limits {
                cpu: Duration::MAX,
                wall: None,
                slice: TICK,
            },
            used: Arc::new(Used {
                cpu: AtomicU64::new(0),
                began: AtomicU64::new(u64::MAX),
                slice_began: AtomicU64::new(0),
                deadline: OnceLock::new(),
            }),
        }
    }

    /// The most CPU time, exact to two ticks of a millisecond. Default: no limit.
    #[must_use]
    pub fn cpu(mut self, time: Duration) -> Self {
        self.limits.cpu = time;
        self
    }

    /// The most time on the clock, from the first [`guard`](Self::guard) on. It needs a runtime of tokio's with timers.
    /// Default: no limit.
    #[must_use]
    pub fn wall(mut self, time: Duration) -> Self {
        self.limits.wall = Some(time);
        self
    }

    /// How long the guest computes before it yields to tokio. Default: a millisecond, which is the shortest.
    #[must_use]
    pub fn slice(mut self, time: Duration) -> Self {
        self.limits.slice = time;
        self
    }

    /// Puts the budget on a store, in place of what was said about its epochs before.
    pub fn arm<T: 'static>(&self, store: &mut Store<T>) {
        let budget = self.clone();
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| {
            if let Some(exceeded) = budget.exceeded() {
                return Err(wasmtime::Error::new(exceeded));
            }
            Ok(if budget.used.slice_is_over(budget.limits.slice) {
                UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
            } else {
                UpdateDeadline::Continue(1)
            })
        });
    }

    /// Awaits a call into an [armed](Self::arm) store, and counts what that uses. Several calls, one after the other, have
    /// the budget together.
    ///
    /// # Errors
    ///
    /// That of the call, or [`Exceeded`], also where the guest was ended while it waited. What is left in the store then is
    /// in doubt: drop it.
    ///
    /// # Panics
    ///
    /// Where there is a limit on the clock, outside of tokio.
    pub async fn guard<R>(
        &self,
        call: impl Future<Output = wasmtime::Result<R>>,
    ) -> wasmtime::Result<R> {
        let mut call = pin!(call);
        let metered = poll_fn(|cx| {
            let _polling = Polling::begin();
            let _counted = self.used.begin();
            call.as_mut().poll(cx)
        });
        let Some(wall) = self.limits.wall else {
            return metered.await;
        };
        let now = Instant::now();
        // A time that the clock cannot tell never comes.
        let Some(deadline) = now.checked_add(wall) else {
            return metered.await;
        };
        let deadline = *self.used.deadline.get_or_init(|| deadline);
        match tokio::time::timeout_at(deadline.into(), metered).await {
            Ok(result) => result,
            Err(_) => Err(wasmtime::Error::new(Exceeded::Wall(wall))),
        }
    }

    /// The CPU time that was used so far.
    pub fn used(&self) -> Duration {
        Duration::from_nanos(self.used.cpu.load(Ordering::Relaxed))
    }

    fn exceeded(&self) -> Option<Exceeded> {
        let Limits { cpu, wall, .. } = self.limits;
        if Duration::from_nanos(self.used.so_far()) >= cpu {
            return Some(Exceeded::Cpu(cpu));
        }
        let is_late = |deadline: &Instant| Instant::now() >= *deadline;
        let wall = wall.filter(|_| self.used.deadline.get().is_some_and(is_late));
        wall.map(Exceeded::Wall)
    }
}

impl Used {
    /// A poll begins on this thread. Its task has one at a time, so `Relaxed` is enough.
    fn begin(&self) -> Counted<'_> {
        let now = cpu_now();
        self.began.store(now, Ordering::Relaxed);
        self.slice_began.store(now, Ordering::Relaxed);
        Counted(self)
    }

    /// Where it is called in a poll, with what that has used.
    fn so_far(&self) -> u64 {
        let before = self.cpu.load(Ordering::Relaxed);
        match self.began.load(Ordering::Relaxed) {
            // A call that nobody guards is not counted.
            u64::MAX => before,
            began => before.saturating_add(cpu_now().saturating_sub(began)),
        }
    }

    fn slice_is_over(&self, slice: Duration) -> bool {
        let used = cpu_now().saturating_sub(self.slice_began.load(Ordering::Relaxed));
        // Ticks are not exact: a slice of one tick is over at the tick.
        Duration::from_nanos(used) + TICK / 2 >= slice
    }
}

/// A poll that is counted when it is dropped.
struct Counted<'a>(&'a Used);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let used = self.0.so_far();
        self.0.cpu.store(used, Ordering::Relaxed);
        self.0.began.store(u64::MAX, Ordering::Relaxed);
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(time) => write!(f, "the guest has used its {time:?} of CPU time"),
            Self::Wall(time) => write!(f, "the guest's {time:?} on the clock are over"),
        }
    }
}

impl std::error::Error for Exceeded {}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("cpu", &self.limits.cpu)
            .field("wall", &self.limits.wall)
            .field("used", &self.used())
            .finish_non_exhaustive()
    }
}
