//! One delivery of a job: from its message to what came of it.
//!
//! # Protocol
//!
//! 1. A job that was delivered before may be done: the worker looks for its result first, and does not run it again.
//! 2. From the first action to the last, the lease is extended. While the job runs, the worker looks for a result each time:
//!    the job may have been cancelled, or done by another worker that got it because this one was too slow. Then the run is
//!    ended.
//! 3. The result is stored first, as the first of its subject. Then the server is told that the job is over. A worker that
//!    dies in between leaves a job that is delivered again and finds its result there.
//! 4. What is stored is what counts. Where another result is there already, it is looked at, and what follows is about that
//!    one.
//! 5. A dead letter comes after the result, and only where the result says `failed`. Whoever finds such a result stores the
//!    letter, too: the one who stored the result may have died before it did. The server drops a letter that is there.
//! 6. A job that finds no room for its run goes back, for other workers. That counts as a delivery, so the last worker that may
//!    have the job keeps it until there is room.
//! 7. A worker that gives up gives back the jobs that it has, which is noted first. Where a job was delivered often enough to
//!    be given up, that is looked at: such deliveries do not count.
//! 8. Storing is tried again until it works. A worker that gives up gives the job back instead.

use std::time::Duration;

use super::terms::NO_ROOM;
use crate::work::status::JobStatus;

/// How long the worker waits before it tries again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// One delivery of a job.
///
/// # Examples
///
/// ```
/// use hart_host::work::JobStatus;
/// use hart_host::work::rules::{Action, Course, End, Event, Orders, Stored, Verdict};
///
/// let orders = Orders::default();
/// let mut course = Course::new(1, 5);
/// assert_eq!(course.begin(orders), Action::Run);
/// let ended = Event::Ended(End::With(JobStatus::Ok));
/// assert_eq!(course.on(ended, orders), Action::Store(Verdict::OfRun));
/// let stored = Event::Stored(Stored::New);
/// assert_eq!(course.on(stored, orders), Action::Finish(JobStatus::Ok));
/// ```
#[derive(Debug)]
pub struct Course {
    delivered: u64,
    deliveries: u32,
    /// Deliveries that ended as their workers did, once that is known.
    returned: Option<u64>,
    state: State,
    /// How long it waits before it tries the next time.
    wait: Duration,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// It looks for an earlier result.
    Looks,
    /// It asks which deliveries count.
    Counts,
    Runs,
    /// Its run is to end, as there is this result.
    Ends(JobStatus),
    /// It stores this, which has this status.
    Stores(Verdict, JobStatus),
    /// It looks at what is stored instead.
    Compares(Verdict, JobStatus),
    /// It stores the dead letter.
    Buries,
    /// The server is told.
    Over(JobStatus),
}

/// What others want of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// Somebody cancelled it.
    pub cancelled: bool,
    /// The worker ends now: its jobs go back.
    pub gives_up: bool,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An answer to [`Action::Look`], or to the look of [`Action::Extend`].
    Looked(Look),
    /// The run ended, or could not begin.
    Ended(End),
    /// The lease is to be extended.
    Tick,
    /// An answer to [`Action::Store`] or [`Action::StoreDead`].
    Stored(Stored),
    /// An answer to [`Action::Count`]: how often, if the server said it.
    Counted(Option<u64>),
    /// The time of [`Action::Again`] is over.
    Waited,
}

/// What a look for the result found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// There is one.
    Found(JobStatus),
    /// There is none.
    Nothing,
    /// The server did not say.
    Unknown,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a result of its own. That of a job that cannot be run at all is a failure.
    With(JobStatus),
    /// It was cancelled: by somebody, by the worker or by [`Action::EndRun`].
    Cancelled,
    /// The host closes.
    Closed,
    /// There is no room for it now.
    Full,
}

/// What became of something that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is stored.
    New,
    /// One is there already: another's, or this one of an earlier try.
    There,
    /// The server refused it or did not answer. It may be stored all the same.
    Failed,
}

/// Which result is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What the run ended with.
    OfRun,
    /// `cancelled`.
    Cancelled,
    /// `failed`: so many workers had the job, and none brought it to an end.
    GivenUp,
    /// `failed`: no worker can read the job.
    Unread,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Action {
    /// Look for the job's result. Then: [`Event::Looked`].
    Look,
    /// Ask how often the job was given back by workers that stopped. Then: [`Event::Counted`].
    Count,
    /// Run the job. Then: [`Event::Tick`], a part of the lease later, or [`Event::Ended`].
    Run,
    /// Extend the lease and look for the job's result, while the run goes on. Then: [`Event::Tick`], [`Event::Ended`],
    /// [`Event::Looked`].
    Extend,
    /// Nothing: the run goes on.
    Wait,
    /// Cancel the run. Then: [`Event::Ended`].
    EndRun,
    /// Store this as the first result of the job. Then: [`Event::Stored`].
    Store(Verdict),
    /// Store the job with the reason of its result as a dead letter. Then: [`Event::Stored`].
    StoreDead,
    /// Extend the lease and wait, or until the worker gives up. Then: [`Event::Waited`].
    Again(Duration),
    /// Tell the server, and the submitter who wants to know, that the job is over with the result that is stored. The course
    /// ends.
    Finish(JobStatus),
    /// Have the server deliver the job again, at once or after this time. One that goes back at once does so as its worker
    /// stops: that is noted first. The course ends.
    GiveBack(Option<Duration>),
}

