//! Wakers: counted references to a task.

use super::{header::Header, reference::TaskRef};
use core::{
    mem::ManuallyDrop,
    ops::Deref,
    ptr::NonNull,
    task::{RawWaker, RawWakerVTable, Waker},
};

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// A waker that borrows the reference of a poller: a poll that clones none touches no count.
pub(super) struct Borrowed<'a> {
    waker: ManuallyDrop<Waker>,
    _task: &'a TaskRef,
}

pub(super) fn borrowed(task: &TaskRef) -> Borrowed<'_> {
    let raw = RawWaker::new(task.as_ptr().as_ptr().cast_const().cast(), &VTABLE);
    Borrowed {
        // SAFETY: the table's functions keep the contract of `RawWaker`; the reference that dropping
        // this waker would release is `task`'s, so it is never dropped.
        waker: ManuallyDrop::new(unsafe { Waker::from_raw(raw) }),
        _task: task,
    }
}

impl Deref for Borrowed<'_> {
    type Target = Waker;

    fn deref(&self) -> &Waker {
        &self.waker
    }
}

/// The task that a waker's pointer refers to, without taking its reference.
///
/// # Safety
///
/// `data` is the data of a waker made here that has not been dropped.
unsafe fn task(data: *const ()) -> ManuallyDrop<TaskRef> {
    // SAFETY: wakers are made from non-null pointers to headers.
    let header = unsafe { NonNull::new_unchecked(data.cast_mut().cast::<Header>()) };
    // SAFETY: the waker holds a counted reference.
    ManuallyDrop::new(unsafe { TaskRef::from_counted(header) })
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: called with a live waker's data.
    let task = unsafe { task(data) };
    let clone = ManuallyDrop::new(TaskRef::clone(&task));
    RawWaker::new(clone.as_ptr().as_ptr().cast_const().cast(), &VTABLE)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: called with a live waker's data, whose reference is given to us.
    let task = unsafe { task(data) };
    ManuallyDrop::into_inner(task).wake_by_value();
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: called with a live waker's data.
    unsafe { task(data) }.wake();
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: called with a live waker's data, whose reference is given to us.
    drop(ManuallyDrop::into_inner(unsafe { task(data) }));
}
