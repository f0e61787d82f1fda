//! Room for a guest's handles, reserved from its run before they are made.
//!
//! All of WASI and `hart:exec` put what a guest has a handle of into the store's resource table, and children of it as
//! well. The table gets no larger than what is reserved, whoever puts something into it: a call that finds no room fails
//! with [`ResourceTableError::Full`](wasmtime::component::ResourceTableError), which ends the guest.
//!
//! # Protocol
//!
//! 1. Whoever gets at the table does so through [`make_room`](Handles::make_room), which sees to it that there are free
//!    entries for one call. The table does not tell how many it has, so they are counted: again once calls since may have
//!    taken those that were free.
//! 2. Where no more can be reserved, the reason stays for whoever asks why the table is full.
//! 3. A table does not shrink: what it has grown to counts until it is gone.

use std::sync::Arc;

use wasmtime::component::ResourceTable;

use crate::instance::guest::Guest;
use crate::quota::account::{Account, Need};
use crate::quota::limits::{LimitReached, Limits};

/// Entries that one host call may add, and more than any of WASI does. One that adds more finds those that later calls
/// would have had.
const BY_ONE_CALL: usize = 4;

/// The most entries that are reserved at once beyond need. Guessed.
const AHEAD: usize = 1024;

/// Calls without a look after room was refused: a look at a full table is long, and finds nothing.
const PAUSE: usize = 64;

/// What is reserved for the handles of one store.
pub(crate) struct Handles {
    account: Arc<Account>,
    /// Entries that the table may have.
    room: usize,
    /// Entries that were free at the last look, less what calls since may have taken.
    free: usize,
}

impl Handles {
    /// No room yet: a task that only computes needs none.
    pub(crate) fn new(account: &Arc<Account>) -> Self {
        Self {
            account: account.clone(),
            room: 0,
            free: 0,
        }
    }

    /// A table that fits: it can take nothing.
    pub(crate) fn table() -> ResourceTable {
        let mut table = ResourceTable::new();
        table.set_max_capacity(0);
        table
    }

    /// Sees to it that `table` has room for what a call may put into it. Step 1.
    pub(crate) fn make_room(&mut self, table: &mut ResourceTable, guest: &Guest) {
        if let Some(left) = self.free.checked_sub(BY_ONE_CALL) {
            self.free = left;
            return;
        }
        let live = table.iter_mut().count();
        self.free = self.room.saturating_sub(live);
        if self.free >= 2 * BY_ONE_CALL {
            return;
        }
        let most = self.room.clamp(2 * BY_ONE_CALL, AHEAD);
        let halves =
            std::iter::successors(Some(most), |part| Some(part / 2).filter(|part| *part > 0));
        for part in halves {
            match self.reserve(part, guest) {
                Ok(()) => {
                    self.room += part;
                    self.free += part;
                    table.set_max_capacity(self.room);
                    guest.control.handles_refused(None);
                    return;
                }
                Err(reached) => guest.control.handles_refused(Some(reached)),
            }
        }
        self.free += PAUSE * BY_ONE_CALL;
    }

    /// Counts the room for the run of `guest` from now on, and no more for the last one.
    pub(crate) fn pass_to(&mut self, guest: &Guest) -> Result<(), LimitReached> {
        let account = &guest.run.account;
        let need = Need {
            bytes: self.room as u64 * Limits::HANDLE_BYTES,
            handles: counted(self.room),
            ..Need::default()
        };
        guest.run.reserve(need, |need| account.reserve(need))?;
        let passed = Self {
            account: account.clone(),
            room: self.room,
            free: self.free,
        };
        // The last run's is given back.
        drop(std::mem::replace(self, passed));
        Ok(())
    }

    /// Step 2 is up to the caller.
    fn reserve(&self, entries: usize, guest: &Guest) -> Result<(), LimitReached> {
        let need = Need {
            bytes: entries as u64 * Limits::HANDLE_BYTES,
            handles: counted(self.room + entries) - counted(self.room),
            ..Need::default()
        };
        guest.run.reserve(need, |need| self.account.reserve(need))
    }
}

/// How many of so many entries of one task count.
fn counted(entries: usize) -> u64 {
    (entries as u64).saturating_sub(u64::from(Limits::TASK_HANDLES))
}

impl Drop for Handles {
    /// The table must be gone, or about to go.
    fn drop(&mut self) {
        self.account
            .release(self.room as u64 * Limits::HANDLE_BYTES);
        self.account.release_handles(counted(self.room));
    }
}
