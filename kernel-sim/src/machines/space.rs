//! What lies between the nodes: time, and a network that loses, repeats and delays.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::fault::Fault;
use super::ledger::Ledger;
use super::log::{Event, Log, Record};
use super::plan::{MILLISECOND, Plan, SECOND, Terms};
use super::planted::Planted;
use super::wire::{JobNumber, Message, Node, RequestNumber};
use crate::faults::Faults;
use crate::random::{log_uniform, one_in, stream};

/// What is to happen at some time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wake {
    Arrives {
        from: Node,
        to: Node,
        message: Message,
    },
    /// A timer of a machine, which counts for one of its starts only.
    Machine {
        machine: usize,
        boot: u64,
        timer: Timer,
    },
    Client(ClientTimer),
    /// Leases and requests run out.
    Stream,
    Trouble(Trouble),
}

/// A timer of a machine. Its jobs have numbers of their own: keys.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Timer {
    /// The worker looks at its connection.
    Look,
    /// It looks for jobs that are delivered no more.
    Overview,
    RunEnds {
        key: u64,
        run: u32,
        is_cancelled: bool,
    },
    Tick(u64),
    /// A request has no answer.
    Answer(RequestNumber),
    Waited(u64),
    Grace,
    Farewell,
}

/// A timer of the client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ClientTimer {
    Submit(JobNumber),
    Cancel(JobNumber),
    Answer(RequestNumber),
}

/// Something that goes wrong with a whole machine, or ends doing so.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    Crash(usize),
    Boot(usize),
    Pause(usize, u64),
    Cut(usize, u64),
    /// A cut is over; whether its connection was lost.
    Joined(usize, bool),
    Drain(usize, u64),
    Restart,
    Quiet,
}

/// Time, network and what all nodes know.
pub(crate) struct Space {
    pub(crate) now: u64,
    /// Nothing goes wrong any more.
    pub(crate) is_quiet: bool,
    pub(crate) terms: Terms,
    pub(crate) plans: Vec<Plan>,
    pub(crate) ledger: Ledger,
    pub(crate) log: Log,
    pub(crate) planted: Option<Planted>,
    faults: Faults<Fault>,
    rng: Rng,
    wakes: BTreeMap<(u64, u64), Wake>,
    numbers: u64,
    /// Until when each machine is cut off.
    cut: Vec<u64>,
    /// Messages that are on their way.
    pub(crate) in_flight: usize,
}

impl Space {
    pub(crate) fn new(
        seed: u64,
        machines: usize,
        faults: Faults<Fault>,
        (terms, plans): (Terms, Vec<Plan>),
        ledger: Ledger,
        log: Log,
    ) -> Self {
        Self {
            now: 0,
            is_quiet: false,
            terms,
            plans,
            ledger,
            log,
            planted: None,
            faults,
            rng: stream(seed, 21),
            wakes: BTreeMap::new(),
            numbers: 0,
            cut: vec![0; machines],
            in_flight: 0,
        }
    }

    /// A number that was not given before.
    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        !self.is_quiet && self.faults.has(fault)
    }

    /// One in how many things goes wrong that can.
    pub(crate) fn rarity(&self) -> u64 {
        self.faults.rarity()
    }

    pub(crate) fn records(&mut self, event: Event) {
        let at = self.now;
        self.log.record(Record { at, event });
    }

    /// Has something happen in so many nanoseconds.
    pub(crate) fn after(&mut self, nanoseconds: u64, wake: Wake) {
        let order = self.number();
        let at = self.now.saturating_add(nanoseconds);
        self.wakes.insert((at, order), wake);
    }

    /// Goes to the time of what happens next. Nodes have timers that never end.
    pub(crate) fn next(&mut self) -> Option<Wake> {
        let ((at, _), wake) = self.wakes.pop_first()?;
        self.now = at;
        Some(wake)
    }

    pub(crate) fn cuts(&mut self, machine: usize, nanoseconds: u64) {
        self.cut[machine] = self.now + nanoseconds;
    }

    pub(crate) fn joins_all(&mut self) {
        self.cut.fill(0);
    }

    /// Whether there is no way between two nodes now.
    pub(crate) fn is_cut(&self, from: Node, to: Node) -> bool {
        [from, to].into_iter().any(|node| match node {
            Node::Machine(machine) => self.cut[machine] > self.now,
            _ => false,
        })
    }

    pub(crate) fn send(&mut self, from: Node, to: Node, message: Message) {
        let rarity = self.rarity();
        let lost = self.has(Fault::Loss) && one_in(&mut self.rng, rarity);
        if lost || self.is_cut(from, to) {
            return self.records(Event::Lost { from, to, message });
        }
        let copies = match self.has(Fault::Duplicate) && one_in(&mut self.rng, rarity) {
            true => 2,
            false => 1,
        };
        for _ in 0..copies {
            let mut delay = self.rng.u64(MILLISECOND / 5..2 * MILLISECOND);
            if self.has(Fault::Delay) && one_in(&mut self.rng, rarity) {
                delay += log_uniform(&mut self.rng, 5 * MILLISECOND, 3 * SECOND);
            }
            self.in_flight += 1;
            self.after(delay, Wake::Arrives { from, to, message });
        }
    }
}
