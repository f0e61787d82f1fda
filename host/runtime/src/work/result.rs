//! What came of a job, and how it is written into a message and read from one.

use async_nats::HeaderMap;
use bytes::Bytes;

use super::names::{EXIT_CODE, REASON, STATUS, WHY};
use super::status::JobStatus;
use crate::base::text;
use crate::instance::ended::{Ended, Outcome};
use crate::instance::error::RunError;
use crate::quota::kill::Kill;
use crate::quota::limits::{LimitKind, LimitReached, Limits};

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
    /// What ended the task, where that is known and it did not return.
    pub(super) why: Option<Why>,
}

/// What ended a task that did not return: what its joiner is told of it, if it has one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Why {
    Trap,
    Fuel,
    Memory,
    Time,
    Exit,
}

impl Why {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Trap, "trap"),
        (Self::Fuel, "fuel"),
        (Self::Memory, "memory"),
        (Self::Time, "time"),
        (Self::Exit, "exit"),
    ];

    fn of(error: &RunError) -> Option<Self> {
        match error {
            RunError::Trapped { .. } => Some(Self::Trap),
            RunError::OutOfFuel(_) => Some(Self::Fuel),
            RunError::OutOfMemory(_) => Some(Self::Memory),
            RunError::TimedOut(_) => Some(Self::Time),
            _ => None,
        }
    }
}

impl JobResult {
    fn new(status: JobStatus, exit_code: i32, reason: &str) -> Self {
        Self {
            status,
            bytes: Bytes::new(),
            exit_code,
            reason: text::line(reason),
            why: None,
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
            Ok(Outcome { exit_code, .. }) => {
                let reason = format!("the task exited with the code {exit_code}");
                Self {
                    why: Some(Why::Exit),
                    ..Self::new(JobStatus::Error, exit_code, &reason)
                }
            }
            Err(RunError::Cancelled) => Self::cancelled(),
            Err(error) => Self {
                why: Why::of(&error),
                ..Self::failed(error.exit_code(), &error.to_string())
            },
        }
    }

    /// How the task ended, for who joins it. It had these limits.
    pub(super) fn ended(self, limits: &Limits) -> Ended {
        let limit = |limit, value: Option<u64>| {
            Ended::Limit(LimitReached::new(limit, value.unwrap_or_default()))
        };
        match (self.status, self.why) {
            (JobStatus::Ok, _) => Ended::Returned(self.bytes.into()),
            (JobStatus::Cancelled, _) => Ended::Killed(Kill::Cancelled),
            (_, Some(Why::Exit)) => Ended::Exit(self.exit_code),
            (JobStatus::Error, _) => Ended::Failed(self.bytes.into()),
            (_, Some(Why::Trap)) => Ended::Trapped {
                trap: match self.reason.strip_prefix("trapped: ") {
                    Some(trap) => trap.to_owned(),
                    None => self.reason,
                },
                backtrace: String::new(),
                source: None,
            },
            (_, Some(Why::Fuel)) => limit(LimitKind::TaskFuel, limits.task_fuel),
            (_, Some(Why::Memory)) => limit(LimitKind::TaskMemory, limits.task_memory),
            (_, Some(Why::Time)) => Ended::Limit(LimitReached::time(
                LimitKind::TaskTimeout,
                limits.timeout.unwrap_or_default(),
            )),
            (JobStatus::Failed, None) => Ended::Other(self.reason),
        }
    }

    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(STATUS, self.status.name());
        headers.insert(EXIT_CODE, self.exit_code.to_string());
        if !self.reason.is_empty() {
            headers.insert(REASON, self.reason.as_str());
        }
        let named = |why| Why::ALL.into_iter().find(|(known, _)| *known == why);
        if let Some((_, name)) = self.why.and_then(named) {
            headers.insert(WHY, name);
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
            why: header(WHY).and_then(|name| {
                let found = Why::ALL.into_iter().find(|(_, known)| *known == name);
                found.map(|(why, _)| why)
            }),
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

    /// Hunts a task that ends elsewhere in another way than its joiner is told.
    #[test]
    fn a_joiner_is_told_what_a_run_ended_with() {
        let limit = |limit| LimitReached::new(limit, 7);
        let limits = Limits::new().task_fuel(7).task_memory(7);
        let told = |error| {
            let result = JobResult::of(Err(error));
            let read = JobResult::read(Some(&result.headers()), result.bytes);
            read.ended(&limits)
        };
        let trapped = RunError::Trapped {
            trap: "unreachable".into(),
            backtrace: "main".into(),
            source: None,
        };
        assert!(matches!(told(trapped), Ended::Trapped { trap, .. } if trap == "unreachable"));
        for (error, kind) in [
            (
                RunError::OutOfFuel(limit(LimitKind::Fuel)),
                LimitKind::TaskFuel,
            ),
            (
                RunError::OutOfMemory(limit(LimitKind::Memory)),
                LimitKind::TaskMemory,
            ),
        ] {
            assert!(matches!(told(error), Ended::Limit(reached) if reached == limit(kind)));
        }
        let timed_out = RunError::TimedOut(limit(LimitKind::CpuTime));
        assert!(
            matches!(told(timed_out), Ended::Limit(reached) if reached.limit == LimitKind::TaskTimeout)
        );
        let cancelled = told(RunError::Cancelled);
        assert!(matches!(cancelled, Ended::Killed(Kill::Cancelled)));
        assert!(matches!(
            told(RunError::Limit(limit(LimitKind::Depth))),
            Ended::Other(_)
        ));
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
