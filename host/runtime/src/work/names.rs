//! Names of streams, subjects and headers.

use async_nats::Subject;

use super::error::WorkError;

pub(super) const ENTRY: &str = "Hart-Entry";
/// Rights that the task is denied.
pub(super) const DENY: &str = "Hart-Deny";
pub(super) const REPLY: &str = "Hart-Reply";
pub(super) const STATUS: &str = "Hart-Status";
pub(super) const EXIT_CODE: &str = "Hart-Exit-Code";
/// What ended a task that did not return.
pub(super) const WHY: &str = "Hart-Why";
pub(super) const REASON: &str = "Hart-Reason";
/// In a dead letter that does not hold all of its job.
pub(super) const LEFT_OUT: &str = "Hart-Left-Out";

/// What a subject for answers begins with. A worker may publish where those who submit jobs may not, so it sends what they
/// ask for to no other subject.
pub(super) const INBOX: &str = "_INBOX.";

/// The longest name of an app, a job or a stream.
const LONGEST: usize = 64;

/// The names that belong to one queue.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// The stream of jobs.
    pub(super) jobs: String,
    pub(super) results: String,
    pub(super) dead: String,
    /// What all its subjects begin with.
    prefix: String,
}

/// Whether it can be a part of a subject and a name of a consumer.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !name.is_empty() && name.len() <= LONGEST && name.bytes().all(plain)
}

/// Checks the name of a `what`.
pub(super) fn check(what: &'static str, name: &str) -> Result<(), WorkError> {
    match is_plain(name) {
        true => Ok(()),
        false => Err(WorkError::name(what, name)),
    }
}

impl Names {
    pub(super) fn new(stream: &str) -> Result<Self, WorkError> {
        check("stream", stream)?;
        Ok(Self {
            jobs: stream.to_owned(),
            results: format!("{stream}_RESULTS"),
            dead: format!("{stream}_DEAD"),
            prefix: stream.to_ascii_lowercase(),
        })
    }

    pub(super) fn work(&self, app: &str, id: &str) -> String {
        format!("{}.work.{app}.{id}", self.prefix)
    }

    pub(super) fn result(&self, app: &str, id: &str) -> String {
        format!("{}.result.{app}.{id}", self.prefix)
    }

    /// Where it is noted that a worker that stops gave a job back. No job has such an id.
    pub(super) fn returned(&self, app: &str, id: &str, sequence: u64) -> String {
        format!("{}~{sequence}", self.result(app, id))
    }

    pub(super) fn dead(&self, app: &str, id: &str) -> String {
        format!("{}.dead.{app}.{id}", self.prefix)
    }

    pub(super) fn cancel(&self, app: &str, id: &str) -> String {
        format!("{}.cancel.{app}.{id}", self.prefix)
    }

    /// The app and the id that a subject of this queue ends with.
    pub(super) fn parts<'a>(&self, subject: &'a Subject) -> Option<(&'a str, &'a str)> {
        let rest = subject.as_str().strip_prefix(&self.prefix)?;
        let mut parts = rest.strip_prefix('.')?.split('.').skip(1);
        let (app, id) = (parts.next()?, parts.next()?);
        let is_whole = parts.next().is_none() && is_plain(app) && is_plain(id);
        is_whole.then_some((app, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts names that reach into other subjects, and subjects that are taken for others.
    #[test]
    fn names_are_parts_of_subjects() {
        let names = Names::new("HART").unwrap();
        let parts = |subject: &str| {
            let subject = Subject::from(subject);
            let found = names.parts(&subject);
            found.map(|(app, id)| (app.to_owned(), id.to_owned()))
        };
        let whole = parts(&names.work("a", "b-1"));
        assert_eq!(whole, Some(("a".into(), "b-1".into())));
        for other in [
            "hart.work.a",
            "hart.work.a.b.c",
            "x.work.a.b",
            "hart.work.a.*",
        ] {
            assert_eq!(parts(other), None, "{other}");
        }
        for name in ["", "a.b", "*", ">", "a b", "é", &"a".repeat(65)] {
            assert!(check("app", name).is_err(), "{name}");
        }
        assert_eq!(Names::new("TWO").unwrap().work("a", "b"), "two.work.a.b");
    }
}
