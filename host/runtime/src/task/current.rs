//! Which task is being polled on this thread.

use std::cell::RefCell;
use std::sync::Arc;

use super::Control;

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

/// Calls `f` with the task that is being polled on this thread.
pub(super) fn with<R>(f: impl FnOnce(Option<&Control>) -> R) -> R {
    CURRENT.with_borrow(|current| f(current.as_deref()))
}
