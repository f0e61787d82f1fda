//! Deadlines, with removal: guests end long before most of theirs.
//!
//! A hierarchical wheel: setting a deadline and forgetting it take as long beside a million others as alone. A slot of
//! the lowest level is [`UNIT`] wide, one of each level above it as wide as all [`SLOTS`] below. A deadline is on the
//! lowest level on which its slot is not the present one, so all of the same slot are on one list, and what is on a level
//! is later than all that is below it. When the time reaches a slot above the lowest level, what is in it moves down.
//!
//! A list is an array of places. Of a million deadlines hardly one is in the processor's cache: where they were linked with
//! each other, each would have to be there before the next one could be looked for.
//!
//! Nothing is rounded: in the slot of the present, deadlines are compared as they are.

use std::sync::{Arc, Weak};
use std::time::Instant;

/// Something with a deadline.
pub(crate) trait Expire: Send + Sync {
    /// The deadline has come. Runs on the clock thread: must not block nor drop a store.
    fn expire(self: Arc<Self>);
}

/// Names one deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey {
    place: u32,
    /// Tells those apart that have had the place.
    sequence: u64,
}

/// How wide a slot of the lowest level is, as a power of two of nanoseconds: 4 us.
const UNIT: u32 = 12;
/// Slots of a level, as a power of two.
const DIGIT: u32 = 6;
const SLOTS: usize = 1 << DIGIT;
/// Enough for all times.
const LEVELS: usize = (u64::BITS - UNIT).div_ceil(DIGIT) as usize;
/// How many deadlines of a slot are looked at to find the first. Where there are more, the slot's own time does.
const LOOKED_AT: usize = 32;
/// Places for so many are kept when none is left.
const KEPT: usize = 1024;

pub(super) struct Timers {
    base: Instant,
    levels: [Level; LEVELS],
    places: Vec<Place>,
    free: Vec<u32>,
    live: usize,
    /// Room for the list that is being taken.
    spare: Vec<u32>,
    sequence: u64,
    /// The unit up to which all that was due has been taken.
    now: u64,
    /// What [`next`](Self::next) said last, or an earlier deadline that was set since.
    armed: u64,
}

#[derive(Default)]
struct Level {
    /// A bit for each slot that has something on its list.
    occupied: u64,
    lists: Lists,
}

/// The places of each slot, in no order.
struct Lists([Vec<u32>; SLOTS]);

impl Default for Lists {
    fn default() -> Self {
        Self([const { Vec::new() }; SLOTS])
    }
}

struct Place {
    /// Nanoseconds from the base.
    deadline: u64,
    sequence: u64,
    /// None if it is free.
    target: Option<Weak<dyn Expire>>,
    /// Where it is on the list of its slot.
    index: u32,
    level: u8,
    slot: u8,
}

impl Timers {
    /// None yet; their time begins at `base`.
    pub(super) fn since(base: Instant) -> Self {
        Self {
            base,
            levels: std::array::from_fn(|_| Level::default()),
            places: Vec::new(),
            free: Vec::new(),
            live: 0,
            spare: Vec::new(),
            sequence: 0,
            now: 0,
            armed: u64::MAX,
        }
    }

