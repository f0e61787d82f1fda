//! The promises that are checked, and the report of a broken one.

use crate::trace::Record;
use std::fmt;

/// A promise that is checked after every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Oracle {
    /// At most one worker polls a task at a time.
    PolledOnce,
    /// A task is polled only if it was spawned or woken since its last poll.
    PolledForAReason,
    /// A wake leads to a poll: a runnable task is not forgotten.
    WokenIsPolled,
    /// No hart sleeps while a task is queued, unless another hart is on its way to it.
    NoIdleBesideWork,
    /// A queued task is not passed over forever.
    NoStarvation,
    /// After a close nothing is polled and no future is left.
    Close,
    /// A cancel drops the future at once, or after its current poll.
    Cancel,
    /// A task ends exactly once, and its joiner is told how.
    EndsOnce,
    /// A spawn that fails gives the true reason.
    Spawn,
    /// Shares of CPU time follow weights, within the bound.
    Shares,
    /// Groups are charged what they used.
    Accounting,
    /// No worker panics.
    NoPanic,
    /// The machine comes to an end.
    Progress,
    /// At the end nothing is left: futures, outputs, memory.
    NothingLeft,
    /// The workload's own expectation holds.
    Workload,
    /// A guest that no fault has hit ends well.
    Guest,
    /// A service that no fault has hit answers every request whose client stays.
    Answered,
}

impl Oracle {
    /// What it expects, in a few words.
    pub fn expects(self) -> &'static str {
        match self {
            Self::PolledOnce => "a task is polled by one worker at a time",
            Self::PolledForAReason => "a task is polled only after a spawn or a wake",
            Self::WokenIsPolled => "a wake leads to another poll",
            Self::NoIdleBesideWork => {
                "no hart sleeps beside queued work, unless another is on its way to it"
            }
            Self::NoStarvation => "a queued task is polled after a bounded number of others",
            Self::Close => "after a close nothing is polled and every future is dropped",
            Self::Cancel => "a cancel drops the future at once, or after its current poll",
            Self::EndsOnce => "every task ends once and its joiner is told how",
            Self::Spawn => "a spawn that fails gives the true reason",
            Self::Shares => "shares of CPU time follow weights",
            Self::Accounting => "groups are charged what they used",
            Self::NoPanic => "no worker panics",
            Self::Progress => "the machine comes to an end",
            Self::NothingLeft => "nothing is left at the end",
            Self::Workload => "the workload's own expectation holds",
            Self::Guest => "the guest exits with 0",
            Self::Answered => "the guest answers every request whose client stays",
        }
    }
}

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A promise that was broken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// Which promise.
    pub oracle: Oracle,
    /// What was seen.
    pub seen: String,
    /// After how many steps.
    pub step: u64,
    /// At which virtual nanosecond.
    pub at: u64,
    /// The last events.
    pub last: Vec<Record>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "oracle {} failed at step {} ({} ns)",
            self.oracle, self.step, self.at
        )?;
        writeln!(f, "  expected: {}", self.oracle.expects())?;
        writeln!(f, "  seen:     {}", self.seen)?;
        writeln!(f, "  last events:")?;
        for record in &self.last {
            writeln!(f, "    {record}")?;
        }
        Ok(())
    }
}