impl Course {
    /// That of a job that was delivered so many times, 1 for the first, of so many that are allowed.
    pub fn new(delivered: u64, deliveries: u32) -> Self {
        Self {
            delivered,
            deliveries,
            returned: None,
            state: State::Looks,
            wait: RETRY.0,
        }
    }

    /// That of a job that the server no longer delivers, as no worker brought it to an end or could read it.
    pub fn unread() -> Self {
        Self {
            state: State::Stores(Verdict::Unread, JobStatus::Failed),
            ..Self::new(1, 1)
        }
    }

    /// The first action.
    pub fn begin(&mut self, orders: Orders) -> Action {
        match self.state {
            State::Looks if self.delivered <= 1 => self.proceed(orders),
            _ => self.act(),
        }
    }

    /// The action that follows an event. An event that the course does not wait for changes nothing.
    pub fn on(&mut self, event: Event, orders: Orders) -> Action {
        match (self.state, event) {
            (State::Looks | State::Compares(..), Event::Looked(Look::Found(status))) => {
                self.found(status)
            }
            // What cannot be found out counts as no.
            (State::Looks, Event::Looked(_)) => self.proceed(orders),
            (State::Counts, Event::Counted(Some(returned))) => {
                self.returned = Some(returned);
                self.proceed(orders)
            }
            (State::Counts, Event::Counted(None)) => self.again(orders),
            (State::Runs, Event::Tick) => Action::Extend,
            (State::Runs, Event::Looked(Look::Found(status))) => {
                self.state = State::Ends(status);
                Action::EndRun
            }
            (State::Runs, Event::Ended(end)) => self.ended(end, orders),
            (State::Ends(status), Event::Ended(_)) => self.found(status),
            (State::Stores(_, status), Event::Stored(Stored::New)) => self.found(status),
            (State::Stores(verdict, status), Event::Stored(Stored::There)) => {
                self.turn(State::Compares(verdict, status))
            }
            (State::Compares(verdict, status), Event::Looked(Look::Nothing)) => {
                // It was deleted meanwhile.
                self.state = State::Stores(verdict, status);
                self.again(orders)
            }
            (State::Buries, Event::Stored(Stored::New | Stored::There)) => {
                self.turn(State::Over(JobStatus::Failed))
            }
            (State::Stores(..) | State::Buries, Event::Stored(Stored::Failed))
            | (State::Compares(..), Event::Looked(Look::Unknown)) => self.again(orders),
            (_, Event::Waited) => self.act(),
            _ => Action::Wait,
        }
    }

    /// There is no result that is known: the job is run, if that is still wanted.
    fn proceed(&mut self, orders: Orders) -> Action {
        if orders.cancelled {
            self.turn(State::Stores(Verdict::Cancelled, JobStatus::Cancelled))
        } else if self.attempts() > u64::from(self.deliveries) {
            self.turn(match self.returned {
                Some(_) => State::Stores(Verdict::GivenUp, JobStatus::Failed),
                None => State::Counts,
            })
        } else if orders.gives_up {
            Action::GiveBack(None)
        } else {
            self.turn(State::Runs)
        }
    }

    /// Deliveries that count, as far as it is known.
    fn attempts(&self) -> u64 {
        self.delivered
            .saturating_sub(self.returned.unwrap_or_default())
    }

    fn ended(&mut self, end: End, orders: Orders) -> Action {
        match end {
            End::With(status) => self.turn(State::Stores(Verdict::OfRun, status)),
            _ if orders.cancelled => {
                self.turn(State::Stores(Verdict::Cancelled, JobStatus::Cancelled))
            }
            End::Cancelled | End::Closed => Action::GiveBack(None),
            End::Full if self.attempts() < u64::from(self.deliveries) || orders.gives_up => {
                Action::GiveBack(Some(NO_ROOM))
            }
            End::Full => Action::Again(NO_ROOM),
        }
    }

    /// This result is stored.
    fn found(&mut self, status: JobStatus) -> Action {
        self.turn(match status {
            JobStatus::Failed => State::Buries,
            _ => State::Over(status),
        })
    }

    fn again(&mut self, orders: Orders) -> Action {
        if orders.gives_up {
            return Action::GiveBack(None);
        }
        let wait = self.wait;
        self.wait = (wait * 2).min(RETRY.1);
        Action::Again(wait)
    }

    fn turn(&mut self, state: State) -> Action {
        self.state = state;
        self.act()
    }

    /// What its state does.
    fn act(&self) -> Action {
        match self.state {
            State::Looks | State::Compares(..) => Action::Look,
            State::Counts => Action::Count,
            State::Runs => Action::Run,
            State::Ends(_) => Action::EndRun,
            State::Stores(verdict, _) => Action::Store(verdict),
            State::Buries => Action::StoreDead,
            State::Over(status) => Action::Finish(status),
        }
    }
}

#[cfg(test)]
mod tests;
