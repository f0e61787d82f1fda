//! What one task holds of its run's memory.

use std::sync::atomic::Ordering;

use crate::base::sync::lock;
use crate::quota::account::Need;
use crate::quota::limits::{LimitKind, LimitReached};
use crate::sched::task::control::Control;

impl Control {
    /// Holds bytes for the task until it ends, beside those of its instance.
    pub(crate) fn hold(&self, bytes: u64) -> Result<(), LimitReached> {
        self.account.hold(bytes)?;
        self.took(bytes);
        Ok(())
    }

    /// Bytes that the account holds already are the task's until it ends.
    pub(crate) fn took(&self, bytes: u64) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Reserves room for the task's instance before it exists.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), LimitReached> {
        self.hold(bytes)?;
        self.room.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Whether it may have an instance of so many bytes.
    pub(crate) fn may_have_instance(&self, bytes: u64) -> bool {
        self.limits.memory.is_none_or(|limit| bytes <= limit)
    }

    /// Takes over an instance of so many bytes, which the account holds. What was reserved for one is not needed.
    pub(crate) fn take_instance(&self, bytes: u64) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        let reserved = self.room.swap(bytes, Ordering::Relaxed);
        self.grown.store(bytes, Ordering::Relaxed);
        self.give_up(reserved);
    }

    /// The instance is not the task's any more: the account holds it, and so many bytes for it.
    #[must_use]
    pub(crate) fn leave_instance(&self) -> u64 {
        self.settle();
        let bytes = self.grown.swap(0, Ordering::Relaxed);
        let room = self.room.swap(0, Ordering::Relaxed);
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.give_up(room - bytes);
        bytes
    }

    /// Undoes [`hold`](Self::hold).
    fn give_up(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.account.release(bytes);
    }

    /// What there was of the task's instance is gone, and another one will be made in the room that it had.
    pub(crate) fn instance_gone(&self) {
        self.settle();
        self.grown.store(0, Ordering::Relaxed);
    }

    /// Whether the simulated machine, if there is one, has no memory for the guest's growth.
    pub(super) fn has_no_memory(&self) -> bool {
        self.runtime
            .machine
            .as_ref()
            .is_some_and(|machine| machine.refuses_memory())
    }

    /// The instance is about to grow by `bytes`. Called by the limiter, on the thread that polls the task.
    pub(crate) fn grow(&self, bytes: u64) -> Result<(), LimitReached> {
        self.settle();
        let grown = self.grown.load(Ordering::Relaxed).saturating_add(bytes);
        if let Some(limit) = self.limits.memory
            && grown > limit
        {
            return Err(LimitReached::new(LimitKind::TaskMemory, limit));
        }
        let missing = grown.saturating_sub(self.room.load(Ordering::Relaxed));
        if missing > 0 {
            let need = Need {
                bytes: missing,
                ..Need::default()
            };
            if let Err(reached) = self.account.reserve(need) {
                // Instances that nobody uses are kept only where there is room.
                if !self.runtime.relieve(&self.account) {
                    return Err(reached);
                }
                self.account.reserve(need)?;
            }
            self.held.fetch_add(missing, Ordering::Relaxed);
            self.room.fetch_add(missing, Ordering::Relaxed);
        }
        self.grown.store(grown, Ordering::Relaxed);
        self.growing.bytes.store(bytes, Ordering::Relaxed);
        self.growing.reserved.store(missing, Ordering::Relaxed);
        Ok(())
    }

    /// The last growth did not fail: the task does something else by now.
    pub(super) fn settle(&self) {
        if self.growing.bytes.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.growing.bytes.store(0, Ordering::Relaxed);
        let reserved = self.growing.reserved.swap(0, Ordering::Relaxed);
        self.account.holds_for_good(reserved);
    }

    /// The growth that the limiter has just agreed to has failed.
    pub(super) fn grow_failed(&self) {
        let bytes = self.growing.bytes.swap(0, Ordering::Relaxed);
        self.grown.fetch_sub(bytes, Ordering::Relaxed);
        let reserved = self.growing.reserved.swap(0, Ordering::Relaxed);
        self.room.fetch_sub(reserved, Ordering::Relaxed);
        self.held.fetch_sub(reserved, Ordering::Relaxed);
        self.account.unreserve(reserved);
    }

    /// Whether its store was refused room for more handles when it last asked, and why.
    pub(crate) fn handles_refused(&self, reached: Option<LimitReached>) {
        *lock(&self.handles_limit) = reached;
    }

    /// Why its store has no room for more handles.
    pub(crate) fn handles_limit(&self) -> Option<LimitReached> {
        *lock(&self.handles_limit)
    }
}
