//! Who gets a thread, and when.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::task::Waker;

use super::thread::Thread;

/// Of all threads, the part that one run may have at a time.
const OF_A_RUN: usize = 4;
/// And one tenant, so that another one finds some whatever it runs.
const OF_A_TENANT: usize = 2;

/// For whom a thread is.
#[derive(Clone, Copy)]
pub(super) struct Borrower {
    pub(super) run: u64,
    pub(super) tenant: Option<u64>,
}

/// A place in the queue; they are numbered as they come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// What whoever asked for a thread has.
pub(super) enum Slot {
    /// With the waker from before, which is foreign code: not to be dropped under the lock.
    Waits(Ticket, Option<Waker>),
    Lent(Thread),
    /// A thread that is yet to be made.
    New,
}

pub(super) enum Waiting {
    Waits(Waker),
    /// It is there to be taken, and counts already.
    Lent(Thread),
}

#[derive(Default)]
struct Run {
    /// Threads that it has.
    has: usize,
    /// First come, first served.
    queue: BTreeMap<Ticket, Waiting>,
    /// How many of them have nothing yet.
    waits: usize,
}

/// Threads, and those that wait for one.
pub(super) struct Queue {
    most: usize,
    made: usize,
    /// The last one used is the next one: it is the most likely to be awake.
    idle: Vec<Thread>,
    /// Those that have a thread or wait for one.
    runs: HashMap<u64, Run>,
    /// Threads that the runs of a tenant have.
    tenants: HashMap<u64, usize>,
    /// Runs of which somebody waits, in turn.
    turns: VecDeque<Borrower>,
    next: u64,
}

impl Queue {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            made: 0,
            idle: Vec::new(),
            runs: HashMap::new(),
            tenants: HashMap::new(),
            turns: VecDeque::new(),
            next: 0,
        }
    }

    /// Whether it has less than its part, and its tenant less than theirs.
    fn may_have(&self, borrower: Borrower) -> bool {
        let part = |of: usize| (self.most / of).max(1);
        let run = self.runs.get(&borrower.run).map_or(0, |run| run.has);
        let of_tenant = |tenant| self.tenants.get(&tenant).copied().unwrap_or(0);
        let tenant = borrower.tenant.map_or(0, of_tenant);
        run < part(OF_A_RUN) && tenant < part(OF_A_TENANT)
    }

    fn takes(&mut self, borrower: Borrower) {
        self.runs.entry(borrower.run).or_default().has += 1;
        if let Some(tenant) = borrower.tenant {
            *self.tenants.entry(tenant).or_default() += 1;
        }
    }

    fn gives(&mut self, borrower: Borrower) {
        if let Some(run) = self.runs.get_mut(&borrower.run) {
            run.has -= 1;
        }
        if let Some(tenant) = borrower.tenant
            && let Some(has) = self.tenants.get_mut(&tenant)
        {
            *has -= 1;
            if *has == 0 {
                self.tenants.remove(&tenant);
            }
        }
        self.forget(borrower);
    }

    /// The thread that it was to have cannot be made.
    pub(super) fn not_made(&mut self, borrower: Borrower) {
        self.made -= 1;
        self.gives(borrower);
    }

    /// Asks for a thread: one that is free now, or a place in the queue.
    pub(super) fn ask(&mut self, borrower: Borrower, waker: &Waker) -> Slot {
        // Whoever waits while a thread is free has all that it may have.
        if self.may_have(borrower) {
            if let Some(thread) = self.idle.pop() {
                self.takes(borrower);
                return Slot::Lent(thread);
            }
            if self.made < self.most {
                self.made += 1;
                self.takes(borrower);
                return Slot::New;
            }
        }
        let ticket = Ticket(self.next);
        self.next += 1;
        let run = self.runs.entry(borrower.run).or_default();
        run.queue.insert(ticket, Waiting::Waits(waker.clone()));
        run.waits += 1;
        if run.waits == 1 {
            self.turns.push_back(borrower);
        }
        Slot::Waits(ticket, None)
    }

    /// Takes the thread that it was lent meanwhile, or waits on.
    pub(super) fn look(&mut self, borrower: Borrower, ticket: Ticket, waker: &Waker) -> Slot {
        let run = self.runs.entry(borrower.run).or_default();
        match run.queue.remove(&ticket) {
            Some(Waiting::Lent(thread)) => Slot::Lent(thread),
            Some(Waiting::Waits(old)) => {
                run.queue.insert(ticket, Waiting::Waits(waker.clone()));
                Slot::Waits(ticket, Some(old))
            }
            // Nobody else takes it out.
            None => Slot::Waits(ticket, None),
        }
    }

    /// Gives up a place in the queue; returns what was there.
    pub(super) fn leave(&mut self, borrower: Borrower, ticket: Ticket) -> Option<Waiting> {
        let run = self.runs.get_mut(&borrower.run)?;
        let left = run.queue.remove(&ticket)?;
        if matches!(left, Waiting::Waits(_)) {
            run.waits -= 1;
            if run.waits == 0 {
                self.turns.retain(|other| other.run != borrower.run);
            }
            self.forget(borrower);
        }
        Some(left)
    }

    /// A thread comes back from `from`; returns the waker of whoever has it now.
    pub(super) fn come_back(&mut self, thread: Thread, from: Borrower) -> Option<Waker> {
        self.gives(from);
        let next = (0..self.turns.len()).find(|at| self.may_have(self.turns[*at]));
        let Some(borrower) = next.and_then(|at| self.turns.remove(at)) else {
            self.idle.push(thread);
            return None;
        };
        self.takes(borrower);
        let run = self.runs.entry(borrower.run).or_default();
        let mut thread = Some(thread);
        let waker = run.queue.values_mut().find_map(|waiting| match waiting {
            Waiting::Lent(_) => None,
            Waiting::Waits(_) => {
                let lent = Waiting::Lent(thread.take()?);
                match std::mem::replace(waiting, lent) {
                    Waiting::Waits(waker) => Some(waker),
                    Waiting::Lent(_) => None,
                }
            }
        });
        run.waits -= 1;
        if run.waits > 0 {
            self.turns.push_back(borrower);
        }
        waker
    }

    fn forget(&mut self, borrower: Borrower) {
        let idle = |run: &Run| run.has == 0 && run.queue.is_empty();
        if self.runs.get(&borrower.run).is_some_and(idle) {
            self.runs.remove(&borrower.run);
        }
    }
}

#[cfg(test)]
impl Queue {
    /// Nobody waits, and nobody has anything.
    pub(super) fn is_quiet(&self) -> bool {
        self.runs.is_empty() && self.tenants.is_empty() && self.turns.is_empty()
    }
}
