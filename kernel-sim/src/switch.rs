//! Each hart has a stack of its own, so that it can stand still in the middle of a poll while others go on.
//!
//! The machine's one OS thread runs a hart by resuming its coroutine; the hart gives the thread back with
//! [`pause`]. Only here are coroutines touched:
//!
//! 1. `Stack::resume` notes in a thread-local that no hart was current, and switches.
//! 2. The body, and `pause` when it returns, put the hart's own yielder there: it is current.
//! 3. `pause` takes it from there, and switches back.
//! 4. After the switch back, `resume` clears it. So code that runs between harts finds none.

use corosensei::{Coroutine, CoroutineResult, Yielder, stack::DefaultStack};
use std::{
    cell::Cell,
    ptr,
    thread::{self, ThreadId},
};

/// Bytes of stack per hart; only those that are touched take memory. Guests run on wasmtime's stacks.
const STACK: usize = 256 << 10;

thread_local! {
    /// The yielder of the hart that runs on this thread; null between harts.
    static CURRENT: Cell<*const Yielder<(), ()>> = const { Cell::new(ptr::null()) };
    static THIS_THREAD: ThreadId = thread::current().id();
    /// Stacks of harts that are done, for the next machine.
    static STACKS: Cell<Vec<DefaultStack>> = const { Cell::new(Vec::new()) };
}

/// What one hart executes, and how far it is.
pub(crate) struct Stack {
    /// `None` only while it is dropped.
    coroutine: Option<Coroutine<(), (), (), DefaultStack>>,
}

impl Stack {
    /// A hart that will execute `body` when it is first resumed.
    pub(crate) fn new(body: impl FnOnce() + 'static) -> Self {
        let mut stacks = STACKS.take();
        let stack = stacks.pop().unwrap_or_else(|| {
            DefaultStack::new(STACK).expect("no address space for a hart's stack")
        });
        STACKS.set(stacks);
        let coroutine = Coroutine::with_stack(stack, move |yielder: &Yielder<(), ()>, ()| {
            CURRENT.set(yielder);
            body();
        });
        Self {
            coroutine: Some(coroutine),
        }
    }

    /// Goes on until the hart pauses; `true` if it is done.
    pub(crate) fn resume(&mut self) -> bool {
        let coroutine = self.coroutine.as_mut().expect("not dropped");
        let result = coroutine.resume(());
        CURRENT.set(ptr::null());
        matches!(result, CoroutineResult::Return(()))
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let Some(mut coroutine) = self.coroutine.take() else {
            return;
        };
        if !coroutine.done() {
            // A machine that failed stands still wherever it was; unwinding would run the code that was
            // found wanting. What is on the stack is leaked.
            // SAFETY: nothing outside the stack refers to what is on it and will be used again: the runner
            // leaks the executor, and with it every task, when harts are left undone.
            unsafe { coroutine.force_reset() };
        }
        let mut stacks = STACKS.take();
        stacks.push(coroutine.into_stack());
        STACKS.set(stacks);
    }
}

/// The calling thread; `None` where it is going away. Kept, because `thread::current` counts references.
pub(crate) fn this_thread() -> Option<ThreadId> {
    THIS_THREAD.try_with(|id| *id).ok()
}

/// Whether the calling code runs on a hart that may pause.
pub(crate) fn may_pause() -> bool {
    // The count of panics is the thread's: while one unwinds nobody else may run.
    !CURRENT.get().is_null() && !std::thread::panicking()
}

/// Gives the thread back to the machine until the hart is resumed.
///
/// # Panics
///
/// Outside of a hart.
pub(crate) fn pause() {
    let yielder = CURRENT.get();
    assert!(!yielder.is_null(), "only a hart can pause");
    // SAFETY: it is not null, so it is that of the coroutine that runs (see the protocol above), which
    // lives on that coroutine's stack until its body returns.
    unsafe { &*yielder }.suspend(());
    CURRENT.set(yielder);
}
