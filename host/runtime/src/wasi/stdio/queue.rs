//! The process's own standard output and error, for many guests of which none waits on a thread.
//!
//! 1. Every run has a [`Queue`] for each of the two. A write puts its bytes there in one piece, counted as the run's
//!    memory until they are written. A queue with [`FULL`] bytes takes no more: guests wait for room as futures, so that a
//!    kill reaches them.
//! 2. While a queue is empty, a write first asks the kernel to take it without waiting. So a guest that prints to a
//!    reader who keeps up costs one system call.
//! 3. Otherwise one thread for each stream of the process writes, some of each queue in turn. Only this thread waits for
//!    the reader. `busy` says that it writes: nobody else does meanwhile, so that pieces stay in one piece.
//! 4. `accepted` and `written` count bytes. A flush is done when `written` reaches what `accepted` was.
//! 5. A write that fails is told to the next who writes or flushes. A reader that has gone is told to all.
//! 6. A run that ended by itself has waited for its queues. A run that was killed leaves them to the thread, within
//!    [`LEFT`].

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};

use crate::base::signal::Signal;
use crate::base::sync::lock;
use crate::quota::account::Account;
use crate::quota::limits::LimitReached;

/// Bytes with which a queue counts as full. Guessed: what a pipe holds.
const FULL: usize = 64 << 10;

/// The most bytes that are written at once of one queue. Guessed.
const AT_ONCE: usize = 64 << 10;

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

/// What a run has not yet got rid of on one stream.
pub(crate) struct Queue {
    end: &'static End,
    state: Mutex<State>,
    moved: Signal,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<Piece>,
    /// Bytes in `pieces`, and those that the thread is writing.
    held: usize,
    accepted: u64,
    written: u64,
    /// The thread will come for it.
    listed: bool,
    failed: Option<io::Error>,
    /// The reader has gone.
    closed: bool,
    /// Its run is gone; so many bytes count in `End::left`.
    left: u64,
}

/// Bytes that count as a run's memory.
struct Piece {
    bytes: Bytes,
    account: Arc<Account>,
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.account.release(self.bytes.len() as u64);
    }
}

