//! What runs have not yet got rid of: output that waits for a slow reader, while no guest waits on a thread.
//!
//! 1. Every run has a [`Queue`] for each of its streams. A write puts its bytes there in one piece, counted as the run's
//!    memory until they are written. A queue with [`FULL`] bytes takes no more: guests wait for room as futures, so that a
//!    kill reaches them.
//! 2. While a queue is empty, a write first asks its [`Destination`] to take it at once. So a guest that prints to a
//!    reader who keeps up costs one system call.
//! 3. Otherwise the destination has somebody write: `listed` says that they will come. Nobody else writes meanwhile, so
//!    that pieces stay in one piece.
//! 4. `accepted` and `written` count bytes. A flush is done when `written` reaches what `accepted` was.
//! 5. A write that fails is told to the next who writes or flushes. A reader that has gone is told to all.
//! 6. A run that ended by itself has waited for its queues. What becomes of those of a run that was killed is the
//!    destination's to say.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use bytes::{Buf as _, Bytes};

use crate::base::signal::Signal;
use crate::base::sync::lock;
use crate::quota::account::Account;
use crate::quota::limits::LimitReached;

/// Bytes with which a queue counts as full. Guessed: what a pipe holds.
const FULL: usize = 64 << 10;

/// The most bytes that are written at once of one queue. Guessed.
const AT_ONCE: usize = 64 << 10;

/// Where the bytes of a queue go.
pub(super) trait Destination: fmt::Debug + Send + Sync {
    fn is_terminal(&self) -> bool;

    /// Takes what it can of `bytes` without waiting; says how many.
    fn write_now(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Has somebody come for what is in the queue, at the expense of `account` if that costs anything.
    fn list(&self, queue: Arc<Queue>, account: &Arc<Account>) -> io::Result<()>;

    /// A run is gone which has left so many bytes: whether they are written all the same.
    fn keeps(&self, bytes: u64) -> bool;

    /// So many of those are written.
    fn wrote_kept(&self, bytes: u64);
}

/// What a run has not yet got rid of on one stream.
pub(crate) struct Queue {
    destination: Box<dyn Destination>,
    state: Mutex<State>,
    moved: Signal,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<Piece>,
    /// Bytes in `pieces`, and those that are being written.
    held: usize,
    accepted: u64,
    written: u64,
    /// Somebody will come for it.
    listed: bool,
    failed: Option<io::Error>,
    /// The reader has gone.
    closed: bool,
    /// Its run is gone, which has left so many bytes that are written all the same.
    left: u64,
    gone: bool,
}

/// Bytes that count as a run's memory.
pub(super) struct Piece {
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

pub(super) fn join(pieces: &[Piece]) -> Bytes {
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
    pub(super) fn new(destination: impl Destination + 'static) -> Arc<Self> {
        Arc::new(Self {
            destination: Box::new(destination),
            state: Mutex::default(),
            moved: Signal::default(),
        })
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.destination.is_terminal()
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
            let written = self.destination.write_now(&bytes);
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
        state.held += size;
        state.accepted += size as u64;
        let payer = account.clone();
        state.pieces.push_back(Piece {
            bytes,
            account: payer,
        });
        let listed = std::mem::replace(&mut state.listed, true);
        drop(state);
        if !listed && let Err(error) = self.destination.list(self.clone(), account) {
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

    /// Its run is gone.
    pub(crate) fn leave(&self) {
        let mut state = lock(&self.state);
        state.gone = true;
        let bytes: u64 = state
            .pieces
            .iter()
            .map(|piece| piece.bytes.len() as u64)
            .sum();
        match self.destination.keeps(bytes) {
            true => state.left = bytes,
            false => state.discard(),
        }
        drop(state);
        self.moved.notify();
    }

    /// Whether its run is gone.
    pub(super) fn is_left(&self) -> bool {
        lock(&self.state).gone
    }

    /// Nobody will come for it any more.
    pub(super) fn breaks(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        state.discard();
        drop(state);
        self.moved.notify();
    }

    /// Some pieces, in order.
    pub(super) fn take(&self) -> Vec<Piece> {
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
    pub(super) fn wrote(&self, taken: Vec<Piece>, result: io::Result<()>) -> bool {
        let bytes: usize = taken.iter().map(|piece| piece.bytes.len()).sum();
        let mut state = lock(&self.state);
        state.held -= bytes;
        state.written += bytes as u64;
        let left = state.left.min(bytes as u64);
        state.left -= left;
        self.destination.wrote_kept(left);
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
            .field("destination", &self.destination)
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
