//! Everything that the machine knows. Under one lock, which is never held while a hart pauses.

use super::{
    info::{GroupInfo, TaskInfo},
    lane_lock::LaneLock,
};
use crate::{
    config::Config,
    cost,
    faults::{Fault, Faults},
    oracle::{Failure, Oracle},
    random::{log_uniform, one_in, stream},
    schedule::{CANDIDATES, Picker},
    stats::HartStats,
    switch,
    trace::{Event, Record, Trace},
};
use fastrand::Rng;
use hart_executor::{CurrentWorker, WorkerId};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    task::Waker,
    thread::ThreadId,
};

/// What a hart is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It has no worker.
    Offline,
    /// It goes on when its time has come.
    Ready,
    /// It runs.
    Running,
    /// It waits for an interrupt.
    Parked,
    /// Its worker has left for good.
    Done,
}

/// A hart's cell.
pub(crate) struct Cell(pub(crate) Option<CurrentWorker>);

// SAFETY: a cell is read and written on its own hart only (`State::hart_here`); the lock around it may be anybody's.
unsafe impl Send for Cell {}

pub(crate) struct Hart {
    pub(crate) core: Cell,
    pub(crate) worker: Option<WorkerId>,
    pub(crate) status: Status,
    /// When it goes on, and where it stands among those that go on then.
    ready: (u64, u32),
    /// An interrupt arrived that no wait has seen yet.
    pub(crate) token: bool,
    /// Interrupts on their way to it.
    pub(crate) interrupts: u32,
    /// What its code has cost since it last paused.
    pub(crate) pending: u64,
    /// The lane whose lock it had last, and until when.
    pub(crate) left_lane: (usize, u64),
    pub(crate) cpu: u64,
    /// CPU time that its present wait for `ready` adds.
    working: u64,
    /// In percent of a normal hart's time for the same work.
    pub(crate) slowness: u64,
    pub(crate) polling: Option<u32>,
    /// It stands behind a sent interrupt.
    pub(crate) at_send: bool,
    /// Ends of guests that are under way on it.
    pub(crate) shields: u32,
    /// The guest that it polls has come to a preemption point.
    pub(crate) at_point: bool,
    /// Counted in `State::awake`.
    awake: bool,
    pub(crate) wants_offline: bool,
    stall: u64,
    pub(crate) parked_at: u64,
    pub(crate) polls_in_round: u32,
    pub(crate) stats: HartStats,
}

/// Something that happens at a time.
pub(crate) enum Occurrence {
    Interrupt {
        hart: usize,
    },
    Timer {
        hart: Option<usize>,
        waker: Waker,
    },
    Online {
        hart: usize,
    },
    /// A fault; no reason to wait for it.
    Close,
    /// Something from outside every hart.
    Call(Box<dyn FnOnce() + Send>),
}

/// What comes next.
pub(crate) enum Next {
    Hart(usize),
    Occurrence(Occurrence),
    Fault(Fault),
    /// Nothing will ever happen again by itself.
    Quiet,
}

