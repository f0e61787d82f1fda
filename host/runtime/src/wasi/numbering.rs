//! Numbers of a service's instances, which its guests and the log are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::text;
use crate::quota::account::payer::Payer;
use crate::wasi::stdio::{Lines, Sink};

/// What each line of a service's guests begins with on standard output and standard error, so that one can tell whose it
/// is.
///
/// Where there is a prefix, a line is written in one piece, when it ends: lines of different instances never mix. What the
/// guest has not ended is a line when its request ends, and one longer than 64 KiB is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogPrefix {
    /// Nothing: what guests write passes unchanged.
    #[default]
    None,
    /// The stream and the number of the instance, as `wasmtime serve` has it: `stdout [0] :: `.
    Instance,
    /// The service's name as well: `stdout [name 0] :: `.
    Named,
}

/// The variable that has the number.
pub(super) const VARIABLE: &str = "INSTANCE_ID";

/// Tells the instances of a service apart.
#[derive(Clone)]
pub(crate) struct Numbering {
    next: Arc<AtomicU64>,
    /// What comes before the number in a prefix, if there is one.
    label: Option<String>,
}

/// What one instance is known by.
pub(crate) struct Known {
    pub(super) number: Option<u64>,
    pub(super) stdout: Option<Arc<Lines>>,
    pub(super) stderr: Option<Arc<Lines>>,
}

impl Numbering {
    /// The numbers of a service with this name: those that are `next`.
    pub(crate) fn new(next: &Arc<AtomicU64>, prefix: LogPrefix, name: &str) -> Self {
        Self {
            next: next.clone(),
            label: match prefix {
                LogPrefix::None => None,
                LogPrefix::Instance => Some(String::new()),
                LogPrefix::Named => Some(format!("{} ", text::name(name))),
            },
        }
    }

    /// A number that no other instance has.
    pub(super) fn next(&self) -> u64 {
        // Relaxed: nothing else is published with it.
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// What the instance with this number is known by. Where it has no prefix, its output may be in whole lines all the
    /// same.
    pub(super) fn known(
        &self,
        number: u64,
        outputs: (&Sink, &Sink),
        payer: &Arc<Payer>,
        whole_lines: bool,
    ) -> Known {
        let prefix = |stream: &str| {
            let label = self.label.as_ref();
            let prefix = label.map(|label| format!("{stream} [{label}{number}] :: "));
            prefix.or_else(|| whole_lines.then(String::new))
        };
        Known {
            number: Some(number),
            ..Known::new(outputs, payer, prefix)
        }
    }
}

impl Known {
    fn new(
        (stdout, stderr): (&Sink, &Sink),
        payer: &Arc<Payer>,
        prefix: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let lines = |stream: &str, sink: &Sink| {
            let prefix = prefix(stream).filter(|_| !matches!(sink, Sink::Null))?;
            Some(Arc::new(Lines::new(sink, payer, prefix)))
        };
        Self {
            number: None,
            stdout: lines("stdout", stdout),
            stderr: lines("stderr", stderr),
        }
    }

    pub(super) fn without_number(
        outputs: (&Sink, &Sink),
        payer: &Arc<Payer>,
        whole_lines: bool,
    ) -> Self {
        Self::new(outputs, payer, |_| whole_lines.then(String::new))
    }

    /// What was written of lines that have not ended is all that comes of them.
    pub(crate) fn end_lines(&self) {
        for lines in self.stdout.iter().chain(&self.stderr) {
            lines.end();
        }
    }
}
