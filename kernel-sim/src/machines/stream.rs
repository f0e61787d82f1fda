//! A model of NATS JetStream, as far as workers rely on it: a work queue with leases, and results that are the first of
//! their job.
//!
//! - A job is delivered at least once. Its lease runs out, and it is delivered again, before those that never were; each time
//!   counts. After so many deliveries the server says so, once, to one worker that is there, and delivers it no more. It
//!   waits for no answer then; that it does not is seen once it gets another one, or waits for none at all.
//! - What is said of a job is about its number in the stream, whichever delivery it was said for.
//! - A message with an id that the server remembers is not stored again. A result that is not the first of its job is
//!   refused.
//! - What is stored stays where the server starts again. Requests for jobs end, as their connections do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fastrand::Rng;
use hart_host::work::rules::{EXPIRY, RETURNS, SPARE};

use super::space::{Space, Wake};
use super::wire::{Found, JobNumber, Message, Node};
use crate::random::stream;

pub(crate) struct Stream {
    /// By their numbers.
    jobs: BTreeMap<u64, Kept>,
    /// The number of the last one.
    last: u64,
    /// The last one that was delivered for the first time.
    cursor: u64,
    /// Up to here no answer is waited for, as the server notes when it gets one.
    ack_floor: u64,
    /// Until when jobs are not delivered again.
    leases: BTreeMap<u64, u64>,
    /// Jobs to deliver again.
    again: VecDeque<u64>,
    requests: VecDeque<Waiting>,
    /// Jobs that were submitted. Their ids are remembered for longer than anything here takes.
    submitted: BTreeSet<JobNumber>,
    results: BTreeMap<JobNumber, Found>,
    /// Deliveries that came back, as their workers stopped.
    returns: BTreeSet<(u64, u64)>,
    /// When messages with these ids were stored: results, or dead letters.
    ids: BTreeMap<(Kind, JobNumber, u64), u64>,
    /// Machines with a connection.
    connected: Vec<bool>,
    rng: Rng,
}

struct Kept {
    job: JobNumber,
    delivered: u64,
    /// The server has said that it is delivered no more.
    is_used_up: bool,
}

/// A request for jobs.
struct Waiting {
    machine: usize,
    inbox: u64,
    left: usize,
    ends: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Result,
    Letter,
}

