//! The state of a task, in one word: nine flags and the reference count.
//!
//! | flag | set by | meaning |
//! | --- | --- | --- |
//! | `RUNNING` | the poller or canceller that takes the future | it alone may touch the stage |
//! | `QUEUED` | a wake | in a queue, or (while `RUNNING`) to be polled again |
//! | `COMPLETE` | the one that had `RUNNING` | the stage holds the result; final |
//! | `CANCELLED` | `cancel`, `close` | the future is not polled again |
//! | `CLOSED` | `close` | why it was cancelled |
//! | `POOLED` | set at birth | the memory goes back to a pool |
//! | `FAIR` | set at birth | the task has a group, and so the links of the fair lane |
//! | `JOIN_INTEREST` | set at birth, cleared by the join handle's drop | the result belongs to the handle |
//! | `JOIN_WAKER` | the handle; cleared by the handle or, once complete, by the completer | the waker field is set |
//!
//! The life of a task:
//!
//! ```text
//!   spawn                 wake
//!     |      +----------------------------+
//!     v      v                            |
//!   QUEUED ------> RUNNING ------------> idle
//!     |   start     |  |  finish: pending |
//!     |   poll      |  +--> QUEUED        | cancel
//!     | cancel      |   (woken meanwhile) |
//!     |             v                     v
//!     +--------> COMPLETE <---------------+
//! ```
//!
//! Rules:
//!
//! 1. A transition is one compare-and-swap, and says what its caller has to do next.
//! 2. Every reference is one of: a queue's (while `QUEUED` and not `RUNNING`), the poller's, the list of
//!    live tasks', the join handle's, a waker's, a `TaskRef`'s. A wake of an idle task makes the queue's
//!    reference; a poll takes it over.
//! 3. A wake always writes the word, even where the task is queued already: what happened before the
//!    wake must be visible to the poll that follows (Release here pairs with the Acquire of `start_poll`
//!    or of `finish_poll`).
//! 4. The waker field. While `JOIN_WAKER` is clear, the handle alone may touch it. While it is set and
//!    the task is not complete, nobody may. Once the task is complete, a set `JOIN_WAKER` gives it to
//!    the completer, which clears the flag when it is done. The later of completer and handle drops the waker.

#[cfg(all(loom, test))]
mod models;

use super::transition::{
    Cancel, Completed, Detached, FinishPoll, HandleDropped, Join, Reason, Released, StartPoll, Wake,
};
use crate::sync::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed},
};
use core::fmt;

const RUNNING: usize = 1 << 0;
const QUEUED: usize = 1 << 1;
const COMPLETE: usize = 1 << 2;
const CANCELLED: usize = 1 << 3;
const JOIN_INTEREST: usize = 1 << 4;
const JOIN_WAKER: usize = 1 << 5;
const CLOSED: usize = 1 << 6;
const POOLED: usize = 1 << 7;
const FAIR: usize = 1 << 8;
const REF_ONE: usize = 1 << 9;
const REF_MAX: usize = usize::MAX / REF_ONE / 2;

pub(crate) struct State(AtomicUsize);

impl State {
    /// A spawned task: queued, with a handle; the references of its queue, of the list of live tasks
    /// and of the handle.
    pub(crate) fn spawned(pooled: bool, fair: bool) -> Self {
        let pooled = if pooled { POOLED } else { 0 };
        let fair = if fair { FAIR } else { 0 };
        Self(AtomicUsize::new(
            QUEUED | JOIN_INTEREST | pooled | fair | (3 * REF_ONE),
        ))
    }

    /// A queue's stub: a complete task that only the queue refers to.
    pub(crate) fn stub() -> Self {
        Self(AtomicUsize::new(COMPLETE | REF_ONE))
    }

    /// Runs `next` on the present word until its answer is stored: the word to store and the result.
    fn update<R>(&self, mut next: impl FnMut(usize) -> (usize, R)) -> R {
        // The value is only a guess for the first exchange, which synchronizes.
        let mut now = self.0.load(Relaxed);
        loop {
            let (then, result) = next(now);
            // AcqRel pairs with itself: a transition sees what happened before those that it follows. Acquire where it fails:
            // the next guess is as good as a transition for the answers that change nothing.
            match self.0.compare_exchange_weak(now, then, AcqRel, Acquire) {
                Ok(_) => return result,
                Err(actual) => now = actual,
            }
        }
    }

    // === polls ===

