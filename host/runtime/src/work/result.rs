//! What came of a job, and how it is written into a message and read from one.

use async_nats::HeaderMap;
use bytes::Bytes;

use super::names::{EXIT_CODE, REASON, STATUS};
use super::status::JobStatus;
use crate::base::text;
use crate::instance::ended::Outcome;
use crate::instance::error::RunError;

/// What came of a job.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct JobResult {
    /// How it ended.
    pub status: JobStatus,
    /// What the task returned, its own error included.
    pub bytes: Bytes,
    /// The exit code that `hart run` would have: 0 where all went well.
    pub exit_code: i32,
    /// Why it did not end well, in one line; empty otherwise. Parts of it come from guests and from those who submit jobs,
    /// with control characters escaped.
    pub reason: String,
}

impl JobResult {
    fn new(status: JobStatus, exit_code: i32, reason: &str) -> Self {
        Self {
            status,
            bytes: Bytes::new(),
            exit_code,
            reason: text::line(reason),
        }
    }

    pub(super) fn failed(exit_code: i32, reason: &str) -> Self {
        Self::new(JobStatus::Failed, exit_code, reason)
    }

    pub(super) fn cancelled() -> Self {
        Self::new(JobStatus::Cancelled, 130, "cancelled")
    }

    /// Of a run that has ended, cancelled or not.
    pub(super) fn of(ended: Result<Outcome, RunError>) -> Self {
        match ended {
            Ok(Outcome {
                returned: Some(Ok(bytes)),
                ..
            }) => Self {
                bytes: bytes.into(),
                ..Self::new(JobStatus::Ok, 0, "")
            },
            Ok(Outcome {
                returned: Some(Err(bytes)),
                ..
            }) => Self {
                reason: said(&bytes),
                bytes: bytes.into(),
                ..Self::new(JobStatus::Error, 1, "")
            },
            Ok(Outcome { exit_code: 0, .. }) => Self::new(JobStatus::Ok, 0, ""),
            Ok(Outcome { exit_code, .. }) => Self::new(
                JobStatus::Error,
                exit_code,
                &format!("the task exited with the code {exit_code}"),
            ),
            Err(RunError::Cancelled) => Self::cancelled(),
            Err(error) => Self::failed(error.exit_code(), &error.to_string()),
        }
    }

    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(STATUS, self.status.name());
        headers.insert(EXIT_CODE, self.exit_code.to_string());
        if !self.reason.is_empty() {
            headers.insert(REASON, self.reason.as_str());
        }
        headers
    }

    /// Stands for a stored message that is no result. It is the first of its subject, so no other can be stored.
    pub(super) fn unreadable() -> Self {
        Self::failed(1, "the result that is stored cannot be read")
    }

    /// The result of a message.
    pub(super) fn read(headers: Option<&HeaderMap>, bytes: Bytes) -> Self {
        Self::parse(headers, bytes).unwrap_or_else(Self::unreadable)
    }

    fn parse(headers: Option<&HeaderMap>, bytes: Bytes) -> Option<Self> {
        let header = |name| headers?.get(name).map(|value| value.as_str());
        let status = header(STATUS)?;
        let status = JobStatus::ALL
            .into_iter()
            .find(|known| known.name() == status)?;
        Some(Self {
            status,
            bytes,
            exit_code: header(EXIT_CODE)?.parse().ok()?,
            reason: text::line(header(REASON).unwrap_or_default()),
        })
    }
}

/// What a task's own error says, where it is one that the libraries for guests write: see `guest/README.md`.
fn said(error: &[u8]) -> String {
    let text = match error.split_first() {
        Some((1 | 2, text)) => std::str::from_utf8(text).ok(),
        _ => None,
    };
    text::line(text.unwrap_or("the task returned an error"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts a part of a result that does not arrive.
    #[test]
    fn what_is_written_is_read() {
        for status in JobStatus::ALL {
            let result = JobResult {
                bytes: Bytes::from_static(b"x"),
                ..JobResult::new(status, 134, "a\nb")
            };
            let read = JobResult::read(Some(&result.headers()), result.bytes.clone());
            assert_eq!(read, result);
            assert_eq!(result.reason, "a\\nb");
        }
        assert_eq!(said(b"\x01no such file"), "no such file");
        assert_eq!(said(b"\x00\xff"), "the task returned an error");
    }

    /// Hunts a message that is taken for no result: then its job is stored again for ever.
    #[test]
    fn what_cannot_be_read_is_a_failure() {
        let failed = |read: JobResult| (read.status, read.exit_code, read.reason.is_empty());
        let none = JobResult::read(None, Bytes::new());
        assert_eq!(failed(none), (JobStatus::Failed, 1, false));
        for (status, code) in [("strange", "0"), ("ok", "none"), ("", "")] {
            let mut headers = HeaderMap::new();
            headers.insert(STATUS, status);
            headers.insert(EXIT_CODE, code);
            let read = JobResult::read(Some(&headers), Bytes::from_static(b"x"));
            assert_eq!(
                failed(read),
                (JobStatus::Failed, 1, false),
                "{status} {code}"
            );
        }
    }
}