pub(crate) struct State {
    pub(crate) seed: u64,
    pub(crate) now: u64,
    /// The hart that runs, or that handles an interrupt.
    pub(crate) current: Option<usize>,
    /// The thread on which it does.
    thread: Option<ThreadId>,
    pub(crate) harts: Vec<Hart>,
    pub(crate) hart_of: Vec<Option<usize>>,
    /// Harts in a domain, and the locks of the domains' lanes.
    pub(crate) in_domain: usize,
    pub(crate) lanes: Vec<LaneLock>,
    ready: BTreeSet<(u64, u32, usize)>,
    occurrences: BTreeMap<(u64, u64), Occurrence>,
    sequence: u64,
    picker: Picker,
    pub(crate) rng: Rng,
    pub(crate) faults: Faults,
    next_fault: u64,
    pub(crate) trace: Trace,
    pub(crate) failure: Option<Failure>,
    pub(crate) steps: u64,
    pub(crate) pause_in_wakes: bool,
    /// Harts that wait for an interrupt, harts that are awake outside of polls, interrupts on their way.
    pub(crate) parked: usize,
    pub(crate) awake: usize,
    pub(crate) interrupts: usize,
    pub(crate) no_memory: u64,
    /// Time by which clocks and harts were disturbed: what fairness is forgiven.
    pub(crate) disturbed: u64,
    // What `tasks.rs` keeps.
    pub(crate) tasks: Vec<TaskInfo>,
    pub(crate) groups: Vec<GroupInfo>,
    /// Of guests.
    pub(crate) group_of_run: BTreeMap<u64, u32>,
    pub(crate) queued: usize,
    pub(crate) peak_queued: usize,
    pub(crate) live: usize,
    /// When a task last ended.
    pub(crate) last_end: u64,
    pub(crate) round: u64,
    /// Queued tasks without a group, the oldest first, with the round in which they were queued.
    pub(crate) oldest: VecDeque<(u32, u32, u64)>,
    pub(crate) closing: bool,
    pub(crate) closed: bool,
    pub(crate) calls: usize,
    pub(crate) preemptions: u64,
}

impl State {
    pub(crate) fn new(config: &Config) -> Self {
        let mut rng = stream(config.seed, 1);
        let faults = config.faults;
        let harts = (0..config.harts)
            .map(|_| Hart {
                core: Cell(None),
                worker: None,
                status: Status::Offline,
                ready: (0, 0),
                token: false,
                interrupts: 0,
                pending: 0,
                left_lane: (usize::MAX, 0),
                cpu: 0,
                working: 0,
                slowness: if faults.has(Fault::Slow) && rng.bool() {
                    rng.u64(100..=400)
                } else {
                    100
                },
                polling: None,
                at_send: false,
                shields: 0,
                at_point: false,
                awake: false,
                wants_offline: false,
                stall: 0,
                parked_at: 0,
                polls_in_round: 0,
                stats: HartStats::default(),
            })
            .collect();
        let close_at = (faults.has(Fault::Close) && one_in(&mut rng, 3))
            .then(|| log_uniform(&mut rng, 1_000, 3_000_000));
        let lanes = if config.one_lane {
            1
        } else {
            config.harts.div_ceil(config.in_domain.max(1))
        };
        let mut state = Self {
            seed: config.seed,
            now: 0,
            current: None,
            thread: None,
            harts,
            hart_of: Vec::new(),
            in_domain: config.in_domain.max(1),
            lanes: vec![LaneLock::default(); lanes],
            ready: BTreeSet::new(),
            occurrences: BTreeMap::new(),
            sequence: 0,
            picker: Picker::new(config.schedule, config.seed, config.harts),
            faults,
            next_fault: u64::MAX,
            trace: Trace::new(config.keep_trace),
            failure: None,
            steps: 0,
            pause_in_wakes: config.pause_in_wakes,
            parked: 0,
            awake: 0,
            interrupts: 0,
            no_memory: 0,
            disturbed: 0,
            tasks: Vec::new(),
            groups: Vec::new(),
            group_of_run: BTreeMap::new(),
            queued: 0,
            peak_queued: 0,
            live: 0,
            last_end: 0,
            round: 0,
            oldest: VecDeque::new(),
            closing: false,
            closed: false,
            calls: 0,
            preemptions: 0,
            rng,
        };
        for hart in 0..config.harts {
            let at = state.rng.u64(0..=cost::BOOT);
            state.make_ready(hart, at);
        }
        if let Some(at) = close_at {
            state.schedule(at, Occurrence::Close);
        }
        if state.outside_faults().next().is_some() {
            state.next_fault = state.draw_fault_time();
        }
        state
    }

