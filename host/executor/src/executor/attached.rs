//! What the executor attaches to every task.

use super::{shared_ref::SharedRef, slot::OwnSlot};
use crate::{
    fair::GroupState,
    memory::RegistryEntry,
    sync::Arc,
    task::{TaskRef, attached},
};

/// What the executor attaches to a task.
pub(crate) struct Attached {
    pub(super) executor: SharedRef,
    pub(super) group: Option<Arc<GroupState>>,
    /// Where it is among the live tasks.
    pub(super) entry: RegistryEntry,
}

impl Attached {
    pub(super) fn of(task: &TaskRef) -> &Self {
        // SAFETY: every task is made with one, in `spawn`, except for a queue's stub, which does not leave its queue.
        unsafe { attached(task.as_ptr()) }
    }
}

/// The group of a task.
pub(crate) fn group_of(task: &TaskRef) -> Option<&Arc<GroupState>> {
    Attached::of(task).group.as_ref()
}

/// Whether the task is one of this executor's.
pub(crate) fn is_of(task: &TaskRef, executor: &SharedRef) -> bool {
    SharedRef::ptr_eq(&Attached::of(task).executor, executor)
}

/// The group of the task that a worker polls.
pub(crate) fn current_group(slot: &OwnSlot) -> Option<Arc<GroupState>> {
    slot.with_current(|task| group_of(task).cloned()).flatten()
}
