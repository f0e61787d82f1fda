//! Who gets a place in the pool of instances, and when.
//!
//! The pool refuses at once what it has no room for, so guests take their places here first. Spawns
//! that must wait hold bytes, not places, in a bounded queue per run.
//!
//! # Order
//!
//! Round-robin between *sharers*: tenants, and runs that have none. Round-robin between the runs of a tenant;
//! within a run the deepest first, first in first out within a depth. A run whose first candidate does not
//! fit is passed over; it does not hold up others, except as said under *Throttles*.
//!
//! # The rule
//!
//! Let `w` be the places that the run's component takes (one, for nearly all), `D` the run's limit of
//! depth, and `d` a task's depth, the root's being 0. A task is admitted only while at least
//! `(D - d + 1) * w` places are free, both in the pool and in the run's own part of it: one run may hold
//! seven eighths of the pool (or what its root needs, if that is more), so that a fork bomb leaves room
//! for the roots of other runs. A component that cannot spawn has `D = 0`.
//!
//! # Why this never deadlocks
//!
//! Say that `n(t) = (D - d) * w` is the *need* of an admitted task `t`. Admitting `t` leaves at least
//! `n(t)` places free, and a child of `t` (depth `d + 1`, same component) is admitted while
//! `(D - d) * w = n(t)` are.
//!
//! Suppose that every admitted task waits for tasks that wait for a place. Only parents have handles
//! of tasks, so each admitted task waits for children of its own that are queued. Let `t` be an
//! admitted task of the least need. `n(t) > 0`, because tasks of depth `D` have no children. Consider
//! the last admission, of any task `s`, with `n(s) >= n(t)`; there is one, that of `t` itself if no
//! other. It left `n(s) >= n(t)` places free. Every admission after it was of a task of less need, and
//! none of those is admitted any more, for `t` has the least need. So all places taken since were given
//! back, and at least `n(t)` are free. The same argument, about `t`'s run alone, holds for that run's
//! part. So a queued child of `t` may be admitted. The order finds one: it passes over runs that do not
//! fit, and within `t`'s run it looks at the deepest task, whose demand is no greater than that
//! child's. Hence somebody is admitted, which contradicts the supposition.
//!
//! A run's root needs `(D + 1) * w` places, so `D` is cut to what the pool has (see
//! [`depth_for`]); a component that takes more places than there are is refused when it is run.
//!
//! # Throttles
//!
//! Four more reasons hold a task back, but only so long as that stops nobody: where every admitted task
//! of the run is blocked by other tasks of it, the rule alone decides. All but the first give in to time, too: the
//! next two where the run has had nobody admitted for a second (guests can also wait in ways that we do not see).
//!
//! - Room for others. A sharer that holds twice as many places as are free gets no more of them, so a lone one
//!   is left with two thirds of the pool, a second one with two thirds of the rest, and so on: tasks that never
//!   end cannot keep the next sharer's root out, until there are more such sharers than the pool has powers of
//!   three. This one never gives in to time, else spinning tasks would have the whole pool by and by.
//! - Memory. The places of a pool can be worth more than a run's limit of memory. So a task waits while
//!   its component's initial memory, and a reserve of the same shape as above (at most a quarter of the
//!   limit), do not fit what is left of the run's memory. No guarantee, as guests grow at will.
//! - Turns. Deep tasks need fewer free places than roots, and could take each place that is given back
//!   before a root ever fits. So while somebody of a sharer that holds less than its share waits for more
//!   free places, sharers that hold more than theirs wait as well.
//! - Pressure. While the system is short of memory ([`pressure`](super::pressure)) and guests have places of this
//!   pool, all others wait, roots too, and one is admitted in a tenth of a second: the machine may be full of what
//!   others hold, and is to go on, slowly.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use super::guest::Guest;
use super::pressure::Pressure;
use super::shared::RunShared;
use super::start::Start;
use crate::clock::Expire;
use crate::runtime::Inner;
use crate::sync::lock;

