//! Who talks to whom, and what is said.

use hart_host::work::JobStatus;

/// Who sends and receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Node {
    /// The server that keeps the jobs and their results.
    Stream,
    /// The program that submits jobs and cancels them.
    Client,
    /// A machine with a worker, by its number.
    Machine(usize),
}

/// The number of a job: the first submitted is 0. It stands for the job's id.
pub type JobNumber = u32;

/// What is said of a job's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Found {
    /// How it ended.
    pub status: JobStatus,
    /// The run that says so; `None` where it is no run's result.
    pub run: Option<u32>,
}

/// The number of a question, which its answer has, too.
pub type RequestNumber = u64;

/// A message from one node to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are named for what they are")]
pub enum Message {
    /// A job is submitted.
    Submit {
        job: JobNumber,
        request: RequestNumber,
    },
    /// A worker asks for jobs, to be sent to an inbox.
    Pull { inbox: u64, batch: usize },
    /// A worker takes nothing more from an inbox.
    Leave { inbox: u64 },
    /// The stream sends a job.
    Delivery {
        inbox: u64,
        sequence: u64,
        job: JobNumber,
        delivered: u64,
    },
    /// A request for jobs is over; so many were not sent.
    PullEnded { inbox: u64, unsent: usize },
    /// The lease of a job begins anew.
    Progress { sequence: u64 },
    /// A job is to be delivered again, at once or after so many nanoseconds.
    Nak { sequence: u64, delay: Option<u64> },
    /// A job is over. The stream says that it knows.
    Ack {
        sequence: u64,
        request: RequestNumber,
    },
    /// A job's message is deleted.
    Delete {
        sequence: u64,
        request: RequestNumber,
    },
    /// The stream did what it was asked to.
    Told { request: RequestNumber },
    /// A worker that stops gives a job back, this delivery of it.
    Return {
        job: JobNumber,
        sequence: u64,
        delivered: u64,
        request: RequestNumber,
    },
    /// How often was a job given back so?
    Count {
        job: JobNumber,
        sequence: u64,
        request: RequestNumber,
    },
    /// So often.
    Counted {
        returned: u64,
        request: RequestNumber,
    },
    /// Is there a result?
    Look {
        job: JobNumber,
        request: RequestNumber,
    },
    /// This is the result.
    Looked {
        found: Option<Found>,
        request: RequestNumber,
    },
    /// A result of the job with this number in the stream.
    Store {
        job: JobNumber,
        sequence: u64,
        found: Found,
        is_first: bool,
        request: RequestNumber,
    },
    /// A dead letter.
    StoreDead {
        job: JobNumber,
        sequence: u64,
        request: RequestNumber,
    },
    /// It is stored, or there was one.
    Stored {
        is_there: bool,
        request: RequestNumber,
    },
    /// Which number does the job have in the stream?
    Find {
        job: JobNumber,
        request: RequestNumber,
    },
    /// This one, if it is there.
    FoundJob {
        sequence: Option<u64>,
        request: RequestNumber,
    },
    /// A job is to end: to all machines, and back from the one that has it.
    Cancel {
        job: JobNumber,
        request: RequestNumber,
    },
    /// A machine has the job.
    CancelHeard { request: RequestNumber },
    /// A job was delivered as often as the stream does that.
    UsedUp { sequence: u64, job: JobNumber },
    /// Which jobs are delivered no more?
    Overview { request: RequestNumber },
    /// The highest number that was delivered, the one up to which no answer is waited for, how many answers are, and the
    /// first job that is there.
    Overviewed {
        delivered: u64,
        ack_floor: u64,
        pending: usize,
        first: Option<(u64, JobNumber)>,
        request: RequestNumber,
    },
    /// What came of a job, to its submitter.
    Reply { job: JobNumber, found: Found },
}