    /// Adds a deadline; says whether it is before all that [`next`](Self::next) knew of.
    pub(super) fn insert(
        &mut self,
        deadline: Instant,
        target: Weak<dyn Expire>,
    ) -> (TimerKey, bool) {
        let deadline = self.nanoseconds(deadline);
        self.sequence += 1;
        let new = Place {
            deadline,
            sequence: self.sequence,
            target: Some(target),
            index: 0,
            level: 0,
            slot: 0,
        };
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = new;
                place
            }
            None => {
                self.places.push(new);
                u32::try_from(self.places.len() - 1).expect("fewer than four billion timers")
            }
        };
        self.live += 1;
        self.link(place);
        let first = deadline < self.armed;
        if first {
            self.armed = deadline;
        }
        let sequence = self.sequence;
        (TimerKey { place, sequence }, first)
    }

    /// Forgets a deadline that has not come.
    pub(super) fn remove(&mut self, key: TimerKey) -> Option<Weak<dyn Expire>> {
        let place = self.places.get(key.place as usize)?;
        if place.target.is_none() || place.sequence != key.sequence {
            return None;
        }
        self.unlink(key.place);
        self.release(key.place)
    }

    /// When to look again: the next deadline, or somewhat before it where there are many.
    pub(super) fn next(&mut self) -> Option<Instant> {
        let next = self.first_slot().map(|(level, slot)| {
            let list = &self.levels[level].lists.0[slot];
            if list.len() <= LOOKED_AT {
                let deadlines = list
                    .iter()
                    .map(|place| self.places[*place as usize].deadline);
                return deadlines.min().unwrap_or(u64::MAX);
            }
            let start = self.start(level, slot);
            // The present slot has begun: at its end all of it is due.
            let unit = if level == 0 { start + 1 } else { start };
            unit << UNIT
        });
        self.armed = next.unwrap_or(u64::MAX);
        next.map(|next| self.base + std::time::Duration::from_nanos(next))
    }

    /// Takes what is due.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Arc<dyn Expire>> {
        let mut due = Vec::new();
        let now = self.nanoseconds(now);
        let unit = now >> UNIT;
        let mut taken = std::mem::take(&mut self.spare);
        while let Some((level, slot)) = self.first_slot() {
            let start = self.start(level, slot);
            if start > unit {
                break;
            }
            self.now = self.now.max(start);
            let Level { occupied, lists } = &mut self.levels[level];
            *occupied &= !(1 << slot);
            std::mem::swap(&mut taken, &mut lists.0[slot]);
            for place in taken.drain(..) {
                if self.places[place as usize].deadline <= now {
                    due.extend(self.release(place).and_then(|target| target.upgrade()));
                } else {
                    self.link(place);
                }
            }
            if taken.capacity() > KEPT {
                taken = Vec::new();
            }
            if level == 0 && start == unit {
                break;
            }
        }
        self.now = self.now.max(unit);
        self.spare = taken;
        due
    }

    fn nanoseconds(&self, time: Instant) -> u64 {
        let since = time.saturating_duration_since(self.base);
        // As much less than the end of time as what is added to it below.
        u64::try_from(since.as_nanos()).map_or(FAR, |since| since.min(FAR))
    }

    /// The slot whose time comes first.
    fn first_slot(&self) -> Option<(usize, usize)> {
        let levels = self.levels.iter().enumerate();
        let mut occupied = levels.filter(|(_, level)| level.occupied != 0);
        let (level, found) = occupied.next()?;
        Some((level, found.occupied.trailing_zeros() as usize))
    }

    /// The unit at which a slot begins.
    fn start(&self, level: usize, slot: usize) -> u64 {
        let below = DIGIT * level as u32;
        let above = self.now.checked_shr(below + DIGIT).unwrap_or(0);
        ((above << DIGIT) | slot as u64) << below
    }

    /// Puts a place on the list of its deadline.
    fn link(&mut self, place: u32) {
        let linked = &mut self.places[place as usize];
        let unit = (linked.deadline >> UNIT).max(self.now);
        let differ = unit ^ self.now;
        let level = differ.checked_ilog2().unwrap_or(0) / DIGIT;
        let slot = (unit >> (DIGIT * level)) as usize % SLOTS;
        let Level { occupied, lists } = &mut self.levels[level as usize];
        let list = &mut lists.0[slot];
        (linked.level, linked.slot) = (level as u8, slot as u8);
        linked.index = list.len() as u32;
        *occupied |= 1 << slot;
        list.push(place);
    }

    fn unlink(&mut self, place: u32) {
        let Place {
            index, level, slot, ..
        } = self.places[place as usize];
        let Level { occupied, lists } = &mut self.levels[usize::from(level)];
        let list = &mut lists.0[usize::from(slot)];
        list.swap_remove(index as usize);
        match list.get(index as usize) {
            Some(moved) => self.places[*moved as usize].index = index,
            None if list.is_empty() => {
                *occupied &= !(1 << slot);
                if list.capacity() > KEPT {
                    *list = Vec::new();
                }
            }
            None => {}
        }
    }

    /// Frees a place that is on no list.
    fn release(&mut self, place: u32) -> Option<Weak<dyn Expire>> {
        let freed = &mut self.places[place as usize];
        let target = freed.target.take();
        self.free.push(place);
        self.live -= 1;
        if self.live == 0 && self.places.len() > KEPT {
            (self.places, self.free) = (Vec::new(), Vec::new());
            self.levels = std::array::from_fn(|_| Level::default());
        }
        target
    }
}