    /// Takes the future for a poll. The Acquire pairs with the Release of every `wake` before it.
    pub(crate) fn start_poll(&self) -> StartPoll {
        self.update(|now| {
            debug_assert!(now & QUEUED != 0, "only queued tasks are polled");
            if now & (COMPLETE | RUNNING) != 0 {
                (now & !QUEUED, StartPoll::Skip)
            } else {
                ((now & !QUEUED) | RUNNING, StartPoll::Poll)
            }
        })
    }

    /// Gives the future back after a poll that returned `Pending`. The Acquire pairs with the Release
    /// of a wake that came during the poll.
    pub(crate) fn finish_poll(&self) -> FinishPoll {
        self.update(|now| {
            debug_assert!(now & RUNNING != 0 && now & COMPLETE == 0);
            if now & CANCELLED != 0 {
                (now, FinishPoll::Cancel(reason(now)))
            } else if now & QUEUED != 0 {
                (now & !RUNNING, FinishPoll::Requeue)
            } else {
                // The list of live tasks still holds one, so this reference is never the last.
                debug_assert!(now / REF_ONE > 1);
                ((now & !RUNNING) - REF_ONE, FinishPoll::Idle)
            }
        })
    }

    /// Whether the join handle is gone. Final once it is.
    pub(crate) fn is_detached(&self) -> bool {
        // Acquire pairs with the Release of the handle's drop; the stage was never the handle's.
        self.0.load(Acquire) & JOIN_INTEREST == 0
    }

    /// The stage holds the result, or is empty if there is no handle: publishes it, and releases `refs` references
    /// if nothing is left to do. The Release pairs with the Acquire of [`start_join`](Self::start_join).
    pub(crate) fn complete(&self, refs: usize, output_dropped: bool) -> Completed {
        self.update(|now| {
            debug_assert!(now & RUNNING != 0 && now & COMPLETE == 0);
            debug_assert!(now / REF_ONE >= refs);
            let then = (now & !RUNNING) | COMPLETE;
            let drop_output = now & JOIN_INTEREST == 0 && !output_dropped;
            if now & JOIN_WAKER != 0 {
                (then, Completed::WakeJoiner { drop_output })
            } else if drop_output {
                (then, Completed::DropOutput)
            } else {
                (then - refs * REF_ONE, Completed::Done(released(now, refs)))
            }
        })
    }

    // === wakes ===

    /// A wake whose caller keeps its reference.
    pub(crate) fn wake_by_ref(&self) -> Wake {
        self.update(|now| {
            if now & COMPLETE != 0 {
                (now, Wake::Nothing)
            } else if now & (QUEUED | RUNNING) != 0 {
                (now | QUEUED, Wake::Nothing)
            } else {
                check_refs(now);
                ((now | QUEUED) + REF_ONE, Wake::Schedule)
            }
        })
    }

    /// A wake that gives its reference away: to the queue, or back.
    pub(crate) fn wake_by_value(&self) -> (Wake, Released) {
        self.update(|now| {
            if now & (COMPLETE | QUEUED | RUNNING) != 0 {
                let then = if now & COMPLETE != 0 {
                    now
                } else {
                    now | QUEUED
                };
                (then - REF_ONE, (Wake::Nothing, released(now, 1)))
            } else {
                (now | QUEUED, (Wake::Schedule, Released::Shared))
            }
        })
    }

    // === cancel ===

    pub(crate) fn cancel(&self, why: Reason) -> Cancel {
        let flags = match why {
            Reason::Cancelled => CANCELLED,
            Reason::Closed => CANCELLED | CLOSED,
        };
        self.update(|now| {
            if now & COMPLETE != 0 {
                (now, Cancel::TooLate)
            } else if now & RUNNING != 0 {
                // The first reason stays.
                let then = if now & CANCELLED != 0 {
                    now
                } else {
                    now | flags
                };
                (then, Cancel::Requested)
            } else {
                (now | RUNNING | flags, Cancel::DropFuture)
            }
        })
    }

    // === join ===

    pub(crate) fn start_join(&self) -> Join {
        let now = self.0.load(Acquire);
        debug_assert!(now & JOIN_INTEREST != 0);
        if now & COMPLETE != 0 {
            Join::Complete
        } else if now & JOIN_WAKER != 0 {
            Join::CompareWaker
        } else {
            Join::WriteWaker
        }
    }

    /// The waker field is written; `false` if the task completed first, and the field is the handle's.
    #[must_use]
    pub(crate) fn publish_join_waker(&self) -> bool {
        self.update(|now| {
            debug_assert!(now & JOIN_WAKER == 0);
            if now & COMPLETE != 0 {
                (now, false)
            } else {
                (now | JOIN_WAKER, true)
            }
        })
    }