/// How long a throttle may hold back a run of which nobody is admitted meanwhile. Guessed: longer than
/// most tasks, so that places come free in that time.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long nobody is admitted where memory is short. Guessed: in that time a task can touch what it needs, and be seen
/// to do so.
const PRESSED: Duration = Duration::from_millis(100);

/// Asks for more places than are ready. Called under no lock, and not again before [`Admission::grown`] or
/// [`Admission::refuse`] was.
pub(super) type More = Box<dyn Fn() + Send + Sync>;

/// The queue in front of the pool.
pub(super) struct Admission {
    places: u64,
    more: More,
    state: Mutex<State>,
    runtime: Arc<Inner>,
    pressure: Arc<Pressure>,
    /// For timers.
    this: Weak<Admission>,
}

struct State {
    places: u64,
    free: u64,
    /// Places that may be filled now: all, unless the pool is to [grow](super::pools).
    ready: u64,
    /// Somebody waits for more to be ready, and makes them so.
    growing: bool,
    /// When that last failed.
    failed: Option<Instant>,
    /// Sharers that hold places.
    holders: u64,
    /// When somebody was last admitted while memory was short.
    pressed: Option<Instant>,
    /// A timer will look again at those who were held back.
    timer: bool,
    closed: bool,
    /// Somebody is admitting; whoever comes meanwhile leaves it to them. Starting a task can end it,
    /// which frees a place, which would admit the next one from within, without bound.
    pumping: bool,
    again: bool,
    sequence: u64,
    waiting: u64,
    /// By run; in order, so that a close is the same every time.
    queues: BTreeMap<u64, Queue>,
    /// Those that hold places or wait for some.
    sharers: BTreeMap<Sharer, Share>,
    /// Sharers that have somebody waiting, in turn.
    ring: VecDeque<Sharer>,
}

/// What takes one turn at the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sharer {
    Tenant(u64),
    /// A run without a tenant.
    Run(u64),
}

#[derive(Default)]
struct Share {
    /// Places that it holds.
    held: u64,
    /// Its runs that have somebody waiting, in turn.
    ring: VecDeque<u64>,
}

#[derive(Default)]
struct Queue {
    tasks: BTreeMap<(Reverse<u32>, u64), Waiting>,
    /// When the run last had somebody admitted, or began to wait.
    since: Option<Instant>,
    /// Where in `tasks` a guest is.
    keys: HashMap<u64, (Reverse<u32>, u64)>,
}

struct Waiting {
    guest: Arc<Guest>,
    start: Start,
}

/// The depth that spawns may have in a pool of `places`, for a component that takes `slots` of them
/// and can spawn or not; `None` if not even its root fits.
pub(super) fn depth_for(places: u64, slots: u64, spawns: bool, limit: u32) -> Option<u32> {
    let fits = places / slots;
    let deepest = u32::try_from(fits.checked_sub(1)?).unwrap_or(u32::MAX);
    Some(if spawns { limit.min(deepest) } else { 0 })
}

