//! The jobs of one app that a worker holds, and how many more it asks for.
//!
//! # Protocol
//!
//! 1. The worker asks for messages. The server answers each request with that many, or ends it with a status that says how
//!    many it has not sent. `asked` counts what may still come.
//! 2. Jobs that are held and messages that were asked for are never more than the concurrency, so a message finds room. Only
//!    where the server has taken one request for two, as around a reconnect, one may come that does not; it goes back.
//! 3. A job that is held already is not begun again: its lease ran out while it runs, and the server does not know. The
//!    message is ignored. The lease is the job's, not the message's: the run that goes on extends it.
//! 4. Requests end with their connection. One that was lost in another way is over some time after its expiry.
//! 5. After a lost connection, messages are asked for one by one for a while: if one of them ended the connection, by headers
//!    that are none, it takes no others along. Each time they are taken along counts as a delivery of theirs.

use std::collections::HashMap;
use std::time::Duration;

use super::terms::{EXPIRY, NO_ROOM};

/// How late the end of a request may be.
const LATE: Duration = Duration::from_secs(5);

/// The jobs of one app that a worker holds.
///
/// Times are those of one clock of the caller, since any moment.
///
/// # Examples
///
/// ```
/// use hart_host::work::rules::{Arrival, Intake};
/// use std::time::Duration;
///
/// let mut intake = Intake::new(2);
/// assert_eq!(intake.room(), 2);
/// intake.asks(2, Duration::ZERO);
/// intake.receives();
/// assert_eq!(intake.arrives("a", 1), Arrival::Begins);
/// intake.receives();
/// assert_eq!(intake.arrives("a", 1), Arrival::IsHere);
/// intake.ends("a");
/// assert_eq!(intake.held(), 0);
/// ```
#[derive(Debug)]
pub struct Intake {
    concurrency: usize,
    /// Messages that may still come.
    asked: usize,
    last_asked: Duration,
    /// Messages that are to be asked for one by one.
    careful: usize,
    /// No new jobs.
    stops: bool,
    held: HashMap<String, Held>,
}

#[derive(Debug)]
struct Held {
    /// The job's number in its stream.
    sequence: u64,
    is_cancelled: bool,
}

/// What to do with a message that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Arrival {
    /// The job is held from now on, and its course begins.
    Begins,
    /// The worker has the job already: nothing is to be done.
    IsHere,
    /// The server is told to deliver it again, at once or after this time.
    GoesBack(Option<Duration>),
}

impl Intake {
    /// Holds nothing yet, and at most `concurrency` jobs at once.
    pub fn new(concurrency: usize) -> Self {
        Self {
            concurrency,
            asked: 0,
            last_asked: Duration::ZERO,
            careful: 0,
            stops: false,
            held: HashMap::new(),
        }
    }

    /// How many jobs it holds.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// How many messages to ask for now: none, unless there is room for a good part or nothing else to wait for.
    pub fn room(&self) -> usize {
        let mut room = self
            .concurrency
            .saturating_sub(self.held.len() + self.asked);
        let is_worth_it = self.asked == 0 || room > self.concurrency / 4;
        if self.careful > 0 {
            room = room.min(1_usize.saturating_sub(self.asked));
        }
        if self.stops || !is_worth_it { 0 } else { room }
    }

    /// So many messages were asked for.
    pub fn asks(&mut self, messages: usize, now: Duration) {
        self.asked += messages;
        self.last_asked = now;
    }

    /// A message came, whatever it is: one of those that were asked for.
    pub fn receives(&mut self) {
        self.asked = self.asked.saturating_sub(1);
        self.careful = self.careful.saturating_sub(1);
    }

    /// A message is this job.
    pub fn arrives(&mut self, id: &str, sequence: u64) -> Arrival {
        match self.held.get(id) {
            Some(held) if held.sequence == sequence => return Arrival::IsHere,
            // An earlier job of this name is about to end.
            Some(_) => return Arrival::GoesBack(Some(NO_ROOM)),
            None if self.stops => return Arrival::GoesBack(None),
            None if self.held.len() >= self.concurrency => {
                return Arrival::GoesBack(Some(NO_ROOM));
            }
            None => {}
        }
        let held = Held {
            sequence,
            is_cancelled: false,
        };
        self.held.insert(id.to_owned(), held);
        Arrival::Begins
    }

