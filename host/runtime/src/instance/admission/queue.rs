//! Those who wait for slots, and who of them may go: the order, the rule and the throttles of
//! [`admission`](super).

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::instance::run_slots::{RunSlots, Sharer};

/// How long a throttle may hold back a run of which nobody is admitted meanwhile. Guessed: longer than
/// most tasks, so that slots come free in that time.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// How long nobody is admitted where memory is short. Guessed: in that time a task can touch what it needs, and be seen
/// to do so.
pub(super) const PRESSED: Duration = Duration::from_millis(100);

/// A task that wants the slots of an instance.
pub(crate) trait Candidate: Send + Sync + 'static {
    /// A number that no other task of the host has.
    fn id(&self) -> u64;

    /// How deep it is below its run's root.
    fn depth(&self) -> u32;

    /// The slots of its run.
    fn slots(&self) -> &Arc<RunSlots>;

    /// It has its slots: reserves what its instance begins with. Under the queue's lock.
    fn reserve_memory(&self);
}

/// Who waits for the slots of a pool, and who holds them. `S` is what one that is admitted does next.
pub(super) struct Queues<C: Candidate, S> {
    slots: u64,
    pub(super) free: u64,
    /// Sharers that hold slots.
    holders: u64,
    /// When somebody was last admitted while memory was short.
    pressed: Option<Instant>,
    /// A timer will look again at those who were held back.
    pub(super) timer: bool,
    pub(super) closed: bool,
    /// Somebody is admitting; whoever comes meanwhile leaves it to them. Starting a task can end it,
    /// which frees a slot, which would admit the next one from within, without bound.
    pub(super) pumping: bool,
    pub(super) again: bool,
    sequence: u64,
    pub(super) waiting: u64,
    /// By run; in order, so that a close is the same every time.
    pub(super) queues: BTreeMap<u64, Queue<C, S>>,
    /// Those that hold slots or wait for some.
    sharers: BTreeMap<Sharer, Share>,
    /// Sharers that have somebody waiting, in turn.
    ring: VecDeque<Sharer>,
}

#[derive(Default)]
struct Share {
    /// Slots that it holds.
    held: u64,
    /// Its runs that have somebody waiting, in turn.
    ring: VecDeque<u64>,
}

pub(super) struct Queue<C: Candidate, S> {
    pub(super) tasks: BTreeMap<(Reverse<u32>, u64), Waiting<C, S>>,
    /// When the run last had somebody admitted, or began to wait.
    since: Option<Instant>,
    /// Where in `tasks` a guest is.
    keys: HashMap<u64, (Reverse<u32>, u64)>,
}

impl<C: Candidate, S> Default for Queue<C, S> {
    fn default() -> Self {
        Self {
            tasks: BTreeMap::new(),
            since: None,
            keys: HashMap::new(),
        }
    }
}

/// A task that waits.
pub(super) struct Waiting<C: Candidate, S> {
    pub(super) guest: Arc<C>,
    pub(super) start: S,
}

// === impl Queues ===

/// Why others than those who have a slot already had better wait.
#[derive(Clone, Copy)]
struct Reasons {
    /// Somebody of a run that holds less than its share waits for more free slots.
    starving: bool,
    /// The system is short of memory.
    short: bool,
}

/// Whether a run's first candidate may go.
enum Verdict {
    Go,
    /// There are too few free slots, or they are kept for others.
    NoRoom,
    /// A throttle holds it back that gives in to time.
    Held,
}

impl<C: Candidate, S> Queues<C, S> {
    pub(super) fn new(slots: u64) -> Self {
        Self {
            slots,
            free: slots,
            holders: 0,
            pressed: None,
            timer: false,
            closed: false,
            pumping: false,
            again: false,
            sequence: 0,
            waiting: 0,
            queues: BTreeMap::new(),
            sharers: BTreeMap::new(),
            ring: VecDeque::new(),
        }
    }

    pub(super) fn push(&mut self, waiting: Waiting<C, S>, now: Instant) {
        let slots = waiting.guest.slots();
        let (run, sharer) = (slots.run, slots.sharer());
        let key = (Reverse(waiting.guest.depth()), self.sequence);
        self.sequence += 1;
        self.waiting += 1;
        let queue = self.queues.entry(run).or_default();
        if queue.tasks.is_empty() {
            let share = self.sharers.entry(sharer).or_default();
            if share.ring.is_empty() {
                self.ring.push_back(sharer);
            }
            share.ring.push_back(run);
            queue.since = Some(now);
        }
        queue.keys.insert(waiting.guest.id(), key);
        queue.tasks.insert(key, waiting);
    }