impl Admission {
    /// Of `places`, `ready` are to be filled before there were `more`.
    pub(super) fn new(
        places: u64,
        ready: u64,
        more: More,
        runtime: Arc<Inner>,
        pressure: Arc<Pressure>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            places,
            more,
            state: Mutex::new(State {
                places,
                free: places,
                ready,
                growing: false,
                failed: None,
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
            }),
            runtime,
            pressure,
            this: this.clone(),
        })
    }

    pub(super) fn places(&self) -> u64 {
        self.places
    }

    /// Places that may be filled now.
    pub(super) fn ready(&self) -> u64 {
        lock(&self.state).ready
    }

    /// All places are ready.
    pub(super) fn grown(&self) {
        {
            let mut state = lock(&self.state);
            state.growing = false;
            if state.ready == self.places {
                return;
            }
            state.ready = self.places;
        }
        self.pump();
    }

    /// No more places can be made ready now: takes out those who wait for nothing else. Who comes later may ask again,
    /// after a while.
    pub(super) fn refuse(&self) -> Vec<Arc<Guest>> {
        let mut state = lock(&self.state);
        state.growing = false;
        state.failed = Some(self.runtime.clock.now());
        let refused = state.take_unready();
        drop(state);
        without_starts(refused)
    }

    /// Has more places made ready, if there can be more: one that is ready has turned out not to be free.
    pub(super) fn ask(&self) {
        let mut state = lock(&self.state);
        let asks = state.may_grow(self.runtime.clock.now());
        state.growing |= asks;
        drop(state);
        if asks {
            (self.more)();
        }
    }

    /// Places that guests hold.
    pub(super) fn in_use(&self) -> u64 {
        self.places - lock(&self.state).free
    }

    /// Spawns that wait.
    pub(super) fn waiting(&self) -> u64 {
        lock(&self.state).waiting
    }

    /// Spawns of one run that wait.
    pub(super) fn waiting_of(&self, run: u64) -> u64 {
        lock(&self.state)
            .queues
            .get(&run)
            .map_or(0, |queue| queue.tasks.len() as u64)
    }

    /// Whether a run has as many spawns waiting as it may have, and one more of this depth would have to wait too.
    pub(super) fn is_full(&self, run: &RunShared, depth: u32, most: u64) -> bool {
        let state = lock(&self.state);
        let queue = state.queues.get(&run.id);
        let waiting = queue.map_or(0, |queue| queue.tasks.len() as u64);
        waiting >= most && (waiting > 0 || !state.has_room(run, depth))
    }

    /// Queues a guest and admits whoever may go; `false` if the host is closed.
    #[must_use]
    pub(super) fn submit(&self, guest: Arc<Guest>, start: Start) -> bool {
        {
            let mut state = lock(&self.state);
            if state.closed {
                return false;
            }
            state.push(Waiting { guest, start }, self.runtime.clock.now());
        }
        self.pump();
        true
    }

    /// Takes guests out of the queue, because they were killed; returns those that were in it.
    pub(super) fn withdraw(&self, guests: &[Arc<Guest>]) -> Vec<Arc<Guest>> {
        let mut state = lock(&self.state);
        if state.waiting == 0 {
            return Vec::new();
        }
        let withdrawn: Vec<Waiting> = guests
            .iter()
            .filter_map(|guest| state.remove(guest))
            .collect();
        drop(state);
        without_starts(withdrawn)
    }

    /// Gives back the places of a guest that has ended. To be followed by [`pump`](Self::pump).
    pub(super) fn release(&self, guest: &Guest) {
        let places = guest.places.swap(0, COUNT);
        if places > 0 {
            let mut state = lock(&self.state);
            guest.run.admitted.fetch_sub(1, COUNT);
            state.give_back(guest.run.sharer(), places);
        }
    }

    /// A guest of `run` waits for another task.
    pub(super) fn blocked(&self, run: &RunShared) {
        if run.blocked() && self.waiting_of(run.id) > 0 {
            self.pump();
        }
    }

    /// Refuses everybody from now on; returns those that waited.
    pub(super) fn close(&self) -> Vec<Arc<Guest>> {
        let mut state = lock(&self.state);
        state.closed = true;
        let waiting = state.take_all();
        drop(state);
        without_starts(waiting)
    }

    /// Admits whoever may go.
    pub(super) fn pump(&self) {
        let mut state = lock(&self.state);
        if state.pumping {
            state.again = true;
            return;
        }
        if state.waiting == 0 {
            return;
        }
        state.pumping = true;
        loop {
            state.again = false;
            let now = self.runtime.clock.now();
            // A guest that has the pool to itself does not wait for a look, nor for what it would say.
            if state.free < self.places && self.pressure.is_due(now) {
                drop(state);
                self.pressure.look(now);
                state = lock(&self.state);
            }
            let short = self.pressure.is_short();
            let (admitted, held_back) = state.admit(now, short);
            let set_timer = held_back && !state.timer;
            state.timer |= held_back;
            let grow = state.may_grow(now) && state.wants_more(short);
            state.growing |= grow;
            drop(state);
            if grow {
                (self.more)();
            }
            if set_timer {
                let this: Weak<dyn Expire> = self.this.clone();
                let patience = if short { PRESSED } else { PATIENCE };
                self.runtime.clock.at(now + patience, this);
            }
            for Waiting { guest, start } in admitted {
                super::start::spawn(guest, start);
            }
            state = lock(&self.state);
            if !state.again {
                state.pumping = false;
                return;
            }
        }
    }
}