    /// A request has ended; so many of its messages were not sent, where the server says it.
    pub fn request_ends(&mut self, unsent: Option<usize>) {
        self.asked = self.asked.saturating_sub(unsent.unwrap_or(self.asked));
    }

    /// Forgets requests that are lost: those of an earlier connection, and those that are over for long.
    pub fn looks(&mut self, now: Duration, is_new_connection: bool) {
        if is_new_connection {
            self.careful = self.concurrency;
        }
        if is_new_connection || now.saturating_sub(self.last_asked) > EXPIRY + LATE {
            self.asked = 0;
        }
    }

    /// Takes no more jobs.
    pub fn stop(&mut self) {
        self.stops = true;
    }

    /// Somebody wants the end of a job: true if it is held here, from its arrival on.
    pub fn cancel(&mut self, id: &str) -> bool {
        let held = self.held.get_mut(id);
        held.map(|held| held.is_cancelled = true).is_some()
    }

    /// Whether a job that is held was cancelled.
    pub fn is_cancelled(&self, id: &str) -> bool {
        self.held.get(id).is_some_and(|held| held.is_cancelled)
    }

    /// Whether the job of this name and number is held.
    pub fn holds(&self, id: &str, sequence: u64) -> bool {
        let held = self.held.get(id);
        held.is_some_and(|held| held.sequence == sequence)
    }

    /// The course of a job is over.
    pub fn ends(&mut self, id: &str) {
        self.held.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts a job that runs twice in one worker, and one that is given back though it runs here.
    #[test]
    fn a_job_that_is_here_is_not_begun_again() {
        let mut intake = Intake::new(1);
        assert_eq!(intake.arrives("a", 7), Arrival::Begins);
        assert_eq!(intake.arrives("a", 7), Arrival::IsHere);
        intake.stop();
        assert_eq!(intake.arrives("a", 7), Arrival::IsHere);
        // The same name, submitted again.
        assert_eq!(intake.arrives("a", 8), Arrival::GoesBack(Some(NO_ROOM)));
        intake.ends("a");
        assert_eq!(intake.arrives("a", 8), Arrival::GoesBack(None));
    }

    /// Hunts a job that is buried while it runs, and one that is never buried as another has its name.
    #[test]
    fn a_job_is_held_by_name_and_number() {
        let mut intake = Intake::new(1);
        assert!(!intake.holds("a", 7));
        assert_eq!(intake.arrives("a", 7), Arrival::Begins);
        assert!(intake.holds("a", 7));
        assert!(!intake.holds("a", 8) && !intake.holds("b", 7));
        intake.ends("a");
        assert!(!intake.holds("a", 7));
    }

    /// Hunts more jobs than there is room for, and a worker that never asks again.
    #[test]
    fn room_is_kept_and_asked_for() {
        let mut intake = Intake::new(8);
        let at = Duration::from_secs;
        assert_eq!(intake.room(), 8);
        intake.asks(8, at(0));
        assert_eq!(intake.room(), 0);
        for id in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            intake.receives();
            assert_eq!(intake.arrives(id, 1), Arrival::Begins);
        }
        assert_eq!(intake.arrives("i", 1), Arrival::GoesBack(Some(NO_ROOM)));
        intake.ends("a");
        assert_eq!(intake.room(), 1);
        intake.asks(1, at(0));
        // Two more are no good part of 8; three are.
        for (id, room) in [("b", 0), ("c", 0), ("d", 3)] {
            intake.ends(id);
            assert_eq!(intake.room(), room, "{id}");
        }
        intake.request_ends(None);
        assert_eq!(intake.room(), 4);
        intake.asks(4, at(0));
        intake.looks(at(35), false);
        assert_eq!(intake.room(), 0);
        intake.looks(at(36), false);
        assert_eq!(intake.room(), 4);
        intake.looks(at(36), true);
        assert_eq!(intake.room(), 1);
        intake.stop();
        assert_eq!(intake.room(), 0);
    }

    /// Hunts a cancel that comes too early to be heard.
    #[test]
    fn a_cancel_is_kept_from_the_arrival_on() {
        let mut intake = Intake::new(1);
        assert!(!intake.cancel("a"));
        let _ = intake.arrives("a", 1);
        assert!(!intake.is_cancelled("a"));
        assert!(intake.cancel("a") && intake.is_cancelled("a"));
        intake.ends("a");
        assert!(!intake.is_cancelled("a"));
    }
}
