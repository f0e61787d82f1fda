//! Which slots are free.
//!
//! # Protocol
//!
//! 1. A slot is *fresh* until it is taken for the first time, then *taken* or *free*. Fresh ones are counted, free
//!    ones are in the list of some shard.
//! 2. A thread takes from its own shard first, what was put back last: its pages may still be in the core's cache.
//!    Then from others, then a fresh one.
//! 3. [`Slots::take`] says that there is none only after it has held the locks of all shards at once: a slot that
//!    moves from a list not yet looked at to one already looked at is not missed.
//! 4. *Warm* slots keep pages, so there are few; *cold* ones have given theirs back. Warm ones are taken first. How
//!    many bytes a slot keeps goes with it: its next owner may use fewer, and still has to give back all of them.
//! 5. A slot's bytes belong to whoever took it. The lock of a shard hands them over: what the last owner did to
//!    them happens before what the next one does.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::base::sync::lock;

/// More than most machines have cores at work in one host. A guess.
const SHARDS: usize = 16;
/// Free slots of a shard that keep pages. A guess: as many as a worker may have in use at a time without giving
/// pages back and touching them again; `hart-bench spawn` settles it.
const WARM: usize = 64;
/// Slots that keep pages, unless threads share a shard and put back at the same time.
pub(crate) const MOST_WARM: u64 = (WARM * SHARDS) as u64;

/// Slots of one kind.
pub(crate) struct Slots {
    capacity: u32,
    /// How many have ever been taken: the next fresh one.
    fresh: AtomicU32,
    shards: [Shard; SHARDS],
}

/// Free slots. Not on one cache line with others: threads that have their own do not disturb each other.
#[derive(Default)]
#[repr(align(128))]
struct Shard {
    lists: Mutex<Lists>,
    /// Slots in the lists, and of these the warm ones: hints for whoever does not hold the lock, who writes them.
    free: AtomicUsize,
    warm: AtomicUsize,
    /// Bytes that the warm ones keep.
    kept: AtomicU64,
}

#[derive(Default)]
struct Lists {
    warm: Vec<Slot>,
    cold: Vec<u32>,
}

/// A slot, and how many bytes of pages it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) number: u32,
    pub(crate) kept: usize,
}

impl Slot {
    fn without_pages(number: u32) -> Self {
        Self { number, kept: 0 }
    }
}

/// Whether a slot that is put back may keep pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the slot's pages are kept or given back as this says"]
pub(crate) enum Fate {
    Warm,
    Cold,
}

impl Slots {
    pub(crate) fn new(capacity: u32) -> Self {
        Self {
            capacity,
            fresh: AtomicU32::new(0),
            shards: Default::default(),
        }
    }

    /// Takes a slot; none is left otherwise.
    pub(crate) fn take(&self) -> Option<Slot> {
        let own = own_shard();
        for step in 0..SHARDS {
            let shard = &self.shards[(own + step) % SHARDS];
            // A hint that is wrong is put right below.
            if shard.free.load(Ordering::Relaxed) > 0
                && let Some(slot) = shard.pop(&mut lock(&shard.lists))
            {
                return Some(slot);
            }
        }
        self.take_fresh()
            .map(Slot::without_pages)
            .or_else(|| self.take_any())
    }

    fn take_fresh(&self) -> Option<u32> {
        // Relaxed: a fresh slot has had no owner whose writes matter.
        let next = |fresh: u32| (fresh < self.capacity).then_some(fresh + 1);
        self.fresh
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .ok()
    }

    /// Looks into all lists at once.
    fn take_any(&self) -> Option<Slot> {
        // Always in this order, and nobody waits for a lock while holding another one but here.
        let mut all: Vec<MutexGuard<'_, Lists>> =
            self.shards.iter().map(|shard| lock(&shard.lists)).collect();
        let mut each = self.shards.iter().zip(&mut all);
        each.find_map(|(shard, lists)| shard.pop(lists))
    }

    /// What is to become of a slot that this thread puts back next.
    pub(crate) fn fate(&self) -> Fate {
        // Threads that share a shard may keep a few more.
        let warm = self.shards[own_shard()].warm.load(Ordering::Relaxed);
        if warm < WARM { Fate::Warm } else { Fate::Cold }
    }

    /// Puts back a slot that reads as zeros. A cold one keeps nothing.
    pub(crate) fn put_back(&self, slot: Slot, fate: Fate) {
        let shard = &self.shards[own_shard()];
        let mut lists = lock(&shard.lists);
        match fate {
            Fate::Warm => {
                // Whoever writes it holds the lock.
                shard.kept.fetch_add(slot.kept as u64, Ordering::Relaxed);
                lists.warm.push(slot);
            }
            Fate::Cold => lists.cold.push(slot.number),
        }
        shard.note(&lists);
    }

