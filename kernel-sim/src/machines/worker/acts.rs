//! What a worker does with a job, as its course says.

use std::time::Duration;

use hart_host::work::JobStatus;
use hart_host::work::rules::{Action, EXTENDS, End, Event, Look, Verdict};

use super::{Asked, Doing, Worker, id, nak};
use crate::machines::fault::Fault;
use crate::machines::log;
use crate::machines::plan::{Does, MILLISECOND};
use crate::machines::planted::Planted;
use crate::machines::space::{Space, Timer};
use crate::machines::wire::{Found, JobNumber, Message, Node};
use crate::random::one_in;

impl Worker {
    pub(super) fn goes_on(&mut self, key: u64, event: Event, space: &mut Space) {
        let Some(doing) = self.jobs.get(&key) else {
            return;
        };
        let orders = self.orders(doing);
        if let Some(doing) = self.jobs.get_mut(&key) {
            let action = doing.course.on(event, orders);
            self.acts(key, action, space);
        }
    }

    pub(super) fn acts(&mut self, key: u64, action: Action, space: &mut Space) {
        let Some(doing) = self.jobs.get_mut(&key) else {
            return;
        };
        let (job, sequence, planted) = (doing.job, doing.sequence, space.planted);
        match action {
            Action::Look if doing.own.is_none() && planted == Some(Planted::BlindRedelivery) => {
                self.goes_on(key, Event::Looked(Look::Nothing), space);
            }
            Action::Look => self.asks(key, Asked::Look, space, |request| Message::Look {
                job,
                request,
            }),
            Action::Count => self.asks(key, Asked::Count, space, |request| Message::Count {
                job,
                sequence,
                request,
            }),
            Action::Run => self.runs(key, space),
            Action::Extend => self.extends(key, space),
            Action::Wait => {}
            Action::EndRun => self.cancels_runs(Some(job), space),
            Action::Store(verdict) => self.stores(key, verdict, space),
            Action::StoreDead => {
                self.asks(key, Asked::Store, space, |request| Message::StoreDead {
                    job,
                    sequence,
                    request,
                })
            }
            Action::Again(wait) => {
                doing.pauses = true;
                self.sends(Message::Progress { sequence }, space);
                self.timer(self.nanoseconds(wait), Timer::Waited(key), space);
            }
            Action::Finish(_) => self.finishes(key, space),
            Action::GiveBack(None)
                if !doing.is_unread && planted != Some(Planted::ReturnsCount) =>
            {
                let delivered = doing.delivered;
                self.asks(key, Asked::Return, space, |request| Message::Return {
                    job,
                    sequence,
                    delivered,
                    request,
                });
            }
            Action::GiveBack(delay) => self.gives_back(key, delay, space),
        }
    }

    pub(super) fn gives_back(&mut self, key: u64, delay: Option<Duration>, space: &mut Space) {
        if let Some(doing) = self.jobs.get(&key)
            && !doing.is_unread
        {
            self.sends(nak(doing.sequence, delay), space);
        }
        self.ends(key);
    }

    /// A pause is over, if there is one.
    pub(super) fn waited(&mut self, key: u64, space: &mut Space) {
        let doing = self.jobs.get_mut(&key);
        if doing.is_some_and(|doing| std::mem::take(&mut doing.pauses)) {
            self.goes_on(key, Event::Waited, space);
        }
    }

    fn runs(&mut self, key: u64, space: &mut Space) {
        if space.has(Fault::Full) && one_in(&mut self.rng, space.rarity()) {
            return self.goes_on(key, Event::Ended(End::Full), space);
        }
        let Some(doing) = self.jobs.get_mut(&key) else {
            return;
        };
        let has_looked = doing.delivered > 1 && !doing.is_blind;
        let asked_at = has_looked.then_some(doing.arrived_at);
        let job = doing.job;
        let run = space.ledger.run_begins(self.me, job, asked_at, space.now);
        doing.run = Some(run);
        space.records(log::Event::Runs {
            machine: self.me,
            job,
            run,
        });
        let plan = space.plans[job as usize];
        if plan.does != Does::Spins {
            let timer = Timer::RunEnds {
                key,
                run,
                is_cancelled: false,
            };
            self.timer(plan.lasts, timer, space);
        }
    }

    /// The lease of a job is to be extended, and the job may have ended elsewhere.
    pub(super) fn ticks(&mut self, key: u64, space: &mut Space) {
        let Some(doing) = self.jobs.get(&key) else {
            return;
        };
        let is_over = matches!(doing.waits, Some((_, Asked::Finish | Asked::Return)));
        let sequence = doing.sequence;
        if doing.run.is_some() {
            self.goes_on(key, Event::Tick, space);
        } else if !doing.is_unread && !is_over && space.planted != Some(Planted::NoLease) {
            self.sends(Message::Progress { sequence }, space);
        }
        let mut interval = self.tick(space);
        if space.has(Fault::Slow) && one_in(&mut self.rng, 4) {
            interval *= self.rng.u64(2..6);
        }
        self.timer(interval, Timer::Tick(key), space);
    }

