//! What workers and stream promise together, and the report of a broken promise.

use std::fmt;

use super::log::Record;

/// A promise about jobs on several machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Oracle {
    /// A job has one result.
    OneResult,
    /// A job does not leave the stream before its result is there.
    NotLost,
    /// A result says what a run ended with, or what happened to the job.
    TrueResult,
    /// A dead letter is there where the result is a failure, and nowhere else.
    DeadLetter,
    /// A submitter is told the result that is stored.
    Reply,
    /// A machine runs a job once at a time.
    RunsOnce,
    /// A machine has no more jobs than slots.
    Room,
    /// Where no lease can run out, a job is run by one machine at a time; where nothing goes wrong, once.
    RunsAlone,
    /// A job that has a result is not run when it is delivered again, unless the stream did not say so.
    NotAgain,
    /// Once a cancel is confirmed, the job has a result.
    Cancel,
    /// A job that has a result ends everywhere.
    EndsEverywhere,
    /// Everything comes to an end, once nothing goes wrong any more.
    Progress,
}

impl Oracle {
    /// What it expects, in a few words.
    pub fn expects(self) -> &'static str {
        match self {
            Self::OneResult => "a job has one result",
            Self::NotLost => "a job leaves the stream when its result is there",
            Self::TrueResult => "a result says what a run ended with, or what happened to the job",
            Self::DeadLetter => "failures have dead letters, and nothing else has",
            Self::Reply => "a submitter is told the result that is stored",
            Self::RunsOnce => "a machine runs a job once at a time",
            Self::Room => "a machine has no more jobs than slots",
            Self::RunsAlone => {
                "a job is run by one machine at a time where leases hold, and once where nothing goes wrong"
            }
            Self::NotAgain => "a job that has a result is not run again",
            Self::Cancel => "a job whose cancel is confirmed has a result",
            Self::EndsEverywhere => "a job that has a result ends everywhere",
            Self::Progress => "everything comes to an end once nothing goes wrong",
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
    /// After how many events.
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
            "oracle {} failed at event {} ({} ns)",
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