    /// Takes out everybody who waits.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Waiting<C, S>> + use<C, S> {
        self.waiting = 0;
        self.ring.clear();
        for share in self.sharers.values_mut() {
            share.ring.clear();
        }
        self.sharers.retain(|_, share| share.held > 0);
        let queues = std::mem::take(&mut self.queues);
        queues
            .into_values()
            .flat_map(|queue| queue.tasks.into_values())
    }

    pub(super) fn remove(&mut self, guest: &C) -> Option<Waiting<C, S>> {
        let slots = guest.slots();
        let queue = self.queues.get_mut(&slots.run)?;
        let key = queue.keys.remove(&guest.id())?;
        let waiting = queue.tasks.remove(&key)?;
        self.waiting -= 1;
        if queue.tasks.is_empty() {
            self.queues.remove(&slots.run);
            let sharer = slots.sharer();
            if let Some(share) = self.sharers.get_mut(&sharer) {
                share.ring.retain(|run| *run != slots.run);
                if share.ring.is_empty() {
                    self.ring.retain(|other| *other != sharer);
                }
            }
            self.forget_if_gone(sharer);
        }
        Some(waiting)
    }

    pub(super) fn give_back(&mut self, sharer: Sharer, slots: u64) {
        self.free += slots;
        if let Some(share) = self.sharers.get_mut(&sharer) {
            share.held -= slots;
            if share.held == 0 {
                self.holders -= 1;
            }
        }
        self.forget_if_gone(sharer);
    }

    fn forget_if_gone(&mut self, sharer: Sharer) {
        let share = self.sharers.get(&sharer);
        if share.is_some_and(|share| share.held == 0 && share.ring.is_empty()) {
            self.sharers.remove(&sharer);
        }
    }

    /// How many slots it holds.
    fn held(&self, sharer: Sharer) -> u64 {
        self.sharers.get(&sharer).map_or(0, |share| share.held)
    }

    /// Takes everybody who may go, in turn; says whether a throttle held somebody back.
    pub(super) fn admit(&mut self, now: Instant, short: bool) -> (Vec<Waiting<C, S>>, bool) {
        let mut admitted = Vec::new();
        let mut held_back = false;
        let reasons = Reasons {
            starving: self.somebody_starves(),
            short,
        };
        let mut passed_over = 0;
        while self.free > 0 && passed_over < self.ring.len() {
            let Some(sharer) = self.ring.pop_front() else {
                break;
            };
            match self.next_of(sharer, now, reasons, &mut held_back) {
                Some(run) => {
                    passed_over = 0;
                    if short {
                        self.pressed = Some(now);
                    }
                    admitted.extend(self.take_first(run, now));
                }
                None => passed_over += 1,
            }
            let share = self.sharers.get(&sharer);
            if share.is_some_and(|share| !share.ring.is_empty()) {
                self.ring.push_back(sharer);
            }
        }
        (admitted, held_back)
    }

    /// The run of `sharer` whose turn it is, if the first candidate of any may go; it is the last one then.
    fn next_of(
        &mut self,
        sharer: Sharer,
        now: Instant,
        reasons: Reasons,
        held_back: &mut bool,
    ) -> Option<u64> {
        let share = self.sharers.get(&sharer)?;
        let at = share.ring.iter().position(|run| {
            let verdict = self
                .queues
                .get(run)
                .map_or(Verdict::NoRoom, |queue| self.judge(queue, now, reasons));
            *held_back |= matches!(verdict, Verdict::Held);
            matches!(verdict, Verdict::Go)
        })?;
        let ring = &mut self.sharers.get_mut(&sharer)?.ring;
        ring.rotate_left(at + 1);
        ring.back().copied()
    }

    fn judge(&self, queue: &Queue<C, S>, now: Instant, reasons: Reasons) -> Verdict {
        let Some((_, first)) = queue.tasks.first_key_value() else {
            return Verdict::NoRoom;
        };
        let (run, depth) = (first.guest.slots(), first.guest.depth());
        if !self.has_room(run, depth) {
            return Verdict::NoRoom;
        }
        let long_ago = |since: Option<Instant>, patience| {
            since.is_none_or(|since| now.saturating_duration_since(since) >= patience)
        };
        let throttled = !run.has_memory_for(depth) || (reasons.starving && self.has_its_share(run));
        if throttled && !long_ago(queue.since, PATIENCE) && !run.all_are_blocked() {
            return Verdict::Held;
        }
        let somebody_has_a_place = self.free < self.slots;
        if reasons.short
            && somebody_has_a_place
            && !long_ago(self.pressed, PRESSED)
            && !run.stands_still()
        {
            return Verdict::Held;
        }
        Verdict::Go
    }

    /// Takes a sharer out of the ring of which nothing waits any more; it was the last to come.
    pub(super) fn leave_ring(&mut self, sharer: Sharer) {
        let waits = (self.sharers.get(&sharer)).is_some_and(|share| !share.ring.is_empty());
        if !waits && self.ring.back() == Some(&sharer) {
            self.ring.pop_back();
        }
    }

    /// Whether there are slots for a task of this depth, and kept for nobody else.
    pub(super) fn has_room(&self, run: &RunSlots, depth: u32) -> bool {
        let demand = run.demand(depth);
        self.free >= demand
            && run.part(self.slots).saturating_sub(run.held()) >= demand
            && (self.leaves_others_room(run) || run.stands_still())
    }

    /// Whether its sharer holds less than twice as many slots as are free, before the last one of the task's is taken.
    fn leaves_others_room(&self, run: &RunSlots) -> bool {
        let but_one = run.each - 1;
        self.held(run.sharer()) + but_one < 2 * self.free.saturating_sub(but_one)
    }

    /// Whether somebody of a run that holds less than its share waits for more free slots.
    fn somebody_starves(&self) -> bool {
        self.ring.len() + usize::try_from(self.holders).unwrap_or(usize::MAX) > 1
            && self.queues.values().any(|queue| {
                queue.tasks.first_key_value().is_some_and(|(_, first)| {
                    let run = first.guest.slots();
                    let takes_several = run.each > 1;
                    (self.free < run.demand(first.guest.depth())
                        || takes_several && !self.leaves_others_room(run))
                        && !self.has_its_share(run)
                })
            })
    }

    fn has_its_share(&self, run: &RunSlots) -> bool {
        let held = self.held(run.sharer());
        // One that holds nothing yet counts among those who share.
        let sharers = self.holders + u64::from(held == 0);
        held * sharers.max(2) >= self.slots
    }

    /// Gives the run's first candidate its slots and its memory.
    pub(super) fn take_first(&mut self, run: u64, now: Instant) -> Option<Waiting<C, S>> {
        let queue = self.queues.get_mut(&run)?;
        let (_, waiting) = queue.tasks.pop_first()?;
        queue.keys.remove(&waiting.guest.id());
        queue.since = Some(now);
        let is_last = queue.tasks.is_empty();
        if is_last {
            self.queues.remove(&run);
        }
        self.waiting -= 1;
        let share = self.takes(&*waiting.guest);
        if is_last {
            // Its turn has just come, so it stands last.
            share.ring.retain(|other| *other != run);
        }
        Some(waiting)
    }

    /// Gives a candidate its slots and its memory.
    fn takes(&mut self, guest: &C) -> &mut Share {
        let slots = guest.slots();
        slots.admits();
        self.free -= slots.each;
        guest.reserve_memory();
        let share = self.sharers.entry(slots.sharer()).or_default();
        if share.held == 0 {
            self.holders += 1;
        }
        share.held += slots.each;
        share
    }

    /// Gives a candidate its slots if nobody waits and nothing holds it back, as nearly always: it would be pushed and
    /// admitted. Says whether it did.
    pub(super) fn takes_at_once(&mut self, guest: &C) -> bool {
        let (run, depth) = (guest.slots(), guest.depth());
        // Where nobody waits, nobody starves.
        let goes = self.waiting == 0
            && !self.pumping
            && self.has_room(run, depth)
            && run.has_memory_for(depth);
        if goes {
            self.takes(guest);
        }
        goes
    }
}