    /// Bytes that slots without an owner keep.
    pub(crate) fn kept(&self) -> u64 {
        let kept = |shard: &Shard| shard.kept.load(Ordering::Relaxed);
        self.shards.iter().map(kept).sum()
    }

    /// How many are taken: exact while nobody takes or puts back.
    pub(crate) fn live(&self) -> u64 {
        let free = |shard: &Shard| shard.free.load(Ordering::Relaxed) as u64;
        let fresh = u64::from(self.fresh.load(Ordering::Relaxed));
        fresh.saturating_sub(self.shards.iter().map(free).sum())
    }
}

impl Shard {
    fn pop(&self, lists: &mut Lists) -> Option<Slot> {
        let warm = lists.warm.pop();
        if let Some(slot) = warm {
            self.kept.fetch_sub(slot.kept as u64, Ordering::Relaxed);
        }
        let slot = warm.or_else(|| lists.cold.pop().map(Slot::without_pages));
        self.note(lists);
        slot
    }

    fn note(&self, lists: &Lists) {
        self.warm.store(lists.warm.len(), Ordering::Relaxed);
        self.free
            .store(lists.warm.len() + lists.cold.len(), Ordering::Relaxed);
    }
}

/// The shard of this thread.
fn own_shard() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<Option<usize>> = const { Cell::new(None) };
    }
    let new = || THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS;
    // A thread that is about to end may have no cell any more.
    OWN.try_with(|own| {
        let shard = own.get().unwrap_or_else(new);
        own.set(Some(shard));
        shard
    })
    .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    /// Race: two threads that take the same slot; one that is told that there is none while there is; a slot that is
    /// lost between two lists.
    #[test]
    fn a_slot_has_one_owner_and_none_is_lost() {
        const THREADS: usize = 8;
        const SLOTS: usize = THREADS + 1;
        // One for each thread, so that any that finds none is wrong, and one that goes from hand to hand: slots
        // are put back into other lists than they came from.
        let slots = Slots::new(SLOTS as u32);
        let owned: [AtomicBool; SLOTS] = Default::default();
        let hand = Mutex::new(slots.take().expect("all are fresh"));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for round in 0..20_000 {
                        let mut slot = slots.take().expect("there are as many as threads");
                        let was_owned = owned[slot.number as usize].swap(true, Ordering::Relaxed);
                        assert!(!was_owned, "{slot:?} has two owners");
                        if round % 64 == 0 {
                            std::thread::yield_now();
                        }
                        owned[slot.number as usize].store(false, Ordering::Relaxed);
                        std::mem::swap(&mut slot, &mut lock(&hand));
                        slots.put_back(slot, slots.fate());
                    }
                });
            }
        });
        slots.put_back(*lock(&hand), Fate::Cold);
        assert_eq!(slots.live(), 0);
        let taken = std::iter::from_fn(|| slots.take().map(|slot| slot.number));
        let all: std::collections::BTreeSet<u32> = taken.collect();
        assert_eq!(all.len(), SLOTS);
        assert_eq!(slots.live(), SLOTS as u64);
    }

    /// Race: a slot that is put back where a thread has looked already, as that thread sees it: by the hints, no list
    /// has any.
    #[test]
    fn hints_hide_no_slot() {
        let slots = Slots::new(1);
        let slot = slots.take().unwrap();
        slots.put_back(slot, Fate::Cold);
        for shard in &slots.shards {
            shard.free.store(0, Ordering::Relaxed);
        }
        assert_eq!(slots.take(), Some(slot));
        assert_eq!(slots.take(), None);
    }

    /// Fault: pages kept for every slot that was ever in use; the pages that were just used not used again.
    #[test]
    fn few_slots_keep_pages_and_those_are_taken_first() {
        let slots = Slots::new(1_000);
        let taken: Vec<Slot> = std::iter::from_fn(|| slots.take()).collect();
        let mut kept = std::collections::BTreeSet::new();
        for slot in &taken {
            let fate = slots.fate();
            if fate == Fate::Warm {
                kept.insert(slot.number);
            }
            slots.put_back(Slot { kept: 10, ..*slot }, fate);
        }
        assert_eq!(kept.len(), WARM);
        assert_eq!(slots.kept(), 10 * WARM as u64);
        let first: std::collections::BTreeSet<u32> = (0..WARM)
            .filter_map(|_| slots.take())
            .map(|slot| slot.number)
            .collect();
        assert_eq!(first, kept);
        assert_eq!(slots.kept(), 0);
    }
}
