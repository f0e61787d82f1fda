//! The stub of a run queue: a task that is complete, and belongs to no executor.

use super::{
    Id, Metadata,
    header::{Header, Vtable},
    reference::TaskRef,
    state::State,
};
use alloc::boxed::Box;
use core::ptr::NonNull;

static VTABLE: Vtable = Vtable {
    poll: |_, _| unreachable!("a stub is never polled"),
    fail: |_, _| unreachable!("a stub is complete"),
    take_output: |_, _| unreachable!("a stub has no handle"),
    drop_output: |_| unreachable!("a stub has no output"),
    schedule: |_| unreachable!("a stub is complete"),
    schedule_last: |_| unreachable!("a stub is complete"),
    cancel: |_, _| unreachable!("a stub is complete"),
    // SAFETY: `stub` made it with `Box::new`, and this is its last reference.
    free: |header| drop(unsafe { Box::from_raw(header.as_ptr()) }),
    free_on: |_, _| unreachable!("a stub does not run"),
};

/// A new stub.
pub(crate) fn stub() -> TaskRef {
    let header = Header::new(State::stub(), &VTABLE, Id(0), Metadata::new());
    let header = NonNull::from(Box::leak(Box::new(header)));
    // SAFETY: `State::stub` counts one reference, and this is it.
    unsafe { TaskRef::from_counted(header) }
}
