//! Lines of one instance, each of which begins with a prefix, as a server's log has them.
//!
//! wasmtime's server writes a part of a line at once, so that lines of two instances can mix. Here a line is written in
//! one piece, when it ends. Until then it is kept, counted as the run's memory.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};

use crate::base::sync::lock;
use crate::quota::account::Account;
use crate::quota::account::payer::Payer;
use crate::quota::limits::LimitReached;

use super::queue::Refused;
use super::sink::Sink;

/// The most bytes that are kept of a line. One that goes on is cut: the rest is a line of its own.
const LINE: usize = 64 << 10;

/// Lines are handed on once they are so many bytes: the prefixes of a thousand empty lines are more than the guest wrote.
const AT_ONCE: usize = 64 << 10;

/// One output stream of one instance, whoever writes to it.
pub(crate) struct Lines {
    sink: Sink,
    payer: Arc<Payer>,
    prefix: String,
    rest: Mutex<Rest>,
}

/// The line that has not ended.
#[derive(Default)]
struct Rest {
    bytes: Vec<u8>,
    /// There while there are bytes.
    held: Option<Held>,
}

/// Bytes that count as a run's memory.
struct Held {
    account: Arc<Account>,
    bytes: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.account.release(self.bytes);
    }
}

impl Lines {
    pub(crate) fn new(sink: &Sink, payer: &Arc<Payer>, prefix: String) -> Self {
        Self {
            sink: sink.clone(),
            payer: payer.clone(),
            prefix,
            rest: Mutex::default(),
        }
    }

    /// How many bytes are written for `bytes` besides those.
    pub(super) fn adds_to(&self, bytes: &[u8]) -> u64 {
        let ends = bytes.iter().filter(|byte| **byte == b'\n').count();
        ends as u64 * self.prefix.len() as u64
    }

    /// Writes the lines that end in `bytes`, and keeps what begins one.
    pub(super) fn put(&self, bytes: &[u8]) -> Result<(), Refused> {
        let account = self.payer.account();
        let mut rest = lock(&self.rest);
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if part.ends_with(b"\n") {
                lines.extend_from_slice(self.prefix.as_bytes());
                lines.extend_from_slice(&std::mem::take(&mut *rest).bytes);
                lines.extend_from_slice(part);
            } else {
                if rest.bytes.len() + part.len() > LINE {
                    self.cut(&mut rest, &mut lines);
                }
                rest.keep(part, self.prefix.len(), &account)
                    .map_err(Refused::Limit)?;
            }
            if lines.len() >= AT_ONCE {
                self.sink.put(std::mem::take(&mut lines).into(), &account)?;
            }
        }
        match lines.is_empty() {
            true => Ok(()),
            false => self.sink.put(lines.into(), &account),
        }
    }

    /// Nobody will write the rest of a line: it ends here.
    pub(crate) fn end(&self) {
        let mut rest = lock(&self.rest);
        let Some(account) = rest.held.as_ref().map(|held| held.account.clone()) else {
            return;
        };
        let mut line = Vec::new();
        self.cut(&mut rest, &mut line);
        // The guest has gone: nobody is left to be told.
        let _ = self.sink.put(line.into(), &account);
    }

    /// Makes a line of what there is.
    fn cut(&self, rest: &mut Rest, lines: &mut Vec<u8>) {
        // What is held for it is given back here, and counted again as the sink takes it.
        let bytes = std::mem::take(rest).bytes;
        if !bytes.is_empty() {
            lines.extend_from_slice(self.prefix.as_bytes());
            lines.extend_from_slice(&bytes);
            lines.push(b'\n');
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.end();
    }
}

impl Rest {
    /// Adds `part`, which has room in a line, and counts it before.
    fn keep(
        &mut self,
        part: &[u8],
        prefix: usize,
        account: &Arc<Account>,
    ) -> Result<(), LimitReached> {
        let needed = self.bytes.len() + part.len();
        if needed > self.bytes.capacity() {
            // Twice as many as there were, so that a line of small parts is not copied for each of them.
            let capacity = (self.bytes.capacity() * 2).clamp(needed, LINE.max(needed));
            let more = (capacity - self.bytes.capacity()) as u64;
            match &mut self.held {
                Some(held) => {
                    held.account.hold(more)?;
                    held.bytes += more;
                }
                None => {
                    // As much as the sink will ask for: the end of a line is not refused what it is made of.
                    let bytes = more + prefix as u64 + 1;
                    account.hold(bytes)?;
                    let account = account.clone();
                    self.held = Some(Held { account, bytes });
                }
            }
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(part);
        Ok(())
    }
}
