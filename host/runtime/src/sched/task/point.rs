//! Preemption points: where a guest ends, gives way or goes on.

use std::sync::Arc;

use hart_executor::Verdict;

use crate::quota::kill::Killed;
use crate::sched::task::control::{Control, Trigger};
use crate::sched::task::driven::yield_once;

/// Returns to the task's future once, and once more where a future around the guest has not been polled since the task
/// was woken. Guest code goes on after that, so a wake of the task by its own poll is noted.
pub(super) async fn give_way(control: Arc<Control>) {
    loop {
        control.waker.gives_way();
        yield_once().await;
        if !control.shows_itself() {
            break;
        }
    }
    control.waker.notice(&control.runtime.clock);
}

/// Whether the guest gives way at a preemption point: to others, or to its own task's future, which was woken
/// while the guest ran and has not seen what for.
pub(super) fn at_point(control: &Control, trigger: Trigger) -> Result<bool, Killed> {
    match control.preemption_point(trigger) {
        Err(kill) => Err(Killed(kill)),
        Ok(Verdict::Yield) => {
            control.preempted();
            Ok(true)
        }
        Ok(Verdict::Continue) => Ok(control.waker.is_woken()),
    }
}
