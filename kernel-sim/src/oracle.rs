//! What must hold, and what is said when it does not.

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
    /// No hart sleeps while a task is queued that nobody is on the way to.
    NoIdleBesideWork,
    /// A queued task is not passed over for ever.
    NoStarvation,
    /// After a close nothing is polled and no future is left.
    Close,
    /// A cancel drops the future at once, or at the end of its present poll.
    Cancel,
    /// A task ends exactly once, and its joiner is told how.
    EndsOnce,
    /// A spawn fails only for the reason that it gives.
    Spawn,
    /// Shares of CPU time follow weights, within the bound.
    Shares,
    /// Groups are charged what they used.
    Accounting,
    /// No worker panics.
    NoPanic,
    /// The machine gets done.
    Progress,
    /// At the end nothing is left: futures, outputs, memory.
    NothingLeft,
    /// What the workload itself expects.
    Workload,
    /// A guest that nothing was done to ends well.
    Guest,
}

impl Oracle {
    /// What it expects, in a few words.
    pub fn expects(self) -> &'static str {
        match self {
            Self::PolledOnce => "a task is polled by one worker at a time",
            Self::PolledForAReason => "a task is polled only after a spawn or a wake",
            Self::WokenIsPolled => "a wake leads to another poll",
            Self::NoIdleBesideWork => "no hart sleeps beside work that nobody is on the way to",
            Self::NoStarvation => "a queued task is polled within a bounded number of others",
            Self::Close => "after a close nothing is polled and every future is dropped",
            Self::Cancel => "a cancel drops the future at once or after its present poll",
            Self::EndsOnce => "every task ends once and its joiner is told how",
            Self::Spawn => "a spawn fails only for the reason given",
            Self::Shares => "shares of CPU time follow weights",
            Self::Accounting => "groups are charged what they used",
            Self::NoPanic => "no worker panics",
            Self::Progress => "the machine gets done",
            Self::NothingLeft => "nothing is left at the end",
            Self::Workload => "the workload's own expectation",
            Self::Guest => "the guest exits with 0",
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
    /// Which.
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
