//! A program that submits jobs, and cancels some of them as `Queue::cancel` does.
//!
//! It asks until it has an answer. A cancel: the workers are asked; whether one has the job or not, `cancelled` is stored as
//! its result, if the job is still there; and one that no worker has is deleted.

use std::collections::BTreeMap;

use super::plan::SECOND;
use super::planted::Planted;
use super::space::{ClientTimer, Space, Wake};
use super::wire::{Found, JobNumber, Message, Node, RequestNumber};
use hart_host::work::JobStatus;

/// How long it waits for an answer of the stream, and of the workers.
const ANSWER: (u64, u64) = (5 * SECOND, SECOND);

pub(crate) struct Client {
    asked: BTreeMap<RequestNumber, (JobNumber, Step)>,
    /// Jobs that are not submitted yet, and cancels that are not confirmed.
    left: usize,
}

/// What was asked.
#[derive(Clone, Copy)]
enum Step {
    Submits,
    AsksWorkers,
    Finds { is_held: bool },
    Stores { is_held: bool, sequence: u64 },
    Deletes,
}

impl Client {
    pub(crate) fn new(space: &mut Space) -> Self {
        for job in 0..space.plans.len() {
            let at = space.plans[job].submitted_at;
            space.after(at, Wake::Client(ClientTimer::Submit(job as JobNumber)));
        }
        Self {
            asked: BTreeMap::new(),
            left: space.plans.len(),
        }
    }

    /// All is submitted, and every cancel confirmed.
    pub(crate) fn is_done(&self) -> bool {
        self.left == 0
    }

    fn ask(
        &mut self,
        job: JobNumber,
        step: Step,
        space: &mut Space,
        message: impl FnOnce(RequestNumber) -> Message,
    ) {
        let request = space.number();
        self.asked.insert(request, (job, step));
        space.send(Node::Client, Node::Stream, message(request));
        let answer = match step {
            Step::AsksWorkers => ANSWER.1,
            _ => ANSWER.0,
        };
        space.after(answer, Wake::Client(ClientTimer::Answer(request)));
    }

    pub(crate) fn wakes(&mut self, timer: ClientTimer, space: &mut Space) {
        match timer {
            ClientTimer::Submit(job) => {
                self.ask(job, Step::Submits, space, |request| Message::Submit {
                    job,
                    request,
                });
            }
            ClientTimer::Cancel(job) => {
                space.ledger.cancels(job);
                self.ask(job, Step::AsksWorkers, space, |request| Message::Cancel {
                    job,
                    request,
                });
            }
            ClientTimer::Answer(request) => match self.asked.remove(&request) {
                Some((job, Step::Submits)) => self.wakes(ClientTimer::Submit(job), space),
                Some((job, Step::AsksWorkers)) => self.finds(job, false, space),
                Some((job, _)) => self.wakes(ClientTimer::Cancel(job), space),
                None => {}
            },
        }
    }

    fn finds(&mut self, job: JobNumber, is_held: bool, space: &mut Space) {
        let step = Step::Finds { is_held };
        self.ask(job, step, space, |request| Message::Find { job, request });
    }

    pub(crate) fn receives(&mut self, message: Message, space: &mut Space) {
        if let Message::Reply { job, found } = message {
            return space.ledger.replied(job, found);
        }
        let (Message::Told { request }
        | Message::CancelHeard { request }
        | Message::FoundJob { request, .. }
        | Message::Stored { request, .. }) = message
        else {
            return;
        };
        let Some((job, step)) = self.asked.remove(&request) else {
            return;
        };
        match (step, message) {
            (Step::Submits, _) => match space.plans[job as usize].cancelled_after {
                Some(after) => space.after(after, Wake::Client(ClientTimer::Cancel(job))),
                None => self.left -= 1,
            },
            (Step::AsksWorkers, _) if space.planted == Some(Planted::CancelForgotten) => {
                self.confirmed(job, space);
            }
            (Step::AsksWorkers, _) => self.finds(job, true, space),
            (
                Step::Finds { is_held },
                Message::FoundJob {
                    sequence: Some(sequence),
                    ..
                },
            ) => {
                let found = Found {
                    status: JobStatus::Cancelled,
                    run: None,
                };
                let step = Step::Stores { is_held, sequence };
                self.ask(job, step, space, |request| Message::Store {
                    job,
                    sequence,
                    found,
                    is_first: true,
                    request,
                });
            }
            (Step::Stores { is_held, sequence }, Message::Stored { is_there, .. }) => {
                if is_held || is_there {
                    return self.confirmed(job, space);
                }
                self.ask(job, Step::Deletes, space, |request| Message::Delete {
                    sequence,
                    request,
                });
            }
            // It is not there any more, or deleted.
            _ => self.confirmed(job, space),
        }
    }

    fn confirmed(&mut self, job: JobNumber, space: &mut Space) {
        self.left -= 1;
        space.ledger.cancel_confirmed(job);
    }
}