    pub(crate) fn record(&mut self, hart: Option<usize>, event: Event) {
        self.trace.record(Record {
            at: self.now,
            hart: hart.and_then(|hart| u32::try_from(hart).ok()),
            event,
        });
    }

    pub(crate) fn fail(&mut self, oracle: Oracle, seen: impl FnOnce() -> String) {
        if self.failure.is_none() {
            self.failure = Some(Failure {
                oracle,
                seen: seen(),
                step: self.steps,
                at: self.now,
                last: self.trace.last(),
            });
        }
    }

    // === harts ===

    /// The hart goes on at `at`.
    pub(crate) fn make_ready(&mut self, hart: usize, at: u64) {
        let order = self.rng.u32(..);
        let this = &mut self.harts[hart];
        this.status = Status::Ready;
        this.ready = (at, order);
        this.awake = this.polling.is_none() || this.at_send;
        self.awake += usize::from(this.awake);
        self.ready.insert((at, order, hart));
    }

    /// The hart that runs is busy with what its code has cost.
    pub(crate) fn wait_until_done(&mut self, hart: usize) {
        let cost = std::mem::take(&mut self.harts[hart].pending);
        self.harts[hart].working = cost;
        self.make_ready(hart, self.now + cost);
    }

    /// Ends a wait for an interrupt.
    pub(crate) fn wake(&mut self, hart: usize) {
        if self.harts[hart].status == Status::Parked {
            self.parked -= 1;
            let idle = self.now - self.harts[hart].parked_at;
            self.harts[hart].stats.idle += idle;
            self.make_ready(hart, self.now + cost::WAKE);
        }
    }

    pub(crate) fn offline_for_a_while(&mut self, hart: usize) {
        self.harts[hart].pending = 0;
        self.harts[hart].status = Status::Offline;
        let rest = log_uniform(&mut self.rng, 10_000, 1_000_000);
        self.schedule(self.now + rest, Occurrence::Online { hart });
    }

    /// The hart's turn has come; `false` if it stands still instead.
    fn start(&mut self, hart: usize) -> bool {
        let (at, order) = self.harts[hart].ready;
        self.ready.remove(&(at, order, hart));
        let this = &mut self.harts[hart];
        self.awake -= usize::from(std::mem::take(&mut this.awake));
        let stall = std::mem::take(&mut this.stall);
        if stall > 0 {
            self.make_ready(hart, at.max(self.now) + stall);
            return false;
        }
        self.now = self.now.max(at);
        let this = &mut self.harts[hart];
        this.cpu += std::mem::take(&mut this.working);
        this.status = Status::Running;
        self.current = Some(hart);
        self.thread = switch::this_thread();
        true
    }

    /// The hart that the calling code runs on. Other threads run on none.
    pub(crate) fn hart_here(&self) -> Option<usize> {
        let here = switch::this_thread()?;
        self.current.filter(|_| self.thread == Some(here))
    }

    // === what comes next ===

    /// Notes that something happens at `at`; gives what `unschedule` wants.
    pub(crate) fn schedule(&mut self, at: u64, what: Occurrence) -> (u64, u64) {
        self.sequence += 1;
        if matches!(what, Occurrence::Call(_)) {
            self.calls += 1;
        }
        let key = (at, self.sequence);
        self.occurrences.insert(key, what);
        key
    }

    pub(crate) fn unschedule(&mut self, key: (u64, u64)) -> Option<Occurrence> {
        self.occurrences.remove(&key)
    }

    pub(crate) fn take_occurrences(&mut self) -> BTreeMap<(u64, u64), Occurrence> {
        self.next_fault = u64::MAX;
        self.calls = 0;
        std::mem::take(&mut self.occurrences)
    }

    /// Whether `at` has come: nothing else happens before it. If so, it is that late now.
    pub(crate) fn is_due(&mut self, at: u64) -> bool {
        let hart = self.ready.first().map(|&(at, ..)| at);
        let occurrence = self.occurrences.keys().next().map(|&(at, _)| at);
        let next = hart.into_iter().chain(occurrence).min();
        if next.is_some_and(|next| next < at) {
            return false;
        }
        self.now = self.now.max(at);
        true
    }