/// Why bytes were not accepted.
#[derive(Debug)]
pub(crate) enum Refused {
    Io(io::Error),
    Limit(LimitReached),
}

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

    pub(crate) fn is_terminal(&self) -> bool {
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

    /// Has the kernel take what it can of `bytes` without waiting; says how many.
    #[cfg(target_os = "linux")]
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

    #[cfg(not(target_os = "linux"))]
    fn write_now(&self, _bytes: &[u8]) -> io::Result<usize> {
        Ok(0)
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        lock(&self.work)
    }

    /// Has the thread come for this queue.
    fn list(&'static self, queue: Arc<Queue>) -> io::Result<()> {
        let mut work = self.lock();
        if !work.started {
            let thread = std::thread::Builder::new().name(self.name.into());
            thread.spawn(move || self.run())?;
            work.started = true;
        }
        work.queues.push_back(queue);
        self.some.notify_one();
        Ok(())
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

fn join(pieces: &[Piece]) -> Bytes {
    match pieces {
        [piece] => piece.bytes.clone(),
        pieces => {
            let mut all = Vec::with_capacity(pieces.iter().map(|piece| piece.bytes.len()).sum());
            for piece in pieces {
                all.extend_from_slice(&piece.bytes);
            }
            all.into()
        }
    }
}

// === impl Queue ===

impl Queue {
    pub(crate) fn new(end: &'static End) -> Arc<Self> {
        Arc::new(Self {
            end,
            state: Mutex::default(),
            moved: Signal::default(),
        })
    }

    pub(crate) fn end(&self) -> &'static End {
        self.end
    }

    /// Accepts bytes, however full it is.
    pub(crate) fn push(
        self: &Arc<Self>,
        mut bytes: Bytes,
        account: &Arc<Account>,
    ) -> Result<(), Refused> {
        let mut state = lock(&self.state);
        state.failure().map_err(Refused::Io)?;
        if bytes.is_empty() {
            return Ok(());
        }
        if state.held == 0 {
            let written = self.end.write_now(&bytes);
            let written = written.map_err(|error| Refused::Io(state.note(error)))?;
            state.accepted += written as u64;
            state.written += written as u64;
            bytes.advance(written);
            if bytes.is_empty() {
                return Ok(());
            }
        }
        let size = bytes.len();
        account.hold(size as u64).map_err(Refused::Limit)?;
        let account = account.clone();
        state.held += size;
        state.accepted += size as u64;
        state.pieces.push_back(Piece { bytes, account });
        let listed = std::mem::replace(&mut state.listed, true);
        drop(state);
        if !listed && let Err(error) = self.end.list(self.clone()) {
            let mut state = lock(&self.state);
            state.listed = false;
            state.discard();
            return Err(Refused::Io(error));
        }
        Ok(())
    }

    /// Whether it takes more; an error that nobody was told of is told now.
    pub(crate) fn has_room(&self) -> io::Result<bool> {
        let mut state = lock(&self.state);
        state.failure()?;
        Ok(state.held < FULL)
    }

    /// Bytes that were accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        lock(&self.state).accepted
    }

    /// Whether as many bytes are written, or never will be.
    pub(crate) fn has_written(&self, bytes: u64) -> bool {
        let state = lock(&self.state);
        state.written >= bytes || state.is_failed()
    }

    /// Whether there is room, or something to be told.
    pub(crate) fn is_ready(&self) -> bool {
        let state = lock(&self.state);
        state.held < FULL || state.is_failed()
    }

    /// Notified when any of these may have changed.
    pub(crate) fn moved(&self) -> &Signal {
        &self.moved
    }

    /// Its run is gone: what it has not written is kept if that is not too much.
    pub(crate) fn leave(&self) {
        let mut state = lock(&self.state);
        let bytes: u64 = state
            .pieces
            .iter()
            .map(|piece| piece.bytes.len() as u64)
            .sum();
        if self.end.left.fetch_add(bytes, Ordering::Relaxed) + bytes > LEFT {
            self.end.left.fetch_sub(bytes, Ordering::Relaxed);
            state.discard();
        } else {
            state.left = bytes;
        }
    }

    /// Some pieces, in order.
    fn take(&self) -> Vec<Piece> {
        let mut state = lock(&self.state);
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(piece) = state
            .pieces
            .pop_front_if(|piece| bytes == 0 || bytes + piece.bytes.len() <= AT_ONCE)
        {
            bytes += piece.bytes.len();
            taken.push(piece);
        }
        taken
    }

    /// What became of them; says whether there is more to write.
    fn wrote(&self, taken: Vec<Piece>, result: io::Result<()>) -> bool {
        let bytes: usize = taken.iter().map(|piece| piece.bytes.len()).sum();
        let mut state = lock(&self.state);
        state.held -= bytes;
        state.written += bytes as u64;
        let left = state.left.min(bytes as u64);
        state.left -= left;
        self.end.left.fetch_sub(left, Ordering::Relaxed);
        if let Err(error) = result {
            let error = state.note(error);
            state.failed = (!state.closed).then_some(error);
        }
        let more = !state.pieces.is_empty();
        state.listed = more;
        drop(state);
        drop(taken);
        self.moved.notify();
        more
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("end", &self.end.name)
            .finish_non_exhaustive()
    }
}

// === impl State ===

impl State {
    fn is_failed(&self) -> bool {
        self.closed || self.failed.is_some()
    }

    /// What went wrong, told once; that the reader has gone is told every time.
    fn failure(&mut self) -> io::Result<()> {
        if self.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.failed.take().map_or(Ok(()), Err)
    }

    /// A write has failed with `error`.
    fn note(&mut self, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::BrokenPipe {
            self.closed = true;
            self.discard();
        }
        error
    }

    /// Nothing more will be written of what there is.
    fn discard(&mut self) {
        for piece in self.pieces.drain(..) {
            self.held -= piece.bytes.len();
            self.written += piece.bytes.len() as u64;
        }
    }
}
