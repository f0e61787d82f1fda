//! Natively: the scopes of tasks, and how a task that was ended from outside is stopped.

use std::cell::RefCell;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use crate::error::JoinError;

/// A task, or a thread that is none, as what it spawns sees it.
pub(crate) struct Scope {
    pub(crate) parent: Option<Arc<Scope>>,
    pub(crate) depth: u32,
    pub(crate) cancelled: AtomicBool,
    pub(crate) closed: AtomicBool,
    pub(crate) deadline: Option<Instant>,
    pub(crate) may_spawn: bool,
}

impl Scope {
    pub(crate) fn root() -> Self {
        Self {
            parent: None,
            depth: 0,
            cancelled: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            deadline: None,
            may_spawn: true,
        }
    }

    /// Why this task has to end before it returns, if it has to.
    pub(crate) fn ended_early(&self) -> Option<JoinError<Vec<u8>>> {
        // Relaxed: these flags order nothing else, and who waits looks at them under the pool's lock.
        if self.cancelled.load(Ordering::Relaxed) {
            return Some(JoinError::Cancelled);
        }
        if self
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now())
        {
            return Some(JoinError::TimedOut);
        }
        let parent = self.parent.as_ref()?;
        if parent.closed.load(Ordering::Relaxed) {
            return Some(JoinError::Closed);
        }
        parent.ended_early().map(|why| match why {
            JoinError::Closed => JoinError::Closed,
            _ => JoinError::Cancelled,
        })
    }

    /// The next moment at which `ended_early` changes by itself.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let above = self
            .parent
            .as_ref()
            .and_then(|parent| parent.next_deadline());
        self.deadline.into_iter().chain(above).min()
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Scope>>> = const { RefCell::new(None) };
}

/// The scope of the calling task or thread.
pub(crate) fn current() -> Arc<Scope> {
    CURRENT.with_borrow_mut(|current| {
        Arc::clone(current.get_or_insert_with(|| Arc::new(Scope::root())))
    })
}

/// Does `run` as the task that has this scope.
pub(crate) fn within<R>(scope: &Arc<Scope>, run: impl FnOnce() -> R) -> R {
    let before = CURRENT.replace(Some(Arc::clone(scope)));
    let returned = run();
    CURRENT.set(before);
    returned
}

/// What a task unwinds with that has been ended from outside.
struct Stopped;

/// Unwinds out of the calling task if it has been ended.
pub(crate) fn stop_if_ended() {
    // While unwinding, destructors that wait for tasks have to be let do it.
    if !thread::panicking() && current().ended_early().is_some() {
        // `resume_unwind` does not call the panic hook, so nothing is printed.
        panic::resume_unwind(Box::new(Stopped));
    }
}
