//! Tasks without hart: `spawn` runs the task to its end before it returns.
//!
//! At `spawn` rather than at `join`, because a task that nobody joins has to run too, and because
//! the order of everything that tasks do is then the order in which the program says it. What ends
//! one task, a trap, a panic or an `exit`, ends everything: there is one instance.

use std::cell::{Cell, RefCell};
use std::num::NonZeroUsize;
use std::rc::Rc;

use crate::error::{JoinError, Outcome, SpawnError};
use crate::local;
use crate::options::{Options, Rights};
use crate::registry::Entry;

/// What `close` closes: one for `main` and one for each task.
struct Scope {
    closed: Cell<bool>,
    may_spawn: bool,
}

thread_local! {
    static NEXT_ID: Cell<u64> = const { Cell::new(1) };
    static CURRENT: RefCell<Rc<Scope>> = RefCell::new(Rc::new(Scope {
        closed: Cell::new(false),
        may_spawn: true,
    }));
}

/// Puts the spawning task's scope back, also when the task panics.
struct Restore(Option<Rc<Scope>>);

impl Drop for Restore {
    fn drop(&mut self) {
        if let Some(scope) = self.0.take() {
            CURRENT.set(scope);
        }
    }
}

pub(crate) struct RawTask {
    id: u64,
    outcome: Outcome,
}

impl RawTask {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn is_finished(&self) -> bool {
        true
    }

    pub(crate) fn join(self) -> Outcome {
        self.outcome
    }

    #[expect(clippy::unused_async, reason = "elsewhere it waits")]
    pub(crate) async fn join_async(self) -> Outcome {
        self.outcome
    }

    pub(crate) fn cancel(&self) {}
}

#[derive(Default)]
pub(crate) struct Prepared {
    denied: Rights,
}

impl From<&Options> for Prepared {
    fn from(options: &Options) -> Self {
        Self {
            denied: options.denied,
        }
    }
}

pub(crate) fn spawn(
    entry: &'static Entry,
    input: Vec<u8>,
    options: &Prepared,
) -> Result<RawTask, SpawnError> {
    let parent = CURRENT.with_borrow(Rc::clone);
    if parent.closed.get() {
        return Err(SpawnError::Closed);
    }
    if !parent.may_spawn {
        return Err(SpawnError::Denied("this task may not spawn".to_string()));
    }
    let id = NEXT_ID.replace(NEXT_ID.get() + 1);
    let scope = Rc::new(Scope {
        closed: Cell::new(false),
        may_spawn: !options.denied.contains(Rights::SPAWN),
    });
    let _restore = Restore(Some(CURRENT.replace(scope)));
    let outcome = local::apart(|| entry.task.run(&input).wait()).map_err(JoinError::Failed);
    Ok(RawTask { id, outcome })
}

pub(crate) fn wait_any(_tasks: &[&RawTask]) -> usize {
    0
}

pub(crate) fn yield_now() {}

pub(crate) fn close() {
    CURRENT.with_borrow(|scope| scope.closed.set(true));
}

pub(crate) fn parallelism() -> NonZeroUsize {
    NonZeroUsize::MIN
}
