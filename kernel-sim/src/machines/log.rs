//! What happened, in order: all of it goes into a hash, the last of it is kept, and everything if asked for.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::wire::{JobNumber, Message, Node};

/// Records that a failure shows.
const KEPT: usize = 40;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are named for what they are")]
pub enum Event {
    /// A message arrives.
    Arrives {
        from: Node,
        to: Node,
        message: Message,
    },
    /// A message is lost on its way.
    Lost {
        from: Node,
        to: Node,
        message: Message,
    },
    /// A run begins.
    Runs {
        machine: usize,
        job: JobNumber,
        run: u32,
    },
    /// A run ends: by itself, or as it is told to.
    Ran {
        machine: usize,
        job: JobNumber,
        run: u32,
        completed: bool,
    },
    /// A machine loses all that it knows, or its worker ends.
    Down { machine: usize },
    /// A machine's worker starts.
    Up { machine: usize },
    /// A machine stands still for so many nanoseconds.
    Pauses { machine: usize, nanoseconds: u64 },
    /// A machine is cut off for so many nanoseconds.
    CutOff { machine: usize, nanoseconds: u64 },
    /// A machine's connection is another one.
    Reconnected { machine: usize },
    /// A machine's worker takes no more jobs.
    Stops { machine: usize },
    /// The stream's server starts again.
    Restarts,
    /// From now on nothing goes wrong.
    Quiet,
}

/// One line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Record {
    /// Virtual nanoseconds since the start.
    pub at: u64,
    /// What happened.
    pub event: Event,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at / 1_000_000_000;
        let rest = self.at % 1_000_000_000;
        write!(f, "{seconds:>4}.{rest:09} s  {:?}", self.event)
    }
}

pub(crate) struct Log {
    hasher: DefaultHasher,
    last: VecDeque<Record>,
    all: Option<Vec<Record>>,
}

impl Log {
    pub(crate) fn new(keeps_all: bool) -> Self {
        Self {
            hasher: DefaultHasher::new(),
            last: VecDeque::with_capacity(KEPT),
            all: keeps_all.then(Vec::new),
        }
    }

    pub(crate) fn record(&mut self, record: Record) {
        record.hash(&mut self.hasher);
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(record);
        if let Some(all) = &mut self.all {
            all.push(record);
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    pub(crate) fn last(&self) -> Vec<Record> {
        self.last.iter().copied().collect()
    }

    pub(crate) fn take_all(&mut self) -> Vec<Record> {
        self.all.take().unwrap_or_default()
    }
}
