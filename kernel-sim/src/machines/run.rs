//! Brings stream, client and machines through time, to their end.

use fastrand::Rng;
use hart_host::work::JobStatus;

use super::client::Client;
use super::fault::Fault;
use super::ledger::Ledger;
use super::log::{Event, Log, Record};
use super::plan::{MILLISECOND, Plan, SECOND, Terms};
use super::planted::Planted;
use super::promises::Failure;
use super::space::{Space, Trouble, Wake};
use super::stream::Stream;
use super::wire::{Message, Node};
use super::worker::Worker;
use crate::faults::Faults;
use crate::random::{log_uniform, stream};

/// From when on nothing goes wrong: long after the last job is submitted.
const QUIET: u64 = 60 * SECOND;

/// How long the end may take then.
const END: u64 = 3_600 * SECOND;

/// What is run.
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) machines: usize,
    pub(crate) slots: usize,
    pub(crate) faults: Faults<Fault>,
    pub(crate) terms: Terms,
    pub(crate) plans: Vec<Plan>,
    pub(crate) planted: Option<Planted>,
    pub(crate) keeps_log: bool,
}

/// How it went.
pub(crate) struct Ran {
    pub(crate) failure: Option<Failure>,
    pub(crate) log: Vec<Record>,
    pub(crate) hash: u64,
    pub(crate) events: u64,
    pub(crate) time: u64,
    pub(crate) runs: u64,
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
}

struct World {
    space: Space,
    stream: Stream,
    client: Client,
    machines: Vec<Worker>,
    events: u64,
}

pub(crate) fn run(setup: &Setup) -> Ran {
    let mut world = World::new(setup);
    while world.space.ledger.broken.is_none() && !world.is_over() {
        let Some(wake) = world.space.next() else {
            break;
        };
        if world.space.now > QUIET + END {
            let what = match world.stream.is_empty() {
                true => "the stream has no more jobs",
                false => "the stream has jobs",
            };
            world.space.ledger.stuck(what);
            break;
        }
        world.events += 1;
        world.wakes(wake);
    }
    world.space.ledger.closes();
    let (space, events) = (&mut world.space, world.events);
    let (last, at) = (space.log.last(), space.now);
    let failure = space.ledger.broken.take().map(|(oracle, seen)| Failure {
        oracle,
        seen,
        step: events,
        at,
        last,
    });
    let ended = |status| space.ledger.ended(status) as u64;
    Ran {
        failure,
        hash: space.log.hash(),
        events,
        time: space.now,
        runs: space.ledger.runs().into(),
        done: ended(JobStatus::Ok) + ended(JobStatus::Error),
        failed: ended(JobStatus::Failed),
        cancelled: ended(JobStatus::Cancelled),
        log: space.log.take_all(),
    }
}

impl World {
    fn new(setup: &Setup) -> Self {
        let ledger = Ledger::new(&setup.plans, setup.slots, setup.terms, setup.faults);
        let plans = (setup.terms, setup.plans.clone());
        let log = Log::new(setup.keeps_log);
        let (seed, machines) = (setup.seed, setup.machines);
        let mut space = Space::new(seed, machines, setup.faults, plans, ledger, log);
        space.planted = setup.planted;
        let client = Client::new(&mut space);
        let machines: Vec<_> = (0..machines)
            .map(|me| Worker::new(seed, me, setup.slots, &space))
            .collect();
        for machine in 0..machines.len() {
            space.after(0, Wake::Trouble(Trouble::Boot(machine)));
        }
        for fault in [
            Fault::Partition,
            Fault::Crash,
            Fault::Pause,
            Fault::Restart,
            Fault::Drain,
        ] {
            troubles(setup, fault, &mut space);
        }
        space.after(QUIET, Wake::Trouble(Trouble::Quiet));
        Self {
            stream: Stream::new(seed, machines.len()),
            space,
            client,
            machines,
            events: 0,
        }
    }

    /// Nothing is left to be done, and nothing on its way.
    fn is_over(&self) -> bool {
        self.client.is_done()
            && self.space.in_flight == 0
            && self.stream.is_empty()
            && self.machines.iter().all(Worker::is_idle)
            && self.space.ledger.is_settled()
    }

