//! Which task is being polled on this thread.

use std::cell::RefCell;
use std::sync::Arc;

use crate::quota::kill::Kill;
use crate::sched::task::control::Control;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Control>>> = const { RefCell::new(None) };
}

/// While it lives, its task is the current one of this thread, known to the clock as running.
pub(super) struct Entered<'a> {
    control: &'a Control,
    before: Option<Arc<Control>>,
}

pub(super) fn enter(control: &Arc<Control>) -> Entered<'_> {
    control.enter();
    let before = CURRENT.with_borrow_mut(|current| current.replace(control.clone()));
    Entered { control, before }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let before = self.before.take();
        drop(CURRENT.with_borrow_mut(|current| std::mem::replace(current, before)));
        self.control.leave();
    }
}

/// Calls `f`, in which other tasks may be polled on this thread, by a machine that simulates several.
pub(super) fn suspended<R>(f: impl FnOnce() -> R) -> R {
    let mine = CURRENT.take();
    let result = f();
    CURRENT.set(mine);
    result
}

/// Whether this thread polls the task of `control`.
pub(super) fn is(control: &Control) -> bool {
    // A waker may be used by the destructor of another thread-local.
    let polled = CURRENT.try_with(|current| {
        current.try_borrow().is_ok_and(|current| {
            current
                .as_deref()
                .is_some_and(|current| std::ptr::eq(current, control))
        })
    });
    polled.unwrap_or(false)
}

/// Whether a guest of a host's is being polled on this thread, which holds a slot in the host's pool meanwhile.
pub(crate) fn is_in_pool() -> bool {
    with(|current| current.is_some_and(Control::is_in_pool))
}

/// Whether another task is being polled on this thread.
pub(super) fn is_another(control: &Control) -> bool {
    with(|current| current.is_some_and(|current| !std::ptr::eq(current, control)))
}

/// Calls `f` with the task that is being polled on this thread.
pub(super) fn with<R>(f: impl FnOnce(Option<&Control>) -> R) -> R {
    CURRENT.with_borrow(|current| f(current.as_deref()))
}

/// Ends the task that is being polled on this thread, at the end of the poll.
pub(crate) fn kill_current(kill: Kill) {
    with(|control| {
        if let Some(control) = control {
            control.kill(kill);
        }
    });
}
