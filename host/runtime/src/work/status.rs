//! How a job ended, in one word.

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JobStatus {
    /// The task returned.
    Ok,
    /// The task returned an error of its own, or exited with a code other than 0.
    Error,
    /// The task trapped or reached a limit, or the job could not be run at all. There is a dead letter.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl JobStatus {
    /// All of them.
    #[cfg(feature = "nats")]
    pub(crate) const ALL: [Self; 4] = [Self::Ok, Self::Error, Self::Failed, Self::Cancelled];

    /// Its name, as the header `Hart-Status` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}
