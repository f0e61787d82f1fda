//! The process's own standard output and error.
//!
//! One thread for each of the two writes what the kernel does not take at once, some of each queue in turn. Only this
//! thread waits for the reader. `busy` says that it writes. A run that was killed leaves its queues to it, within [`LEFT`].

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::queue::{Destination, Queue, join};
use crate::base::sync::lock;
use crate::quota::account::Account;

/// Writes up to this size are tried without the thread. A pipe takes all or nothing of so many bytes.
const SMALL: usize = 4096;

/// Bytes of runs that were killed which are kept to be written, for each stream. Guessed.
const LEFT: u64 = 1 << 20;

/// One of the process's streams.
pub(crate) struct End {
    name: &'static str,
    which: Which,
    work: Mutex<Work>,
    /// There is a queue to write.
    some: Condvar,
    /// The thread has written something.
    wrote: Condvar,
    /// The kernel cannot write to it without waiting.
    always_waits: AtomicBool,
    /// Bytes left by runs that were killed. Relaxed: a bound, nothing is published through it.
    left: AtomicU64,
}

#[derive(Clone, Copy)]
enum Which {
    Stdout,
    Stderr,
}

#[derive(Default)]
struct Work {
    queues: VecDeque<Arc<Queue>>,
    started: bool,
    busy: bool,
    /// Bytes that the thread has written.
    progress: u64,
}

pub(crate) static STDOUT: End = End::new("hart-stdout", Which::Stdout);
pub(crate) static STDERR: End = End::new("hart-stderr", Which::Stderr);

/// Waits until what guests wrote to this process's standard output and error ([`Stdio::Inherit`](crate::Stdio::Inherit))
/// is written; says whether all of it is.
///
/// A run that ends by itself has waited for that. A run that was killed or reached a limit leaves up to 64 KiB, and this
/// is for the end of a program that should not lose them. It gives up when the reader takes nothing for as long as
/// `grace`, or after five times `grace`.
///
/// Blocks this thread: not for async code.
///
/// ```
/// use std::time::Duration;
///
/// assert!(hart_host::flush_output(Duration::from_secs(1)), "nothing was written");
/// ```
pub fn flush_output(grace: Duration) -> bool {
    // More makes no difference, and cannot be added to a time.
    let grace = grace.min(Duration::from_secs(1 << 24));
    let last = Instant::now() + grace * 5;
    // Both in any case.
    let stdout = STDOUT.flush(grace, last);
    STDERR.flush(grace, last) && stdout
}

// === impl End ===

impl End {
    const fn new(name: &'static str, which: Which) -> Self {
        Self {
            name,
            which,
            work: Mutex::new(Work {
                queues: VecDeque::new(),
                started: false,
                busy: false,
                progress: 0,
            }),
            some: Condvar::new(),
            wrote: Condvar::new(),
            always_waits: AtomicBool::new(false),
            left: AtomicU64::new(0),
        }
    }

    /// Calls `f` with the descriptor, past the buffer that Rust has for it.
    fn on_fd<R>(&self, f: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
        match self.which {
            Which::Stdout => f(io::stdout().as_fd()),
            Which::Stderr => f(io::stderr().as_fd()),
        }
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.on_fd(|fd| io::IsTerminal::is_terminal(&fd))
    }

    /// Writes all of `bytes`, and waits for the reader on this thread.
    pub(crate) fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        /// Between two looks at a stream that was made non-blocking. Guessed.
        const LOOK: Duration = Duration::from_millis(1);

        while !bytes.is_empty() {
            match self.on_fd(|fd| rustix::io::write(fd, bytes)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = &bytes[written..];
                    self.lock().progress += written as u64;
                    self.wrote.notify_all();
                }
                Err(rustix::io::Errno::INTR) => {}
                // Somebody who shares the stream has made it non-blocking.
                Err(rustix::io::Errno::AGAIN) => std::thread::sleep(LOOK),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        lock(&self.work)
    }

    /// The thread.
    fn run(&self) {
        loop {
            let mut work = self.lock();
            work.busy = false;
            self.wrote.notify_all();
            let queue = loop {
                match work.queues.pop_front() {
                    Some(queue) => break queue,
                    None => {
                        work = self.some.wait(work).unwrap_or_else(PoisonError::into_inner);
                    }
                }
            };
            work.busy = true;
            drop(work);
            let taken = queue.take();
            let result = self.write(&join(&taken));
            if queue.wrote(taken, result) {
                self.lock().queues.push_back(queue);
            }
        }
    }

    fn flush(&self, grace: Duration, last: Instant) -> bool {
        let mut work = self.lock();
        loop {
            if !work.busy && work.queues.is_empty() {
                return true;
            }
            let before = work.progress;
            let until = last.min(Instant::now() + grace);
            while work.progress == before && (work.busy || !work.queues.is_empty()) {
                let Some(rest) = until.checked_duration_since(Instant::now()) else {
                    return false;
                };
                let waited = self.wrote.wait_timeout(work, rest);
                work = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}

impl Destination for &'static End {
    fn is_terminal(&self) -> bool {
        End::is_terminal(self)
    }

    /// Has the kernel take it.
    fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        use rustix::io::{Errno, ReadWriteFlags};

        /// Where the stream is: it may be none that has places.
        const HERE: u64 = u64::MAX;

        // Relaxed: a hint that saves a system call.
        if bytes.len() > SMALL || self.always_waits.load(Ordering::Relaxed) {
            return Ok(0);
        }
        let work = self.lock();
        if work.busy {
            return Ok(0);
        }
        let bytes = [io::IoSlice::new(bytes)];
        match self.on_fd(|fd| rustix::io::pwritev2(fd, &bytes, HERE, ReadWriteFlags::NOWAIT)) {
            Ok(written) => Ok(written),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::SPIPE) => {
                self.always_waits.store(true, Ordering::Relaxed);
                Ok(0)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Has the thread come for this queue.
    fn list(&self, queue: Arc<Queue>, _account: &Arc<Account>) -> io::Result<()> {
        let end: &'static End = self;
        let mut work = end.lock();
        if !work.started {
            let thread = std::thread::Builder::new().name(end.name.into());
            thread.spawn(move || end.run())?;
            work.started = true;
        }
        work.queues.push_back(queue);
        end.some.notify_one();
        Ok(())
    }

    fn keeps(&self, bytes: u64) -> bool {
        let keeps = self.left.fetch_add(bytes, Ordering::Relaxed) + bytes <= LEFT;
        if !keeps {
            self.left.fetch_sub(bytes, Ordering::Relaxed);
        }
        keeps
    }

    fn wrote_kept(&self, bytes: u64) {
        self.left.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("End").field(&self.name).finish()
    }
}
