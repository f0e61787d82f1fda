//! A machine with a worker: it does what the rules of the real worker say.
//!
//! Its jobs are no components on virtual harts: a run takes a time that the seed decides. Everything that a worker decides,
//! [`Intake`] and [`Course`] decide, here as there.

mod acts;

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use hart_host::work::rules::{
    ANSWER, Arrival, Course, Event, FAREWELL, Intake, LOOK, Look, Orders, Stored, used_up_to,
};

use super::fault::Fault;
use super::log;
use super::plan::{MILLISECOND, SECOND};
use super::planted::Planted;
use super::space::{Space, Timer, Trouble, Wake};
use super::wire::{Found, JobNumber, Message, Node, RequestNumber};
use crate::random::{log_uniform, stream};

/// How long what is on its way to a worker that stops may take.
const ON_THEIR_WAY: u64 = SECOND;

pub(crate) struct Worker {
    me: usize,
    slots: usize,
    /// How often it was started.
    boot: u64,
    is_up: bool,
    /// Until when it stands still.
    pub(crate) paused_until: u64,
    /// How fast its clock is: a thousandth of a second of it for each of the world's, at 1000.
    rate: u64,
    intake: Intake,
    inbox: u64,
    /// Its connection is another one than when it last looked.
    is_new: bool,
    stopped_at: Option<u64>,
    gives_up: bool,
    /// By their keys.
    jobs: BTreeMap<u64, Doing>,
    asked: BTreeMap<RequestNumber, u64>,
    /// Jobs that came while it stops: they go back, by what is asked before.
    returning: BTreeMap<RequestNumber, u64>,
    rng: Rng,
}

/// A job on its course.
struct Doing {
    job: JobNumber,
    sequence: u64,
    delivered: u64,
    arrived_at: u64,
    course: Course,
    /// The intake does not hold it: the stream no longer delivers it.
    is_unread: bool,
    run: Option<u32>,
    own: Option<Found>,
    stored: Option<Found>,
    /// What the course waits for.
    waits: Option<(RequestNumber, Asked)>,
    /// A look beside the run.
    look: Option<RequestNumber>,
    /// The stream has not answered its look.
    is_blind: bool,
    /// It waits before it tries again.
    pauses: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Look,
    Store,
    Finish,
    Count,
    /// It notes that it gives the job back.
    Return,
}