impl Stream {
    pub(crate) fn new(seed: u64, machines: usize) -> Self {
        Self {
            jobs: BTreeMap::new(),
            last: 0,
            cursor: 0,
            ack_floor: 0,
            leases: BTreeMap::new(),
            again: VecDeque::new(),
            requests: VecDeque::new(),
            submitted: BTreeSet::new(),
            results: BTreeMap::new(),
            returns: BTreeSet::new(),
            ids: BTreeMap::new(),
            connected: vec![true; machines],
            rng: stream(seed, 22),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// A machine's connection ends or begins.
    pub(crate) fn connects(&mut self, machine: usize, is_connected: bool) {
        self.connected[machine] = is_connected;
    }

    /// All connections end.
    pub(crate) fn restarts(&mut self) {
        self.requests.clear();
    }

    pub(crate) fn receives(&mut self, from: Node, message: Message, space: &mut Space) {
        match message {
            Message::Submit { job, request } => {
                if self.submitted.insert(job) {
                    self.last += 1;
                    let kept = Kept {
                        job,
                        delivered: 0,
                        is_used_up: false,
                    };
                    self.jobs.insert(self.last, kept);
                    space.ledger.submitted(job);
                }
                space.send(Node::Stream, from, Message::Told { request });
            }
            Message::Pull { inbox, batch } => {
                if let Node::Machine(machine) = from {
                    let expiry = nanoseconds(EXPIRY);
                    self.requests.push_back(Waiting {
                        machine,
                        inbox,
                        left: batch,
                        ends: space.now + expiry,
                    });
                    space.after(expiry, Wake::Stream);
                }
            }
            // The server looks whether somebody listens before it sends a job.
            Message::Leave { inbox } => self.requests.retain(|request| request.inbox != inbox),
            Message::Progress { sequence } => self.extends(sequence, space.terms.lease, space),
            Message::Nak { sequence, delay } => match delay {
                Some(delay) => self.extends(sequence, delay, space),
                None if self.leases.remove(&sequence).is_some() => self.again.push_back(sequence),
                None => {}
            },
            Message::Ack { sequence, request } | Message::Delete { sequence, request } => {
                if let Some(kept) = self.jobs.remove(&sequence) {
                    space.ledger.leaves(kept.job);
                }
                self.leases.remove(&sequence);
                self.again.retain(|again| *again != sequence);
                let pending = self.leases.keys().chain(&self.again).min();
                self.ack_floor = pending.map_or(self.cursor, |least| least - 1);
                space.send(Node::Stream, from, Message::Told { request });
            }
            Message::Look { job, request } => {
                let found = self.results.get(&job).copied();
                space.send(Node::Stream, from, Message::Looked { found, request });
            }
            Message::Store { request, .. } => {
                let is_there = self.stores(message, space);
                space.send(Node::Stream, from, Message::Stored { is_there, request });
            }
            Message::StoreDead {
                job,
                sequence,
                request,
            } => {
                let is_there = self.remembers((Kind::Letter, job, sequence), space);
                if !is_there {
                    space.ledger.letter_stored(job);
                }
                space.send(Node::Stream, from, Message::Stored { is_there, request });
            }
            Message::Return {
                sequence,
                delivered,
                request,
                ..
            } => {
                self.returns.insert((sequence, delivered));
                space.send(Node::Stream, from, Message::Told { request });
            }
            Message::Count {
                job,
                sequence,
                request,
            } => {
                let of_job = (sequence, 0)..(sequence + 1, 0);
                let returned = self.returns.range(of_job).count() as u64;
                space.ledger.counted(job, returned);
                space.send(Node::Stream, from, Message::Counted { returned, request });
            }
            Message::Find { job, request } => {
                let found = self.jobs.iter().find(|(_, kept)| kept.job == job);
                let sequence = found.map(|(sequence, _)| *sequence);
                space.send(Node::Stream, from, Message::FoundJob { sequence, request });
            }
            Message::Overview { request } => {
                let first = self.jobs.iter().next();
                let overview = Message::Overviewed {
                    delivered: self.cursor,
                    ack_floor: self.ack_floor,
                    pending: self.leases.len() + self.again.len(),
                    first: first.map(|(sequence, kept)| (*sequence, kept.job)),
                    request,
                };
                space.send(Node::Stream, from, overview);
            }
            Message::Cancel { job, request } => {
                for machine in 0..self.connected.len() {
                    let to = Node::Machine(machine);
                    space.send(Node::Stream, to, Message::Cancel { job, request });
                }
            }
            _ => {}
        }
        self.delivers(space);
    }

    /// Time has passed.
    pub(crate) fn looks(&mut self, space: &mut Space) {
        let over = |(_, ends): &(&u64, &u64)| **ends <= space.now;
        let over: Vec<u64> = self.leases.iter().filter(over).map(|(s, _)| *s).collect();
        for sequence in over {
            self.leases.remove(&sequence);
            self.again.push_back(sequence);
        }
        self.delivers(space);
    }

    /// A job is not delivered again for so long, if it has a lease.
    fn extends(&mut self, sequence: u64, nanoseconds: u64, space: &mut Space) {
        if let Some(ends) = self.leases.get_mut(&sequence) {
            *ends = space.now + nanoseconds;
            space.after(nanoseconds, Wake::Stream);
        }
    }

    /// Stores a result; true if there is one.
    fn stores(&mut self, message: Message, space: &mut Space) -> bool {
        let Message::Store {
            job,
            sequence,
            found,
            is_first,
            ..
        } = message
        else {
            return false;
        };
        if self.remembers((Kind::Result, job, sequence), space) {
            return true;
        }
        if is_first && self.results.contains_key(&job) {
            return true;
        }
        self.results.entry(job).or_insert(found);
        space.ledger.result_stored(job, found, space.now);
        false
    }

    /// Whether a message with this id was stored lately; it is stored now, otherwise.
    fn remembers(&mut self, id: (Kind, JobNumber, u64), space: &Space) -> bool {
        let lately = |at: &u64| at + space.terms.remembers > space.now;
        if self.ids.get(&id).is_some_and(lately) {
            return true;
        }
        self.ids.insert(id, space.now);
        false
    }

    /// Sends jobs to those who have asked for them.
    fn delivers(&mut self, space: &mut Space) {
        loop {
            while let Some(request) = self.requests.pop_front_if(|r| r.ends <= space.now) {
                let ended = Message::PullEnded {
                    inbox: request.inbox,
                    unsent: request.left,
                };
                space.send(Node::Stream, Node::Machine(request.machine), ended);
            }
            if self.requests.is_empty() {
                return;
            }
            let Some(sequence) = self.next() else {
                return;
            };
            let most = u64::from(space.terms.deliveries + SPARE + RETURNS);
            let Some(kept) = self.jobs.get_mut(&sequence) else {
                continue;
            };
            let job = kept.job;
            if kept.delivered >= most {
                if !std::mem::replace(&mut kept.is_used_up, true) {
                    self.tells_one(Message::UsedUp { sequence, job }, space);
                }
                continue;
            }
            kept.delivered += 1;
            let delivered = kept.delivered;
            space.ledger.delivered(job, delivered);
            if delivered == most {
                space.ledger.used_up(job);
            }
            self.leases.insert(sequence, 0);
            self.extends(sequence, space.terms.lease, space);
            let Some(mut request) = self.requests.pop_front() else {
                return;
            };
            let message = Message::Delivery {
                inbox: request.inbox,
                sequence,
                job,
                delivered,
            };
            space.send(Node::Stream, Node::Machine(request.machine), message);
            request.left -= 1;
            if request.left > 0 {
                self.requests.push_back(request);
            }
        }
    }

    /// The job that is to be delivered next.
    fn next(&mut self) -> Option<u64> {
        if let Some(sequence) = self.again.pop_front() {
            return Some(sequence);
        }
        let (sequence, _) = self.jobs.range(self.cursor + 1..).next()?;
        self.cursor = *sequence;
        Some(*sequence)
    }

    /// Tells one of the machines that are there.
    fn tells_one(&mut self, message: Message, space: &mut Space) {
        let there: Vec<_> = (0..self.connected.len())
            .filter(|machine| self.connected[*machine])
            .collect();
        if !there.is_empty() {
            let machine = there[self.rng.usize(..there.len())];
            space.send(Node::Stream, Node::Machine(machine), message);
        }
    }
}

fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
