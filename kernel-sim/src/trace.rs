//! What happened: every event goes into a hash, the last ones are kept, and all of them if asked for.

use std::{collections::VecDeque, fmt};

/// The number of a task: the first spawned is 0.
pub type TaskNumber = u32;

/// Events that a failure shows.
const KEPT: usize = 40;

/// What happened on a hart, or outside of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are named for what they are")]
pub enum Event {
    /// A poll began.
    Poll { task: TaskNumber },
    /// A poll ended; whether the task completed.
    Polled { task: TaskNumber, ready: bool },
    /// A task was spawned.
    Spawned { task: TaskNumber },
    /// A task was woken.
    Woken { task: TaskNumber },
    /// A task's future was dropped.
    Ended { task: TaskNumber },
    /// A preemption point asked a task to make way. A guest that yields by itself after a whole slice in
    /// the same poll looks like this too.
    Preempted { task: TaskNumber },
    /// A cancel was asked for.
    Cancelled { task: TaskNumber },
    /// Tasks were moved to the hart's queue.
    Stole { tasks: u32 },
    /// It announced that it sleeps.
    Announced,
    /// It took that back.
    Retracted,
    /// It waits for an interrupt.
    Parked,
    /// It goes on after that.
    Resumed,
    /// It sent an interrupt.
    Sent { to: u32 },
    /// An interrupt arrived.
    Interrupt,
    /// A timer's interrupt arrived.
    Timer,
    /// The hart runs a new worker.
    Online { worker: u32 },
    /// Its worker was dropped.
    Offline,
    /// The executor was closed.
    Closed,
    /// Fault: it stands still for so long.
    Stall { nanoseconds: u64 },
    /// Fault: its wait ends for no reason.
    Spurious,
    /// Fault: the clock jumped ahead by so much.
    Jump { nanoseconds: u64 },
    /// Fault: an interrupt will be late by so much.
    Late { nanoseconds: u64 },
    /// Fault: an allocation failed.
    NoMemory,
    /// Fault: a run was cancelled.
    CancelledRun,
    /// Fault: a guest traps at a preemption point.
    Trapped { task: TaskNumber },
}

/// One line of the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Virtual nanoseconds since the machine started.
    pub at: u64,
    /// The hart on which it happened; `None` is the world outside.
    pub hart: Option<u32>,
    /// What happened.
    pub event: Event,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hart {
            Some(hart) => write!(f, "{:>12} ns  hart {hart:<4} {:?}", self.at, self.event),
            None => write!(f, "{:>12} ns  outside   {:?}", self.at, self.event),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Event {
    /// Two words that tell it from all others.
    fn words(self) -> (u64, u64) {
        match self {
            Self::Poll { task } => (1, task.into()),
            Self::Polled { task, ready } => (2 + u64::from(ready), task.into()),
            Self::Spawned { task } => (4, task.into()),
            Self::Woken { task } => (5, task.into()),
            Self::Ended { task } => (6, task.into()),
            Self::Preempted { task } => (7, task.into()),
            Self::Cancelled { task } => (8, task.into()),
            Self::Stole { tasks } => (9, tasks.into()),
            Self::Announced => (10, 0),
            Self::Retracted => (11, 0),
            Self::Parked => (12, 0),
            Self::Resumed => (13, 0),
            Self::Sent { to } => (14, to.into()),
            Self::Interrupt => (15, 0),
            Self::Timer => (16, 0),
            Self::Online { worker } => (17, worker.into()),
            Self::Offline => (18, 0),
            Self::Closed => (19, 0),
            Self::Stall { nanoseconds } => (20, nanoseconds),
            Self::Spurious => (21, 0),
            Self::Jump { nanoseconds } => (22, nanoseconds),
            Self::Late { nanoseconds } => (23, nanoseconds),
            Self::NoMemory => (24, 0),
            Self::CancelledRun => (25, 0),
            Self::Trapped { task } => (26, task.into()),
        }
    }
}

pub(crate) struct Trace {
    hash: u64,
    last: VecDeque<Record>,
    all: Option<Vec<Record>>,
}

impl Trace {
    pub(crate) fn new(keep_all: bool) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            last: VecDeque::with_capacity(KEPT),
            all: keep_all.then(Vec::new),
        }
    }

    pub(crate) fn record(&mut self, record: Record) {
        let (kind, value) = record.event.words();
        let hart = record.hart.map_or(0, |hart| u64::from(hart) + 1);
        for word in [record.at, kind | hart << 8, value] {
            // FNV-1a by words, with a rotation so that high bits count.
            self.hash = (self.hash ^ word)
                .wrapping_mul(0x0000_0100_0000_01b3)
                .rotate_left(23);
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(record);
        if let Some(all) = &mut self.all {
            all.push(record);
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn last(&self) -> Vec<Record> {
        self.last.iter().copied().collect()
    }

    pub(crate) fn take_all(&mut self) -> Vec<Record> {
        self.all.take().unwrap_or_default()
    }
}