impl Worker {
    pub(crate) fn new(seed: u64, me: usize, slots: usize, space: &Space) -> Self {
        let mut rng = stream(seed, 100 + me as u64);
        let drifts = rng.u64(800..=1_250);
        Self {
            me,
            slots,
            boot: 0,
            is_up: false,
            paused_until: 0,
            rate: if space.has(Fault::Drift) {
                drifts
            } else {
                1_000
            },
            intake: Intake::new(slots),
            inbox: 0,
            is_new: false,
            stopped_at: None,
            gives_up: false,
            jobs: BTreeMap::new(),
            asked: BTreeMap::new(),
            returning: BTreeMap::new(),
            rng,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.is_up
    }

    pub(crate) fn is_boot(&self, boot: u64) -> bool {
        self.is_up && self.boot == boot
    }

    // === Its life ===

    pub(crate) fn starts(&mut self, space: &mut Space) {
        if self.is_up {
            return;
        }
        self.boot += 1;
        self.is_up = true;
        self.is_new = false;
        self.stopped_at = None;
        self.gives_up = false;
        self.intake = Intake::new(self.slots);
        self.inbox = space.number();
        space.records(log::Event::Up { machine: self.me });
        self.wakes(Timer::Look, space);
        self.wakes(Timer::Overview, space);
    }

    /// Loses all that it knows, and starts again some time later.
    pub(crate) fn crashes(&mut self, space: &mut Space) {
        if !self.is_up {
            return;
        }
        space.records(log::Event::Down { machine: self.me });
        self.is_up = false;
        self.asked.clear();
        self.returning.clear();
        for doing in std::mem::take(&mut self.jobs).into_values() {
            if let Some(run) = doing.run {
                space.ledger.run_ends(doing.job, run, false);
            }
        }
        let delay = log_uniform(&mut self.rng, 50 * MILLISECOND, 4 * SECOND);
        space.after(delay, Wake::Trouble(Trouble::Boot(self.me)));
    }

    /// Takes no more jobs, and gives back those that are not done within `grace`.
    pub(crate) fn stops(&mut self, grace: u64, space: &mut Space) {
        if !self.is_up || self.stopped_at.is_some() {
            return;
        }
        space.records(log::Event::Stops { machine: self.me });
        self.stopped_at = Some(space.now);
        self.intake.stop();
        let inbox = self.inbox;
        self.sends(Message::Leave { inbox }, space);
        self.timer(grace, Timer::Grace, space);
    }

    pub(crate) fn reconnects(&mut self, space: &mut Space) {
        if self.is_up {
            space.records(log::Event::Reconnected { machine: self.me });
            self.is_new = true;
        }
    }

    // === What reaches it ===

    pub(crate) fn receives(&mut self, message: Message, space: &mut Space) {
        match message {
            Message::Delivery {
                inbox,
                sequence,
                job,
                delivered,
            } if inbox == self.inbox => {
                self.intake.receives();
                self.arrives(job, sequence, delivered, space);
            }
            Message::PullEnded { inbox, unsent } if inbox == self.inbox => {
                self.intake.request_ends(Some(unsent));
            }
            Message::Looked { found, request } => {
                let look = found.map_or(Look::Nothing, |found| Look::Found(found.status));
                self.answered(request, Event::Looked(look), found, space);
            }
            Message::Stored { is_there, request } => {
                let stored = if is_there { Stored::There } else { Stored::New };
                self.answered(request, Event::Stored(stored), None, space);
            }
            Message::Counted { returned, request } => {
                self.answered(request, Event::Counted(Some(returned)), None, space);
            }
            Message::Told { request } if self.returning.contains_key(&request) => {
                self.returned(request, space);
            }
            // What the event is does not matter: the course is over.
            Message::Told { request } => self.answered(request, Event::Waited, None, space),
            Message::Cancel { job, request } if self.intake.cancel(&id(job)) => {
                let client = Message::CancelHeard { request };
                space.send(Node::Machine(self.me), Node::Client, client);
                self.cancels_runs(Some(job), space);
            }
            Message::UsedUp { sequence, job } => self.buries(job, sequence, space),
            Message::Overviewed {
                delivered,
                ack_floor,
                pending,
                first: Some((sequence, job)),
                ..
            } if sequence <= used_up_to(delivered, ack_floor, pending) => {
                self.buries(job, sequence, space);
            }
            _ => {}
        }
        self.pulls(space);
    }

    pub(crate) fn wakes(&mut self, timer: Timer, space: &mut Space) {
        match timer {
            Timer::Look => {
                let is_new = std::mem::take(&mut self.is_new);
                if is_new && self.stopped_at.is_none() {
                    let inbox = std::mem::replace(&mut self.inbox, space.number());
                    self.sends(Message::Leave { inbox }, space);
                }
                self.intake.looks(self.clock(space), is_new);
                self.timer(self.nanoseconds(LOOK), Timer::Look, space);
                let stopped = |at| space.now >= at + ON_THEIR_WAY;
                if self.jobs.is_empty()
                    && self.returning.is_empty()
                    && self.stopped_at.is_some_and(stopped)
                {
                    return self.crashes(space);
                }
            }
            Timer::Overview => {
                let request = space.number();
                self.sends(Message::Overview { request }, space);
                let lease = self.nanoseconds(Duration::from_nanos(space.terms.lease));
                self.timer(lease, Timer::Overview, space);
            }
            Timer::RunEnds {
                key,
                run,
                is_cancelled,
            } => self.run_ends(key, run, is_cancelled, space),
            Timer::Tick(key) => self.ticks(key, space),
            Timer::Answer(request) => self.unanswered(request, space),
            Timer::Waited(key) => self.waited(key, space),
            Timer::Grace => {
                self.gives_up = true;
                let keys: Vec<_> = self.jobs.keys().copied().collect();
                keys.into_iter().for_each(|key| self.waited(key, space));
                self.cancels_runs(None, space);
                self.timer(self.nanoseconds(FAREWELL), Timer::Farewell, space);
            }
            Timer::Farewell => return self.crashes(space),
        }
        self.pulls(space);
    }

    /// Asks for jobs, where there is room.
    fn pulls(&mut self, space: &mut Space) {
        let batch = self.intake.room();
        if self.is_up && batch > 0 {
            self.intake.asks(batch, self.clock(space));
            let inbox = self.inbox;
            self.sends(Message::Pull { inbox, batch }, space);
        }
    }

    fn arrives(&mut self, job: JobNumber, sequence: u64, delivered: u64, space: &mut Space) {
        let arrival = self.intake.arrives(&id(job), sequence);
        let arrival = match (arrival, space.planted) {
            (Arrival::IsHere, Some(Planted::RunsTwice))
            | (Arrival::GoesBack(Some(_)), Some(Planted::NoRoom)) => Arrival::Begins,
            (arrival, _) => arrival,
        };
        match arrival {
            Arrival::Begins => self.begins(job, sequence, Some(delivered), space),
            Arrival::IsHere => {}
            Arrival::GoesBack(None) => {
                let request = space.number();
                self.returning.insert(request, sequence);
                self.timer(self.nanoseconds(ANSWER), Timer::Answer(request), space);
                let note = Message::Return {
                    job,
                    sequence,
                    delivered,
                    request,
                };
                self.sends(note, space);
            }
            Arrival::GoesBack(delay) => self.sends(nak(sequence, delay), space),
        }
    }

    /// It is noted that a job goes back, or will not be.
    fn returned(&mut self, request: RequestNumber, space: &mut Space) {
        if let Some(sequence) = self.returning.remove(&request) {
            self.sends(nak(sequence, None), space);
        }
    }

    /// Has a job that is delivered no more end, unless that is so already.
    fn buries(&mut self, job: JobNumber, sequence: u64, space: &mut Space) {
        let is_same = |doing: &Doing| doing.is_unread && doing.sequence == sequence;
        // A run that goes on here leaves the job in the stream, or ends it.
        let is_here = self.intake.holds(&id(job), sequence) || self.jobs.values().any(is_same);
        if self.stopped_at.is_none() && !is_here {
            self.begins(job, sequence, None, space);
        }
    }

    /// Begins the course of a job; one that was not delivered is no longer delivered to anyone.
    fn begins(&mut self, job: JobNumber, sequence: u64, delivered: Option<u64>, space: &mut Space) {
        let key = space.number();
        let course = match delivered {
            Some(delivered) => Course::new(delivered, space.terms.deliveries),
            None => Course::unread(),
        };
        let doing = Doing {
            job,
            sequence,
            delivered: delivered.unwrap_or_default(),
            arrived_at: space.now,
            course,
            is_unread: delivered.is_none(),
            run: None,
            own: None,
            stored: None,
            waits: None,
            look: None,
            is_blind: false,
            pauses: false,
        };
        let orders = self.orders(&doing);
        let doing = self.jobs.entry(key).or_insert(doing);
        let action = doing.course.begin(orders);
        self.timer(self.tick(space), Timer::Tick(key), space);
        self.acts(key, action, space);
    }

    fn orders(&self, doing: &Doing) -> Orders {
        Orders {
            cancelled: !doing.is_unread && self.intake.is_cancelled(&id(doing.job)),
            gives_up: self.gives_up,
        }
    }

    // === Questions and answers ===

    fn sends(&self, message: Message, space: &mut Space) {
        space.send(Node::Machine(self.me), Node::Stream, message);
    }

    /// The number of a question that the course of a job asks.
    fn request(&mut self, key: u64, space: &mut Space) -> RequestNumber {
        let request = space.number();
        self.asked.insert(request, key);
        self.timer(self.nanoseconds(ANSWER), Timer::Answer(request), space);
        request
    }

    fn asks(
        &mut self,
        key: u64,
        asked: Asked,
        space: &mut Space,
        message: impl FnOnce(RequestNumber) -> Message,
    ) {
        let request = self.request(key, space);
        if let Some(doing) = self.jobs.get_mut(&key) {
            doing.waits = Some((request, asked));
        }
        self.sends(message(request), space);
    }

    fn answered(
        &mut self,
        request: RequestNumber,
        event: Event,
        found: Option<Found>,
        space: &mut Space,
    ) {
        let Some(key) = self.asked.remove(&request) else {
            return;
        };
        let Some(doing) = self.jobs.get_mut(&key) else {
            return;
        };
        if doing.look == Some(request) {
            doing.look = None;
            doing.stored = found;
            return self.goes_on(key, event, space);
        }
        if let Some((_, asked)) = doing.waits.take_if(|(waits, _)| *waits == request) {
            if let Event::Looked(_) = event {
                doing.stored = found;
            }
            match asked {
                Asked::Finish => self.ends(key),
                Asked::Return => self.gives_back(key, None, space),
                _ => self.goes_on(key, event, space),
            }
        }
    }

    /// An answer does not come in time.
    fn unanswered(&mut self, request: RequestNumber, space: &mut Space) {
        self.returned(request, space);
        let doing = self
            .asked
            .get(&request)
            .and_then(|key| self.jobs.get_mut(key));
        let event = match doing {
            Some(doing) if doing.look == Some(request) => Event::Looked(Look::Unknown),
            Some(doing) => match doing.waits {
                Some((waits, Asked::Look)) if waits == request => {
                    doing.is_blind = true;
                    Event::Looked(Look::Unknown)
                }
                Some((waits, Asked::Count)) if waits == request => Event::Counted(None),
                _ => Event::Stored(Stored::Failed),
            },
            None => return,
        };
        self.answered(request, event, None, space);
    }

    // === Its clock ===

    /// What its clock shows.
    fn clock(&self, space: &Space) -> Duration {
        Duration::from_nanos(space.now / 1_000 * self.rate)
    }

    /// Nanoseconds of the world until so much has passed by its clock.
    fn nanoseconds(&self, duration: Duration) -> u64 {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        nanoseconds / self.rate * 1_000
    }

    fn timer(&self, nanoseconds: u64, timer: Timer, space: &mut Space) {
        let wake = Wake::Machine {
            machine: self.me,
            boot: self.boot,
            timer,
        };
        space.after(nanoseconds, wake);
    }
}

fn id(job: JobNumber) -> String {
    job.to_string()
}

fn nak(sequence: u64, delay: Option<Duration>) -> Message {
    let nanoseconds = |delay: Duration| u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
    Message::Nak {
        sequence,
        delay: delay.map(nanoseconds),
    }
}