/// The last time that there is: all later ones are this.
const FAR: u64 = u64::MAX >> 1;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    struct Target(u64, Arc<Mutex<Vec<u64>>>);

    impl Expire for Target {
        fn expire(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    // Fault: a deadline that comes early, late, twice or never; one that was forgotten and comes; one forgotten in the
    // place of another; a machine that is told a time to go on at which nothing happens, again and again.
    #[test]
    fn every_deadline_comes_once_and_exactly_when_it_should() {
        for seed in 0..50 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut timers = Timers::since(Instant::now());
            let expired = Arc::new(Mutex::new(Vec::new()));
            let mut expected = BTreeMap::new();
            let mut targets = BTreeMap::new();
            let mut old = Vec::new();
            let (mut now, mut sleeps_until) = (0, u64::MAX);
            for id in 0..3_000_u64 {
                // From nanoseconds to hours; often the very same one, or one that is past.
                let most = 1 << random.u32(0..43);
                let length = random.u64(0..=most);
                let deadline = if random.u8(..) < 8 {
                    now / 2
                } else {
                    now + length
                };
                let target = Arc::new(Target(id, expired.clone()));
                let weak: Weak<dyn Expire> = Arc::downgrade(&(target.clone() as Arc<dyn Expire>));
                let at = timers.base + Duration::from_nanos(deadline);
                let (key, is_first) = timers.insert(at, weak);
                assert!(is_first || deadline >= sleeps_until, "it is woken too late");
                sleeps_until = sleeps_until.min(deadline);
                expected.insert((deadline, id), key);
                targets.insert(id, target);
                if random.bool()
                    && let Some(((_, id), key)) = expected.pop_last()
                {
                    assert!(timers.remove(key).is_some());
                    assert!(timers.remove(key).is_none(), "twice");
                    targets.remove(&id);
                    old.push(key);
                }
                if let Some(key) = old.get(random.usize(..=old.len())) {
                    assert!(timers.remove(*key).is_none(), "another's");
                }
                if random.u8(..) > 40 {
                    continue;
                }
                // As the machine does: to where it is told, or as far as a step takes it.
                let next = timers.next();
                sleeps_until = next.map_or(u64::MAX, |next| (next - timers.base).as_nanos() as u64);
                assert_eq!(next.is_some(), !expected.is_empty());
                if let Some(((first, _), next)) = expected.keys().next().zip(next) {
                    let next = (next - timers.base).as_nanos() as u64;
                    assert!(next <= (*first).max(now) + (1 << UNIT), "late");
                    let many = expected.len() > LOOKED_AT;
                    assert!(next == *first || many, "{next} for {first}");
                    now = if random.bool() {
                        next.max(now)
                    } else {
                        now + random.u64(0..=1 << 30)
                    };
                }
                for target in timers.due(timers.base + Duration::from_nanos(now)) {
                    target.expire();
                }
                let late = expected.split_off(&(now + 1, 0));
                let mut due: Vec<u64> = expected.into_iter().map(|((_, id), _)| id).collect();
                expected = late;
                let mut came = std::mem::take(&mut *expired.lock().unwrap());
                due.sort_unstable();
                came.sort_unstable();
                assert_eq!(due, came, "seed {seed}, at {now}");
            }
            // Whoever goes on from one time to the next gets to the end.
            let mut looks = 0;
            while let Some(next) = timers.next() {
                looks += 1;
                let now = next.max(timers.base + Duration::from_nanos(now));
                for target in timers.due(now) {
                    target.expire();
                }
            }
            assert_eq!(expired.lock().unwrap().len(), expected.len());
            assert!(looks <= expected.len() * LEVELS);
            assert_eq!(timers.live, 0);
        }
    }

    // Fault: room for a million that is kept for ever.
    #[test]
    fn the_room_of_very_many_is_given_back() {
        let mut timers = Timers::since(Instant::now());
        let target: Arc<dyn Expire> = Arc::new(Target(0, Arc::default()));
        let keys: Vec<TimerKey> = (0..10 * KEPT as u64)
            .map(|n| {
                timers
                    .insert(
                        timers.base + Duration::from_micros(n),
                        Arc::downgrade(&target),
                    )
                    .0
            })
            .collect();
        for key in keys {
            timers.remove(key).unwrap();
        }
        assert_eq!((timers.places.capacity(), timers.next()), (0, None));
    }
}