/// The guests. What they were to do may be the embedder's code: it is dropped here, under no lock.
fn without_starts(waiting: impl IntoIterator<Item = Waiting>) -> Vec<Arc<Guest>> {
    waiting.into_iter().map(|waiting| waiting.guest).collect()
}

impl Expire for Admission {
    fn expire(self: Arc<Self>) {
        lock(&self.state).timer = false;
        self.pump();
    }
}

// === impl State ===

/// Why others than those who have a place already had better wait.
#[derive(Clone, Copy)]
struct Reasons {
    /// Somebody of a run that holds less than its share waits for more free places.
    starving: bool,
    /// The system is short of memory.
    short: bool,
}

/// Whether a run's first candidate may go.
enum Verdict {
    Go,
    /// There are too few free places, or they are kept for others.
    NoRoom,
    /// A throttle holds it back that gives in to time.
    Held,
}

impl State {
    fn push(&mut self, waiting: Waiting, now: Instant) {
        let (run, sharer) = (waiting.guest.run.id, waiting.guest.run.sharer());
        let key = (Reverse(waiting.guest.depth), self.sequence);
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
        queue.keys.insert(waiting.guest.id, key);
        queue.tasks.insert(key, waiting);
    }

    /// Takes out those who wait for nothing but that more places are ready.
    fn take_unready(&mut self) -> Vec<Waiting> {
        if self.ready == self.places {
            return Vec::new();
        }
        let waiting = self.queues.values().flat_map(|queue| queue.tasks.values());
        let unready: Vec<Arc<Guest>> = waiting
            .map(|waiting| waiting.guest.clone())
            .filter(|guest| self.has_room(&guest.run, guest.depth) && !self.is_ready(&guest.run))
            .collect();
        unready
            .iter()
            .filter_map(|guest| self.remove(guest))
            .collect()
    }