    pub(crate) fn next(&mut self) -> Next {
        loop {
            let hart = self.ready.first().map(|&(at, ..)| at);
            let occurrence = self.occurrences.keys().next().map(|&(at, _)| at);
            let Some(at) = hart.into_iter().chain(occurrence).min() else {
                return Next::Quiet;
            };
            if self.next_fault <= at {
                self.now = self.now.max(self.next_fault);
                self.next_fault = self.draw_fault_time();
                let kinds: Vec<_> = self.outside_faults().collect();
                return Next::Fault(kinds[self.rng.usize(..kinds.len())]);
            }
            if occurrence == Some(at)
                && let Some(((at, _), what)) = self.occurrences.pop_first()
            {
                self.now = self.now.max(at);
                if matches!(what, Occurrence::Call(_)) {
                    self.calls -= 1;
                }
                return Next::Occurrence(what);
            }
            let hart = self.choose(at, occurrence.unwrap_or(u64::MAX).min(self.next_fault));
            if self.start(hart) {
                return Next::Hart(hart);
            }
        }
    }

    /// Among the harts that are ready within the window after `first`, and before `limit`.
    fn choose(&mut self, first: u64, limit: u64) -> usize {
        let latest = first.saturating_add(self.picker.window()).min(limit);
        let mut candidates = [0; CANDIDATES];
        let mut count = 0;
        for &(at, _, hart) in &self.ready {
            if count == CANDIDATES || (at > latest && count > 0) {
                break;
            }
            candidates[count] = hart;
            count += 1;
        }
        candidates[self.picker.pick(&candidates[..count])]
    }

    // === faults ===

    /// Those that come at times of their own.
    fn outside_faults(&self) -> impl Iterator<Item = Fault> {
        let faults = self.faults;
        [
            Fault::Stall,
            Fault::Spurious,
            Fault::Offline,
            Fault::Cancel,
            Fault::Jump,
        ]
        .into_iter()
        .filter(move |kind| faults.has(*kind))
    }

    fn draw_fault_time(&mut self) -> u64 {
        self.now + 1 + self.rng.u64(0..2 * self.faults.interval())
    }

    /// Whether a fault of this kind, of those that come with an operation, happens now.
    pub(crate) fn draw(&mut self, kind: Fault) -> bool {
        self.faults.has(kind) && one_in(&mut self.rng, self.faults.rarity())
    }

    /// By how much an interrupt is late.
    pub(crate) fn draw_late(&mut self) -> Option<u64> {
        self.draw(Fault::Late)
            .then(|| log_uniform(&mut self.rng, 1_000, 300_000))
    }

    /// A fault that concerns harts or the clock.
    pub(crate) fn strike(&mut self, kind: Fault) {
        let hart = self.rng.usize(..self.harts.len());
        let status = self.harts[hart].status;
        match kind {
            Fault::Stall if status == Status::Ready => {
                let nanoseconds = log_uniform(&mut self.rng, 5_000, 1_000_000);
                self.harts[hart].stall = nanoseconds;
                self.disturbed += nanoseconds;
                self.record(Some(hart), Event::Stall { nanoseconds });
            }
            Fault::Spurious if status == Status::Parked => {
                self.record(Some(hart), Event::Spurious);
                self.wake(hart);
            }
            Fault::Offline if matches!(status, Status::Ready | Status::Parked) => {
                self.harts[hart].wants_offline = true;
                self.wake(hart);
            }
            Fault::Jump => {
                let nanoseconds = log_uniform(&mut self.rng, 1_000, 2_000_000);
                self.now += nanoseconds;
                self.disturbed += nanoseconds;
                self.record(None, Event::Jump { nanoseconds });
            }
            _ => {}
        }
    }
}