    /// Takes the waker field back in order to write it; `false` if the task completed first.
    #[must_use]
    pub(crate) fn retract_join_waker(&self) -> bool {
        self.update(|now| {
            debug_assert!(now & JOIN_WAKER != 0 || now & COMPLETE != 0);
            if now & COMPLETE != 0 {
                (now, false)
            } else {
                (now & !JOIN_WAKER, true)
            }
        })
    }

    /// The completer has woken the joiner; `true` if the handle is gone and the waker is to be dropped.
    #[must_use]
    pub(crate) fn release_join_waker(&self) -> bool {
        self.update(|now| {
            debug_assert!(now & COMPLETE != 0 && now & JOIN_WAKER != 0);
            (now & !JOIN_WAKER, now & JOIN_INTEREST == 0)
        })
    }

    /// As [`drop_handle`](Self::drop_handle), for a handle that has left nothing in the waker field: one atomic
    /// operation if the task is not complete.
    pub(crate) fn detach(&self) -> Detached {
        self.update(|now| {
            debug_assert!(now & JOIN_INTEREST != 0 && now & JOIN_WAKER == 0);
            if now & COMPLETE != 0 {
                (now, Detached::Complete)
            } else {
                (
                    (now & !JOIN_INTEREST) - REF_ONE,
                    Detached::Done(released(now, 1)),
                )
            }
        })
    }

    /// Whether the task is complete and its completer is done with the waker field.
    pub(crate) fn is_settled(&self) -> bool {
        // Acquire pairs with the Release of `complete` and of `release_join_waker`.
        self.0.load(Acquire) & (COMPLETE | JOIN_WAKER) == COMPLETE
    }

    pub(crate) fn drop_handle(&self) -> HandleDropped {
        self.update(|now| {
            debug_assert!(now & JOIN_INTEREST != 0);
            let complete = now & COMPLETE != 0;
            let mut then = now & !JOIN_INTEREST;
            if !complete {
                then &= !JOIN_WAKER;
            }
            let dropped = HandleDropped {
                drop_output: complete,
                // Complete with the flag set: the completer is still waking it, and drops it after.
                drop_waker: then & JOIN_WAKER == 0,
            };
            (then, dropped)
        })
    }

    // === references ===

    pub(crate) fn add_ref(&self) {
        // Relaxed: the new reference is made from one that keeps the task alive.
        check_refs(self.0.fetch_add(REF_ONE, Relaxed));
    }

    pub(crate) fn release_ref(&self) -> Released {
        self.release_refs(1)
    }

    pub(crate) fn release_refs(&self, refs: usize) -> Released {
        // AcqRel pairs with itself: the release of the last reference, after which the task is freed, sees everything
        // that was done with the others.
        released(self.0.fetch_sub(refs * REF_ONE, AcqRel), refs)
    }

    pub(crate) fn is_pooled(&self) -> bool {
        // Relaxed: the flag never changes.
        self.0.load(Relaxed) & POOLED != 0
    }

    pub(crate) fn is_fair(&self) -> bool {
        // Relaxed: the flag never changes.
        self.0.load(Relaxed) & FAIR != 0
    }

    pub(crate) fn is_complete(&self) -> bool {
        // Acquire pairs with the Release of `complete`.
        self.0.load(Acquire) & COMPLETE != 0
    }
}

fn released(before: usize, refs: usize) -> Released {
    debug_assert!(before / REF_ONE >= refs, "a reference was released twice");
    if before / REF_ONE == refs {
        Released::Last
    } else {
        Released::Shared
    }
}

fn reason(now: usize) -> Reason {
    if now & CLOSED != 0 {
        Reason::Closed
    } else {
        Reason::Cancelled
    }
}

/// Safe code may clone and leak wakers without end; a count that wraps would free the task under them.
fn check_refs(before: usize) {
    assert!(
        before / REF_ONE < REF_MAX,
        "too many references to one task: are wakers leaked?"
    );
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = self.0.load(Relaxed);
        let mut list = f.debug_set();
        for (flag, name) in [
            (RUNNING, "running"),
            (QUEUED, "queued"),
            (COMPLETE, "complete"),
            (CANCELLED, "cancelled"),
            (CLOSED, "closed"),
            (JOIN_INTEREST, "join interest"),
            (JOIN_WAKER, "join waker"),
            (POOLED, "pooled"),
            (FAIR, "fair"),
        ] {
            if now & flag != 0 {
                list.entry(&name);
            }
        }
        list.entry(&(now / REF_ONE)).finish()
    }
}
