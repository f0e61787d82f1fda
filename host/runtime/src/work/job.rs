//! A job, and how it is written into a message and read from one.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use bytes::Bytes;

use super::bounds;
use super::error::WorkError;
use super::names::{ENTRY, INBOX, REPLY};
use crate::quota::limits::Limits;
use crate::wasi::rights::Rights;

/// The longest name of a task.
const LONGEST_ENTRY: usize = 256;

/// One task that is to be run somewhere, once.
///
/// ```
/// use hart_host::work::Job;
/// use std::time::Duration;
///
/// let job = Job::new("resize", b"..".to_vec()).timeout(Duration::from_secs(10));
/// # drop(job);
/// ```
#[derive(Clone, Debug)]
pub struct Job {
    pub(super) entry: String,
    pub(super) input: Bytes,
    pub(super) id: Option<String>,
    /// What it may use at most.
    pub(super) limits: Limits,
    /// What it may not do.
    pub(super) denied: Rights,
    pub(super) reply: Option<String>,
}

impl Job {
    /// The task called `entry`, with this input.
    pub fn new(entry: impl Into<String>, input: impl Into<Bytes>) -> Self {
        Self {
            entry: entry.into(),
            input: input.into(),
            id: None,
            limits: Limits::new(),
            denied: Rights::default(),
            reply: None,
        }
    }

    /// Its id, which no other job of its app has: a second one of the same id is dropped while the first one waits or
    /// runs, and for two minutes. Default: one that is made up.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The longest that it may run, in whole milliseconds; the app's own limit holds where it is less.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.limits.timeout = Some(timeout);
        self
    }

    /// The CPU time that it may use, in whole milliseconds; the app's own limit holds where it is less.
    pub fn cpu_time(mut self, time: Duration) -> Self {
        self.limits.cpu_time = Some(time);
        self
    }

    /// The bytes of memory that it may use; the app's own limit holds where it is less.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.limits.memory = Some(bytes);
        self
    }

    /// The headers of the message.
    pub(super) fn headers(&self, message_id: &str) -> Result<HeaderMap, WorkError> {
        check_entry(&self.entry).map_err(WorkError::Invalid)?;
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, message_id);
        headers.insert(ENTRY, self.entry.as_str());
        bounds::write(&self.limits, self.denied, &mut headers);
        if let Some(reply) = &self.reply {
            headers.insert(REPLY, reply.as_str());
        }
        Ok(headers)
    }

    /// The job of a message, or what is wrong with it.
    pub(super) fn read(headers: Option<&HeaderMap>, input: Bytes) -> Result<Self, String> {
        let header = |name| headers.and_then(|headers| headers.get(name));
        let text = |name| header(name).map(|value| value.as_str());
        let entry = text(ENTRY).ok_or_else(|| format!("there is no header {ENTRY}"))?;
        check_entry(entry)?;
        let reply = text(REPLY);
        if reply.is_some_and(|reply| !is_inbox(reply)) {
            return Err(format!("the header {REPLY} does not begin with `{INBOX}`"));
        }
        let (limits, denied) = bounds::read(headers)?;
        Ok(Self {
            entry: entry.to_owned(),
            input,
            id: None,
            limits,
            denied,
            reply: reply.map(str::to_owned),
        })
    }
}

fn check_entry(entry: &str) -> Result<(), String> {
    let is_fine =
        !entry.is_empty() && entry.len() <= LONGEST_ENTRY && !entry.chars().any(char::is_control);
    match is_fine {
        true => Ok(()),
        false => Err(format!(
            "the name of the task is empty, longer than {LONGEST_ENTRY} bytes, or has control characters"
        )),
    }
}

fn is_inbox(subject: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"*>".contains(&byte);
    let rest = subject.strip_prefix(INBOX);
    rest.is_some_and(|rest| rest.split('.').all(|part| !part.is_empty()))
        && subject.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Job, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, *value);
        }
        Job::read(Some(&headers), Bytes::new())
    }

    /// Hunts a part of a job that does not arrive.
    #[test]
    fn what_is_written_is_read() {
        let job = Job::new("e", b"in".to_vec()).memory(7);
        let headers = job.headers("a.b").unwrap();
        assert_eq!(headers.get(NATS_MESSAGE_ID).unwrap().as_str(), "a.b");
        let read = Job::read(Some(&headers), job.input.clone()).unwrap();
        assert_eq!((read.entry.as_str(), &read.input[..]), ("e", &b"in"[..]));
        assert_eq!(read.limits, job.limits);
        assert_eq!(
            Job::read(None, Bytes::new()).unwrap_err(),
            "there is no header Hart-Entry"
        );
    }

    /// Hunts jobs that have a worker publish where they may not themselves.
    #[test]
    fn garbage_is_told() {
        assert!(read(&[(ENTRY, "e"), (REPLY, "_INBOX.a.b")]).is_ok());
        for reply in [
            "hart.work.a.b",
            "_INBOX.",
            "_INBOX.*",
            "_INBOX.a b",
            "_INBOX.a..b",
            "",
        ] {
            assert!(read(&[(ENTRY, "e"), (REPLY, reply)]).is_err(), "{reply}");
        }
        assert!(read(&[(ENTRY, "")]).is_err());
        assert!(Job::new("a\nb", Bytes::new()).headers("x").is_err());
    }
}
