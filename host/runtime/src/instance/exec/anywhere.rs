//! The option `anywhere`: which tasks go to other machines.
//!
//! # The rule
//!
//! A task goes where it would have to wait here: if there are no slots for it, or others wait for theirs; or if as many
//! tasks wait for a core as there are workers. Whether it goes or not, it must be able to: a program that is refused this
//! on a busy machine is refused it on an idle one, too.

use std::sync::Arc;
use std::time::Duration;

use crate::instance::elsewhere::{Elsewhere, Reach};
use crate::instance::exec::bindings::SpawnError;
use crate::instance::exec::resources::Options;
use crate::instance::guest::Guest;
use crate::quota::limits::Limits;
use crate::sched::task::control::TaskLimits;
use crate::wasi::rights::Rights;

/// What is counted as memory for a task while something of it is on the way: its job, its answers, its end. A guess on the
/// safe side, or tasks that are spawned and cancelled again and again would be memory without a limit.
pub(super) const AWAY_BYTES: u64 = 8 << 10;

/// Where a task goes that `parent` spawns with these options, in this depth. `None`: it stays here.
pub(super) fn beyond(
    parent: &Guest,
    options: &Options,
    depth: u32,
) -> Result<Option<Arc<dyn Elsewhere>>, SpawnError> {
    if !options.anywhere {
        return Ok(None);
    }
    let run = &parent.run;
    let elsewhere = match &run.reach {
        Reach::Nowhere => {
            return Err(SpawnError::Denied(
                "this run may not have tasks run on other machines: allow it with `hart run -S remote`, or `RunBuilder::anywhere`".into(),
            ));
        }
        Reach::Here => return Ok(None),
        Reach::Beyond(elsewhere) => elsewhere,
    };
    let denied = parent.denied | options.denied;
    if let Some((what, right)) = run.tie(denied) {
        let names: Vec<_> = right.names().collect();
        return Err(SpawnError::Denied(format!(
            "the task would have {what}, which cannot go to another machine: deny it `{}`",
            names.join("` or `")
        )));
    }
    Ok(would_wait(parent, depth).then(|| elsewhere.clone()))
}

fn would_wait(parent: &Guest, depth: u32) -> bool {
    let run = &parent.run;
    let core = &run.runtime;
    !parent.tree.admission.has_place(&run.slots, depth)
        || core.executor.waiting_tasks() >= core.workers()
}

/// What a task may use as a run of its own elsewhere, that would have these limits here and this depth.
pub(super) fn limits(
    parent: &Guest,
    own: &TaskLimits,
    most_tasks: Option<u32>,
    left: Option<Duration>,
    depth: u32,
) -> Limits {
    let run = &parent.run;
    let of_run = &run.account.limits;
    let most_tasks = most_tasks.map(u64::from);
    let mut limits = Limits::new();
    limits.memory = of_run.memory;
    limits.task_memory = own.memory;
    limits.cpu_time = of_run.cpu_time;
    limits.task_cpu_time = own.cpu_time;
    limits.fuel = of_run.fuel;
    limits.task_fuel = own.fuel;
    limits.timeout = left;
    limits.tasks = most_tasks.into_iter().chain(of_run.tasks).min();
    limits.depth = Some(run.slots.depth.saturating_sub(depth));
    limits.result_bytes = of_run.result_bytes;
    limits
}

/// What a task is denied elsewhere. One that is as deep as it may be could spawn nothing here.
pub(super) fn denied(denied: Rights, limits: &Limits) -> Rights {
    match limits.depth {
        Some(0) => denied | Rights::SPAWN,
        _ => denied,
    }
}
