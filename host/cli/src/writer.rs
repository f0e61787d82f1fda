//! A thread that writes the log to standard error.
//!
//! Logging never blocks. A worker that waited for the reader of the log would stop every guest, and a reader that is gone
//! would end the process. So a thread writes the lines. A line that does not fit its buffer, or cannot be written, is
//! dropped.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that wait to be written. Guessed: a second of `hart=trace` with some hundred tasks.
const MOST: usize = 4 << 20;

/// How long the end of the process waits for a reader. Guessed: one that reads at all is done long before.
const GRACE: Duration = Duration::from_secs(2);

/// Set where the log was started.
static LOG: OnceLock<Arc<Log>> = OnceLock::new();

/// Text on its way to standard error.
#[derive(Debug, Default)]
struct Log {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    text: Vec<u8>,
    /// The thread has text that is not written yet.
    writing: bool,
    /// Lines that did not fit, since the last one that did.
    dropped: u64,
}

/// Starts the thread. From now on `to_stderr` goes through it as well.
///
/// # Errors
/// If there is no thread.
pub(crate) fn start() -> std::io::Result<Line> {
    let log: &Arc<Log> = LOG.get_or_init(Arc::default);
    let writer = log.clone();
    thread::Builder::new()
        .name("hart-log".into())
        .spawn(move || writer.run(std::io::stderr()))?;
    Ok(Line(log))
}

/// Has `text` written in its turn, if there is a log: it comes after the lines before it, and waits for no reader.
pub(crate) fn takes(text: &str) -> bool {
    let log = LOG.get();
    if let Some(log) = log {
        log.push(text.as_bytes(), usize::MAX);
    }
    log.is_some()
}

/// Waits a short time until all is written. The process ends after this.
pub(crate) fn finish() {
    if let Some(log) = LOG.get() {
        log.wait(GRACE);
    }
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line, or drops it where more than `most` bytes wait.
    fn push(&self, line: &[u8], most: usize) {
        let mut state = self.lock();
        if state.text.len().saturating_add(line.len()) > most {
            state.dropped += 1;
            return;
        }
        let dropped = std::mem::take(&mut state.dropped);
        if dropped > 0 {
            let note = format!("hart: {dropped} lines of the log were dropped: nobody read them\n");
            state.text.extend_from_slice(note.as_bytes());
        }
        state.text.extend_from_slice(line);
        drop(state);
        self.changed.notify_all();
    }

    /// The thread: writes what arrives, forever.
    fn run(&self, mut to: impl Write) {
        loop {
            let text = {
                let mut state = self.lock();
                state.writing = false;
                self.changed.notify_all();
                while state.text.is_empty() {
                    let waited = self.changed.wait(state);
                    state = waited.unwrap_or_else(PoisonError::into_inner);
                }
                state.writing = true;
                std::mem::take(&mut state.text)
            };
            // An error cannot be reported: standard error is what failed.
            let _ = to.write_all(&text);
        }
    }

    fn wait(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut state = self.lock();
        while state.writing || !state.text.is_empty() {
            let Some(rest) = until.checked_duration_since(Instant::now()) else {
                return;
            };
            let waited = self.changed.wait_timeout(state, rest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Where a line of the log is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line(&'static Log);

impl Write for Line {
    /// Called once for each line.
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.push(line, MOST);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Passes each write on, and waits for `go` before it returns.
    struct Slow {
        wrote: mpsc::Sender<String>,
        go: mpsc::Receiver<()>,
    }

    impl Write for Slow {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            let _ = self.wrote.send(String::from_utf8_lossy(text).into_owned());
            let _ = self.go.recv();
            Ok(text.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Hunts a log that waits for its reader, one that grows without a bound, and lines that vanish without a word.
    #[test]
    fn who_logs_does_not_wait_for_the_reader() {
        let log = Arc::new(Log::default());
        let (wrote, has_written) = mpsc::channel();
        let (go, may_go) = mpsc::channel();
        let writer = log.clone();
        thread::spawn(move || writer.run(Slow { wrote, go: may_go }));
        log.push(b"one\n", 20);
        assert_eq!(has_written.recv().unwrap(), "one\n");
        // The writer waits now.
        for line in [
            "two\n",
            "three\n",
            "four\n",
            "five five five\n",
            "six six six\n",
        ] {
            log.push(line.as_bytes(), 20);
        }
        log.wait(Duration::ZERO);
        go.send(()).unwrap();
        assert_eq!(has_written.recv().unwrap(), "two\nthree\nfour\n");
        log.push(b"last\n", 20);
        go.send(()).unwrap();
        let said = has_written.recv().unwrap();
        assert!(said.starts_with("hart: 2 lines"), "{said}");
        assert!(said.ends_with("\nlast\n"), "{said}");
        go.send(()).unwrap();
        log.wait(Duration::from_secs(60));
        assert!(!log.lock().writing);
    }
}