    fn wakes(&mut self, wake: Wake) {
        let space = &mut self.space;
        // Whatever reaches a machine that stands still waits.
        let (Wake::Arrives {
            to: Node::Machine(machine),
            ..
        }
        | Wake::Machine { machine, .. }) = wake
        else {
            return self.wakes_now(wake);
        };
        let paused_until = self.machines[machine].paused_until;
        if paused_until > space.now {
            space.after(paused_until - space.now, wake);
        } else {
            self.wakes_now(wake);
        }
    }

    fn wakes_now(&mut self, wake: Wake) {
        let space = &mut self.space;
        match wake {
            Wake::Arrives { from, to, message } => self.arrives(from, to, message),
            Wake::Machine {
                machine,
                boot,
                timer,
            } => {
                let worker = &mut self.machines[machine];
                if worker.is_boot(boot) {
                    worker.wakes(timer, space);
                    let is_up = worker.is_up();
                    self.stream.connects(machine, is_up);
                    if space.is_quiet {
                        space.ledger.look_for_leftovers(QUIET, space.now);
                    }
                }
            }
            Wake::Client(timer) => self.client.wakes(timer, space),
            Wake::Stream => self.stream.looks(space),
            Wake::Trouble(trouble) => self.troubles(trouble),
        }
    }

    fn arrives(&mut self, from: Node, to: Node, message: Message) {
        let space = &mut self.space;
        space.in_flight -= 1;
        let is_down = |machine: usize| !self.machines[machine].is_up();
        if space.is_cut(from, to) || matches!(to, Node::Machine(machine) if is_down(machine)) {
            return space.records(Event::Lost { from, to, message });
        }
        space.records(Event::Arrives { from, to, message });
        match to {
            Node::Stream => self.stream.receives(from, message, space),
            Node::Client => self.client.receives(message, space),
            Node::Machine(machine) => self.machines[machine].receives(message, space),
        }
    }

    fn troubles(&mut self, trouble: Trouble) {
        let space = &mut self.space;
        match trouble {
            Trouble::Crash(machine) => {
                self.machines[machine].crashes(space);
                self.stream.connects(machine, false);
            }
            Trouble::Boot(machine) => {
                self.machines[machine].starts(space);
                self.stream.connects(machine, true);
            }
            Trouble::Pause(machine, nanoseconds) => {
                space.records(Event::Pauses {
                    machine,
                    nanoseconds,
                });
                self.machines[machine].paused_until = space.now + nanoseconds;
            }
            Trouble::Cut(machine, nanoseconds) => {
                space.records(Event::CutOff {
                    machine,
                    nanoseconds,
                });
                space.cuts(machine, nanoseconds);
            }
            Trouble::Joined(machine, is_lost) => {
                if is_lost {
                    self.machines[machine].reconnects(space);
                }
            }
            Trouble::Drain(machine, grace) => self.machines[machine].stops(grace, space),
            Trouble::Restart => {
                space.records(Event::Restarts);
                self.stream.restarts();
                for machine in &mut self.machines {
                    machine.reconnects(space);
                }
            }
            Trouble::Quiet => {
                space.records(Event::Quiet);
                space.is_quiet = true;
                space.joins_all();
                for machine in &mut self.machines {
                    machine.paused_until = 0;
                }
            }
        }
    }
}

/// Draws when a fault of this kind happens, and to whom.
fn troubles(setup: &Setup, fault: Fault, space: &mut Space) {
    if !setup.faults.has(fault) {
        return;
    }
    let mut rng: Rng = stream(setup.seed, 30 + fault as u64);
    let interval = if setup.faults.are_light() { 40 } else { 8 } * SECOND;
    let lease = setup.terms.lease;
    let mut at = 0;
    loop {
        at += rng.u64(..2 * interval);
        if at >= QUIET {
            return;
        }
        let machine = rng.usize(..setup.machines);
        let long = log_uniform(&mut rng, 10 * MILLISECOND, 3 * lease);
        let is_lost = rng.bool();
        let trouble = match fault {
            Fault::Crash => Trouble::Crash(machine),
            Fault::Pause => Trouble::Pause(machine, long),
            Fault::Partition => Trouble::Cut(machine, long),
            Fault::Drain => Trouble::Drain(machine, long),
            _ => Trouble::Restart,
        };
        space.after(at, Wake::Trouble(trouble));
        if fault == Fault::Partition {
            let joined = Trouble::Joined(machine, is_lost);
            space.after(at + long, Wake::Trouble(joined));
        }
    }
}