    /// Takes out everybody who waits.
    fn take_all(&mut self) -> impl Iterator<Item = Waiting> + use<> {
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

    fn remove(&mut self, guest: &Guest) -> Option<Waiting> {
        let queue = self.queues.get_mut(&guest.run.id)?;
        let key = queue.keys.remove(&guest.id)?;
        let waiting = queue.tasks.remove(&key)?;
        self.waiting -= 1;
        if queue.tasks.is_empty() {
            self.queues.remove(&guest.run.id);
            let sharer = guest.run.sharer();
            if let Some(share) = self.sharers.get_mut(&sharer) {
                share.ring.retain(|run| *run != guest.run.id);
                if share.ring.is_empty() {
                    self.ring.retain(|other| *other != sharer);
                }
            }
            self.forget_if_gone(sharer);
        }
        Some(waiting)
    }

    fn give_back(&mut self, sharer: Sharer, places: u64) {
        self.free += places;
        if let Some(share) = self.sharers.get_mut(&sharer) {
            share.held -= places;
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

    /// How many places it holds.
    fn held(&self, sharer: Sharer) -> u64 {
        self.sharers.get(&sharer).map_or(0, |share| share.held)
    }

    /// Takes everybody who may go, in turn; says whether a throttle held somebody back.
    fn admit(&mut self, now: Instant, short: bool) -> (Vec<Waiting>, bool) {
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

    fn judge(&self, queue: &Queue, now: Instant, reasons: Reasons) -> Verdict {
        let Some((_, first)) = queue.tasks.first_key_value() else {
            return Verdict::NoRoom;
        };
        let (run, depth) = (&first.guest.run, first.guest.depth);
        if !self.has_room(run, depth) {
            return Verdict::NoRoom;
        }
        if !self.is_ready(run) {
            // Somebody has to ask again, once that is allowed.
            return if self.failed.is_some() || reasons.short {
                Verdict::Held
            } else {
                Verdict::NoRoom
            };
        }
        let long_ago = |since: Option<Instant>, patience| {
            since.is_none_or(|since| now.saturating_duration_since(since) >= patience)
        };
        let throttled = !run.has_memory_for(depth) || (reasons.starving && self.has_its_share(run));
        if throttled && !long_ago(queue.since, PATIENCE) && !run.all_are_blocked() {
            return Verdict::Held;
        }
        let somebody_has_a_place = self.free < self.places;
        if reasons.short
            && somebody_has_a_place
            && !long_ago(self.pressed, PRESSED)
            && !run.stands_still()
        {
            return Verdict::Held;
        }
        Verdict::Go
    }

    /// Whether there are places for a task of this depth, and kept for nobody else.
    fn has_room(&self, run: &RunShared, depth: u32) -> bool {
        let demand = run.demand(depth);
        self.free >= demand
            && run.part(self.places).saturating_sub(run.held()) >= demand
            && (self.held(run.sharer()) < 2 * self.free || run.stands_still())
    }

    /// Whether as many places as a task of this run takes may be filled.
    fn is_ready(&self, run: &RunShared) -> bool {
        self.places - self.free + run.component.slots() <= self.ready
    }

    /// Whether more places can be made ready, and nobody does that.
    fn may_grow(&self, now: Instant) -> bool {
        let lately = |failed| now.saturating_duration_since(failed) < PATIENCE;
        self.ready < self.places && !self.growing && !self.failed.is_some_and(lately)
    }

    /// Whether somebody waits for nothing but that more places are ready. Where memory is `short`, that is for those who
    /// cannot go on without.
    fn wants_more(&self, short: bool) -> bool {
        self.queues.values().any(|queue| {
            queue.tasks.first_key_value().is_some_and(|(_, first)| {
                let run = &first.guest.run;
                self.has_room(run, first.guest.depth)
                    && !self.is_ready(run)
                    && (!short || run.stands_still())
            })
        })
    }

    /// Whether somebody of a run that holds less than its share waits for more free places.
    fn somebody_starves(&self) -> bool {
        self.ring.len() + usize::try_from(self.holders).unwrap_or(usize::MAX) > 1
            && self.queues.values().any(|queue| {
                queue.tasks.first_key_value().is_some_and(|(_, first)| {
                    let run = &first.guest.run;
                    self.free < run.demand(first.guest.depth) && !self.has_its_share(run)
                })
            })
    }

    fn has_its_share(&self, run: &RunShared) -> bool {
        let held = self.held(run.sharer());
        // One that holds nothing yet counts among those who share.
        let sharers = self.holders + u64::from(held == 0);
        held * sharers.max(2) >= self.places
    }

    /// Gives the run's first candidate its places and its memory.
    fn take_first(&mut self, run: u64, now: Instant) -> Option<Waiting> {
        let queue = self.queues.get_mut(&run)?;
        let (_, waiting) = queue.tasks.pop_first()?;
        queue.keys.remove(&waiting.guest.id);
        queue.since = Some(now);
        let is_last = queue.tasks.is_empty();
        if is_last {
            self.queues.remove(&run);
        }
        self.waiting -= 1;
        let guest = &waiting.guest;
        let places = guest.run.component.slots();
        guest.places.store(places, COUNT);
        guest.run.admitted.fetch_add(1, COUNT);
        self.free -= places;
        let share = self.sharers.entry(guest.run.sharer()).or_default();
        if share.held == 0 {
            self.holders += 1;
        }
        share.held += places;
        if is_last {
            // Its turn has just come, so it stands last.
            share.ring.retain(|other| *other != run);
        }
        // Where even this much is not left, the instantiation says so, with the limit's name.
        let _ = guest.control.reserve(guest.run.component.initial_memory());
        let _ = guest.control.hold(INSTANCE_BYTES);
        Some(waiting)
    }
}

/// What is counted as memory for an instance beside its linear memories and tables: the touched pages of its
/// stack, wasmtime's bookkeeping. A guest that is parked in a host call holds some 47 KiB in all.
const INSTANCE_BYTES: u64 = 48 << 10;

/// What a run counts about its admitted tasks. All of it is written under the queue's lock or is a
/// hint, so `Relaxed` is enough.
pub(super) const COUNT: Ordering = Ordering::Relaxed;
