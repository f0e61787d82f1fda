//! A log of requests or jobs: a line for each. A thread writes them, so that no worker waits for a disk or a pipe.

use crate::failure::Failure;
use crate::output::to_stderr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

/// Lines that wait to be written. Guessed: a tenth of a second of a busy server.
const MOST: usize = 8192;

/// How long the end of the process waits for a reader.
const GRACE: Duration = Duration::from_secs(1);

/// Where lines go. Clones share it.
#[derive(Clone)]
pub(crate) struct LineLog {
    entries: SyncSender<Entry>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Lines that did not fit.
    lost: AtomicU64,
    /// The file is to be opened again: it may have been moved away.
    reopen: AtomicBool,
}

enum Entry {
    Line(String),
    /// All before it is written.
    Mark(mpsc::Sender<()>),
}

enum Output {
    Stdout,
    Stderr,
    File(File),
}

impl LineLog {
    /// Opens `path`, which `option` has given, and starts the thread. Messages call it the `name` log.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn open(path: &Path, option: &str, name: &'static str) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure::usage(format!(
                "cannot be written: {error}; choose another file with {option}"
            ))
            .at(path)
        };
        let output = open(path).map_err(failed)?;
        Self::start(output, path, name).map_err(failed)
    }

    /// One that goes to standard error.
    ///
    /// # Errors
    /// No thread for it.
    pub(crate) fn to_stderr(name: &'static str) -> io::Result<Self> {
        Self::start(Output::Stderr, Path::new(""), name)
    }

    fn start(output: Output, path: &Path, name: &'static str) -> io::Result<Self> {
        let (entries, written) = mpsc::sync_channel(MOST);
        let shared = Arc::<Shared>::default();
        let (of_thread, path_of_thread) = (shared.clone(), path.to_path_buf());
        thread::Builder::new()
            .name(format!("hart-{name}-log"))
            .spawn(move || write(output, &path_of_thread, name, &written, &of_thread))?;
        Ok(Self { entries, shared })
    }

    /// Has a line written, or counts it where too many wait. It never waits itself.
    pub(crate) fn write(&self, line: String) {
        if self.entries.try_send(Entry::Line(line)).is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens the file again before the next line.
    pub(crate) fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Relaxed);
    }

    /// Waits until what was recorded is written, for a short time at most.
    pub(crate) fn finish(&self) {
        let end = Instant::now() + GRACE;
        let (mark, is_written) = mpsc::channel();
        let mut entry = Entry::Mark(mark);
        while let Err(mpsc::TrySendError::Full(back)) = self.entries.try_send(entry) {
            if Instant::now() > end {
                return;
            }
            entry = back;
            thread::sleep(Duration::from_millis(5));
        }
        let _ = is_written.recv_timeout(end.saturating_duration_since(Instant::now()));
    }
}

fn open(path: &Path) -> io::Result<Output> {
    if path == Path::new("-") {
        return Ok(Output::Stdout);
    }
    let mut options = OpenOptions::new();
    Ok(Output::File(options.create(true).append(true).open(path)?))
}

fn write(mut output: Output, path: &Path, name: &str, entries: &Receiver<Entry>, shared: &Shared) {
    let mut has_failed = false;
    for entry in entries {
        if shared.reopen.swap(false, Ordering::Relaxed) {
            match open(path) {
                Ok(opened) => output = opened,
                Err(error) => to_stderr(&format!(
                    "hart: the {name} log {} cannot be opened again: {error}; the old file is used\n",
                    path.display()
                )),
            }
        }
        let line = match entry {
            Entry::Line(line) => line,
            Entry::Mark(mark) => {
                tell_lost(name, shared);
                let _ = mark.send(());
                continue;
            }
        };
        let written = match &mut output {
            Output::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout
                    .write_all(line.as_bytes())
                    .and_then(|()| stdout.flush())
            }
            Output::Stderr => {
                to_stderr(&line);
                Ok(())
            }
            Output::File(file) => file.write_all(line.as_bytes()),
        };
        match written {
            Ok(()) => has_failed = false,
            Err(error) => {
                shared.lost.fetch_add(1, Ordering::Relaxed);
                if !has_failed {
                    to_stderr(&format!(
                        "hart: the {name} log cannot be written: {error}; its lines are lost until it can\n"
                    ));
                }
                has_failed = true;
                continue;
            }
        }
        tell_lost(name, shared);
    }
}

fn tell_lost(name: &str, shared: &Shared) {
    let lines = match shared.lost.swap(0, Ordering::Relaxed) {
        0 => return,
        1 => format!("1 line of the {name} log was"),
        lost => format!("{lost} lines of the {name} log were"),
    };
    to_stderr(&format!(
        "hart: {lines} left out: its file or pipe was full or too slow\n"
    ));
}
