//! What each lane tells the others: a line of its own for each, written under its lock and read without.
//!
//! Virtual times are told in one word: in coarse units, modulo the word. Only differences are used, and those of lanes that
//! compete are small.

use super::virtual_time::Virtual;
use crate::sync::{
    Apart, AtomicUsize,
    Ordering::{Relaxed, Release},
};
use alloc::{sync::Arc, vec::Vec};

/// Units of virtual time in a coarse one, as a power of two: of a default weight a fortieth of a nanosecond. The word goes
/// round after 26 days of a core at weight 1. Where words are short there is one lane.
const COARSE: u32 = 20;

/// A virtual time as it is told.
pub(super) fn coarse(time: Virtual) -> usize {
    match (time >> COARSE) as usize {
        // That says "none".
        NONE => NONE - 1,
        time => time,
    }
}

const NONE: usize = usize::MAX;

fn is_before(a: usize, b: usize) -> bool {
    a.wrapping_sub(b).cast_signed() < 0
}

/// Parts of a task in which loads are counted.
const PARTS: usize = 64;

/// What a lane tells.
pub(super) struct Told {
    /// Runnable tasks of all groups that are not parked.
    len: AtomicUsize,
    /// Workers that have a turn.
    pub(super) polling: AtomicUsize,
    /// Workers of its domain.
    workers: AtomicUsize,
    /// The next turn's deadline.
    first: AtomicUsize,
    /// The same a slice later.
    late: AtomicUsize,
    /// What no group that competes here is behind.
    least: AtomicUsize,
}

impl Told {
    fn new() -> Self {
        Self {
            len: AtomicUsize::new(0),
            polling: AtomicUsize::new(0),
            workers: AtomicUsize::new(0),
            first: AtomicUsize::new(NONE),
            late: AtomicUsize::new(NONE),
            least: AtomicUsize::new(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// Under the lock, so no read-modify-write. Release pairs with the Acquire in `reclaim`: a worker that finds no task
    /// in the lane finds that another has a turn.
    pub(super) fn add(&self, tasks: usize) {
        self.len.store(self.len.load(Relaxed) + tasks, Release);
    }

    /// The same.
    pub(super) fn sub(&self, tasks: usize) {
        self.len.store(self.len.load(Relaxed) - tasks, Release);
    }

    /// A turn begins, which is to be counted before its tasks are taken from the lane.
    pub(super) fn begin(&self) {
        self.polling.store(self.polling.load(Relaxed) + 1, Relaxed);
    }

    /// A turn is over. Not before the worker's next one is counted, which may have the same tasks: `reclaim` reads the
    /// count without the lock.
    pub(super) fn end(&self) {
        self.polling.store(self.polling.load(Relaxed) - 1, Relaxed);
    }

    pub(super) fn workers(&self) -> usize {
        self.workers.load(Relaxed)
    }

    /// There is one worker more; how many there are now.
    pub(super) fn add_worker(&self) -> usize {
        self.workers.fetch_add(1, Relaxed) + 1
    }

    /// There is one worker less.
    pub(super) fn remove_worker(&self) {
        self.workers.fetch_sub(1, Relaxed);
    }

    /// `first` is the deadline of the next turn, and that a slice later.
    pub(super) fn tell(&self, first: Option<(Virtual, Virtual)>, least: Virtual) {
        let (first, late) =
            first.map_or((NONE, NONE), |(first, late)| (coarse(first), coarse(late)));
        self.first.store(first, Relaxed);
        self.late.store(late, Relaxed);
        self.least.store(coarse(least), Relaxed);
    }

    /// How many tasks each worker has to do, in [`PARTS`], with those that are polled.
    pub(super) fn load(&self) -> usize {
        let tasks = self.len() + self.polling.load(Relaxed);
        let load = (tasks * PARTS).checked_div(self.workers());
        load.unwrap_or(usize::MAX)
    }
}

/// The turn that a worker has, or would have next: when it begins and ends in virtual time.
#[derive(Clone, Copy)]
pub(super) struct Stand {
    begins: usize,
    ends: usize,
}

impl Stand {
    pub(super) fn new(begins: Virtual, ends: Virtual) -> Self {
        Self {
            begins: coarse(begins),
            ends: coarse(ends),
        }
    }

    /// Whether it is to make way for a turn of another lane, which ends at `first`: if that would have been over a slice
    /// ago, at `late`; or if it ends no later than this, and that lane has more to do.
    fn yields_to(self, first: usize, late: usize, more: bool) -> bool {
        is_before(late, self.begins) || more && !is_before(self.ends, first)
    }

    /// The same, as the other lane itself knows.
    pub(super) fn makes_way(self, first: Virtual, late: Virtual, more: bool) -> bool {
        self.yields_to(coarse(first), coarse(late), more)
    }
}

/// What all lanes tell.
#[derive(Clone)]
pub(super) struct Board(Arc<[Arc<Apart<Told>>]>);

impl Board {
    pub(super) fn new(lanes: usize) -> Self {
        let told: Vec<_> = (0..lanes).map(|_| Arc::new(Apart(Told::new()))).collect();
        Self(told.into())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn of(&self, lane: usize) -> &Arc<Apart<Told>> {
        &self.0[lane]
    }

    /// The next turn of a lane, if it has one.
    pub(super) fn stand(&self, lane: usize) -> Option<Stand> {
        let told = self.of(lane);
        let (ends, late) = (told.first.load(Relaxed), told.late.load(Relaxed));
        (ends != NONE).then(|| Stand {
            // A slice before, as `late` is one after.
            begins: ends.wrapping_sub(late.wrapping_sub(ends)),
            ends,
        })
    }

    /// Whether the lane `of` has more tasks for each worker than `than`, by more than one.
    pub(super) fn has_more(&self, of: usize, than: usize) -> bool {
        let than = self.of(than).load();
        self.of(of).load() > than.saturating_add(PARTS)
    }

    /// Whether a turn of the lane `own` is to make way for the next one of the lane `of`.
    pub(super) fn lags(&self, of: usize, own: usize, stand: Stand) -> bool {
        let told = self.of(of);
        let (first, late) = (told.first.load(Relaxed), told.late.load(Relaxed));
        first != NONE && stand.yields_to(first, late, self.has_more(of, own))
    }

    /// What no group is behind that competes on the machine, for the lane `own`, whose `least` is this. If nothing
    /// competes, where those stand that did last.
    pub(super) fn least(&self, own: usize, least: Virtual) -> Virtual {
        let zero = coarse(least);
        let ahead = |told: &Told| {
            let theirs = told.least.load(Relaxed);
            theirs.wrapping_sub(zero).cast_signed()
        };
        let lanes = || self.0.iter().enumerate().filter(|&(lane, _)| lane != own);
        let is_busy = |told: &Told| told.len() > 0 || told.polling.load(Relaxed) > 0;
        let busy = lanes().filter(|(_, told)| is_busy(told));
        let furthest_behind = busy.map(|(_, told)| ahead(told)).min();
        let ahead = match furthest_behind {
            Some(behind) if is_busy(self.of(own)) => behind.min(0),
            Some(behind) => behind,
            None if is_busy(self.of(own)) => 0,
            None => lanes()
                .map(|(_, told)| ahead(told))
                .max()
                .unwrap_or(0)
                .max(0),
        };
        let units = u128::from(ahead.unsigned_abs() as u64) << COARSE;
        if ahead < 0 {
            least.saturating_sub(units)
        } else {
            least + units
        }
    }
}