    /// Between two extensions of a lease.
    pub(super) fn tick(&self, space: &Space) -> u64 {
        self.nanoseconds(Duration::from_nanos(space.terms.lease) / EXTENDS)
    }

    fn extends(&mut self, key: u64, space: &mut Space) {
        let Some(doing) = self.jobs.get(&key) else {
            return;
        };
        let (job, sequence) = (doing.job, doing.sequence);
        if space.planted != Some(Planted::NoLease) {
            self.sends(Message::Progress { sequence }, space);
        }
        if space.planted != Some(Planted::NoLook) {
            let request = self.request(key, space);
            self.sends(Message::Look { job, request }, space);
            if let Some(doing) = self.jobs.get_mut(&key) {
                doing.look = Some(request);
            }
        }
    }

    /// Has the runs of one job end, or all of them: soon, as a guest ends at its next preemption point.
    pub(super) fn cancels_runs(&mut self, job: Option<JobNumber>, space: &mut Space) {
        let wanted = |doing: &Doing| job.is_none_or(|job| doing.job == job);
        let runs: Vec<_> = self
            .jobs
            .iter()
            .filter(|(_, doing)| wanted(doing))
            .filter_map(|(key, doing)| Some((*key, doing.run?)))
            .collect();
        for (key, run) in runs {
            let timer = Timer::RunEnds {
                key,
                run,
                is_cancelled: true,
            };
            let soon = self.rng.u64(..5 * MILLISECOND);
            self.timer(soon, timer, space);
        }
    }

    pub(super) fn run_ends(&mut self, key: u64, run: u32, is_cancelled: bool, space: &mut Space) {
        let Some(doing) = self.jobs.get_mut(&key) else {
            return;
        };
        if doing.run != Some(run) {
            return;
        }
        let does = space.plans[doing.job as usize].does;
        if does == Does::Crashes && !is_cancelled && space.has(Fault::Crash) {
            return self.crashes(space);
        }
        doing.run = None;
        doing.look = None;
        let completed = !is_cancelled;
        space.ledger.run_ends(doing.job, run, completed);
        space.records(log::Event::Ran {
            machine: self.me,
            job: doing.job,
            run,
            completed,
        });
        let end = match does {
            _ if is_cancelled => End::Cancelled,
            Does::Ends(status) => End::With(status),
            Does::Spins | Does::Crashes => End::With(JobStatus::Failed),
        };
        if let End::With(status) = end {
            let run = Some(run);
            doing.own = Some(Found { status, run });
        }
        self.goes_on(key, Event::Ended(end), space);
    }

    fn stores(&mut self, key: u64, verdict: Verdict, space: &mut Space) {
        let Some(doing) = self.jobs.get_mut(&key) else {
            return;
        };
        let worded = match verdict {
            Verdict::OfRun => None,
            Verdict::Cancelled => Some(JobStatus::Cancelled),
            Verdict::GivenUp | Verdict::Unread => Some(JobStatus::Failed),
        };
        if let Some(status) = worded {
            doing.own = Some(Found { status, run: None });
        }
        let Some(found) = doing.own else {
            return;
        };
        let (job, sequence) = (doing.job, doing.sequence);
        let ignored = 0;
        if space.planted == Some(Planted::AckBeforeStore) {
            let request = ignored;
            self.sends(Message::Ack { sequence, request }, space);
        }
        if space.planted == Some(Planted::DeadFirst) && found.status == JobStatus::Failed {
            let letter = Message::StoreDead {
                job,
                sequence,
                request: ignored,
            };
            self.sends(letter, space);
        }
        let is_first = space.planted != Some(Planted::AnyResult);
        self.asks(key, Asked::Store, space, |request| Message::Store {
            job,
            sequence,
            found,
            is_first,
            request,
        });
    }

    fn finishes(&mut self, key: u64, space: &mut Space) {
        let Some(doing) = self.jobs.get(&key) else {
            return;
        };
        let (job, sequence, is_unread) = (doing.job, doing.sequence, doing.is_unread);
        let found = match space.planted {
            Some(Planted::OwnReply) => doing.own.or(doing.stored),
            _ => doing.stored.or(doing.own),
        };
        if let Some(found) = found
            && !is_unread
        {
            let reply = Message::Reply { job, found };
            space.send(Node::Machine(self.me), Node::Client, reply);
        }
        if is_unread {
            let delete = |request| Message::Delete { sequence, request };
            return self.asks(key, Asked::Finish, space, delete);
        }
        // Nobody waits for the answer: where this is lost, the job comes again, and has its result.
        let request = 0;
        self.sends(Message::Ack { sequence, request }, space);
        self.ends(key);
    }

    pub(super) fn ends(&mut self, key: u64) {
        if let Some(doing) = self.jobs.remove(&key)
            && !doing.is_unread
        {
            self.intake.ends(&id(doing.job));
        }
    }
}
