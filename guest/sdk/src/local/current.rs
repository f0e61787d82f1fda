//! The cell that names the executor of the `block_on` that this thread is in.

use std::cell::RefCell;

use hart_executor::Executor;

thread_local! {
    static CURRENT: RefCell<Option<Executor>> = const { RefCell::new(None) };
}

/// True inside of a `block_on`.
pub(super) fn is_set() -> bool {
    CURRENT.with_borrow(Option::is_some)
}

pub(super) fn set(executor: Option<Executor>) {
    CURRENT.set(executor);
}

/// Runs a task of this crate as if it had a thread of its own, whatever this one is in.
#[cfg(any(feature = "sequential", not(target_family = "wasm")))]
pub(crate) fn apart<R>(run: impl FnOnce() -> R) -> R {
    struct Restore(Option<Executor>);

    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }

    let _restore = Restore(CURRENT.take());
    run()
}

/// Calls `then` with the executor of this thread's `block_on`.
///
/// # Panics
///
/// Where no `block_on` runs.
#[track_caller]
pub(super) fn inside<R>(caller: &str, then: impl FnOnce(&Executor) -> R) -> R {
    CURRENT.with_borrow(|executor| match executor {
        Some(executor) => then(executor),
        None => panic!(
            "`{caller}` was used outside of `block_on`, where nobody would run it: use it in a future that \
             `block_on` runs"
        ),
    })
}
