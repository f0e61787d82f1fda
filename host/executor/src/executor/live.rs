//! The beginning and the end of a live task.

use super::{
    attached::Attached,
    shared::{OUTSIDE, Shared},
    shared_ref::SharedRef,
    slot::OwnSlot,
};
use crate::{
    error::SpawnError,
    fair::GroupState,
    memory::Block,
    sync::{Arc, Ordering::Relaxed},
    task::{Id, TaskRef},
};
use core::alloc::Layout;

/// What a task is made of, apart from its future.
pub(crate) struct Reserved {
    pub(crate) id: Id,
    /// Memory from the pool, if it was asked for.
    pub(crate) block: Option<Block>,
    pub(crate) attached: Attached,
}

impl SharedRef {
    /// What a new task needs: `slot` is that of the calling core's worker, `layout` that of the memory, if it is to
    /// come from the pool.
    ///
    /// # Errors
    ///
    /// [`SpawnError::Closed`], or [`SpawnError::Alloc`] if there is no memory for it or to list it.
    // Always: the result is large, and through memory it costs a twentieth of a whole spawn.
    #[inline(always)]
    pub(crate) fn reserve(
        &self,
        slot: Option<&OwnSlot>,
        group: Option<Arc<GroupState>>,
        layout: Option<Layout>,
    ) -> Result<Reserved, SpawnError> {
        if self.is_closed() {
            return Err(SpawnError::Closed);
        }
        if let Some(group) = &group {
            let domain = slot.map(|slot| slot.domain());
            self.lanes().admit(group, domain)?;
        }
        let (id, (entry, block)) = match slot {
            Some(slot) => (slot.next_id(|n| self.next_ids(n)), slot.reserve(layout)?),
            None => {
                let id = self.next_ids(1);
                (Id(id), self.outside[id % OUTSIDE].reserve(layout)?)
            }
        };
        let attached = Attached {
            executor: self.clone_on(slot),
            group,
            entry,
        };
        Ok(Reserved {
            id,
            block,
            attached,
        })
    }
}

impl Attached {
    pub(crate) fn is_fair(&self) -> bool {
        self.group.is_some()
    }

    /// Gives up what was reserved for a task that was not made. `slot` is that of the calling core's worker.
    pub(crate) fn unreserve(self, slot: Option<&OwnSlot>) {
        // SAFETY: the entry was reserved for a task that does not exist; we hold the executor, which has the list.
        unsafe { self.entry.give_back(slot.map(|slot| &slot.registry)) };
        self.executor.drop_on(slot);
    }
}

impl Shared {
    /// Lists and queues a new task: `queued` is the queue's reference, `live` the list's. `slot` is that of the calling
    /// core's worker. `false` if the executor was closed meanwhile: the caller cancels the task, which `close` may have
    /// missed.
    pub(crate) fn spawn(&self, slot: Option<&OwnSlot>, queued: TaskRef, live: TaskRef) -> bool {
        let attached = Attached::of(&queued);
        if let Some(group) = &attached.group {
            group.counts.spawned();
        }
        match slot {
            Some(slot) => slot.counts.spawned.add(1),
            None => {
                self.outside_spawned.fetch_add(1, Relaxed);
            }
        }
        // SAFETY: `reserve` reserved it for this task; the list is ours.
        unsafe { attached.entry.publish(live) };
        let near = self.push(slot, queued);
        self.notify_near(near)
    }

    /// A task's result is there: it is not live any more. Gives the list's reference, unless `close` has it. `slot` is
    /// that of the calling core's worker.
    ///
    /// # Safety
    ///
    /// `attached` is that of a task of this executor, for which this was not called before.
    pub(super) unsafe fn forget(
        &self,
        attached: &Attached,
        slot: Option<&OwnSlot>,
    ) -> Option<TaskRef> {
        if let Some(group) = &attached.group {
            group.counts.ended();
        }
        match slot {
            Some(slot) => slot.counts.ended.add(1),
            None => {
                self.outside_ended.fetch_add(1, Relaxed);
            }
        }
        // SAFETY: the caller's; the list is ours, and the slot's list its own core's.
        unsafe { attached.entry.take(slot.map(|slot| &slot.registry)) }
    }
}
