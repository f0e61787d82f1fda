//! A spawn: from what a guest asks for to a task that waits for its slots.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hart_executor::Platform;

use crate::base::contained::Contained;
use crate::base::span::{SpanNote, SpanOf};
use crate::base::text;
use crate::instance::admission::Refused;
use crate::instance::away;
use crate::instance::cap::Cap;
use crate::instance::elsewhere::{Errand, Held};
use crate::instance::ended::Ended;
use crate::instance::ending::{finish, set_timer};
use crate::instance::events::Event;
use crate::instance::exec::anywhere::{self, AWAY_BYTES, beyond};
use crate::instance::exec::bindings::{self, SpawnError};
use crate::instance::exec::resources::{HANDLE_BYTES, Options, TaskHandle};
use crate::instance::guest::{Guest, Traits};
use crate::instance::lifecycle::{Work, admit, start};
use crate::instance::program::Child;
use crate::instance::store::GuestState;
use crate::quota::account::Need;
use crate::quota::kill::Kill;
use crate::quota::limits::{LimitKind, LimitReached};
use crate::sched::task::control::{Control, TaskLimits};
use crate::wasi::rights::Rights;

/// The smaller of what is asked for and what the parent may use.
fn cut<T: Ord>(asked: Option<T>, parent: Option<T>) -> Option<T> {
    match (asked, parent) {
        (Some(asked), Some(parent)) => Some(asked.min(parent)),
        (asked, parent) => asked.or(parent),
    }
}

/// A limit refuses `parent` a spawn: what it is told.
pub(super) fn limit(parent: &Guest, reached: LimitReached) -> SpawnError {
    let limit = reached;
    parent.run.reached(limit);
    parent.tell(|task| Event::LimitReached { task, limit });
    let said = reached.to_string();
    if let Some(span) = &parent.span {
        span.note(&SpanNote::LimitReached(&said));
    }
    SpawnError::Limit(said)
}

impl From<bindings::Rights> for Rights {
    fn from(rights: bindings::Rights) -> Self {
        use bindings::Rights as Wit;

        let each = [
            (Wit::FILESYSTEM, Self::FILESYSTEM),
            (Wit::FILESYSTEM_WRITE, Self::FILESYSTEM_WRITE),
            (Wit::NETWORK, Self::NETWORK),
            (Wit::ENVIRONMENT, Self::ENVIRONMENT),
            (Wit::OUTPUT, Self::OUTPUT),
            (Wit::SPAWN, Self::SPAWN),
        ];
        let of = each.into_iter().filter(|(wit, _)| rights.contains(*wit));
        of.fold(Self::default(), |all, (_, right)| all | right)
    }
}

/// Spawns a task of the same component below the one that `state` belongs to. Its input of `length` bytes is copied once
/// all limits allow it.
pub(super) fn spawn<T: Send + 'static>(
    state: &GuestState<T>,
    entry: String,
    length: usize,
    input: impl FnOnce() -> Vec<u8>,
    options: Options,
) -> Result<TaskHandle, SpawnError> {
    let (parent, program) = (state.guest(), state.program());
    let limit = |reached| limit(parent, reached);
    let run = &parent.run;
    let limits = &run.account.limits;
    if run.registry.is_closed() || parent.scope_is_closed() || parent.killed().is_some() {
        return Err(SpawnError::Closed);
    }
    if parent.denied.contains(Rights::SPAWN) {
        return Err(SpawnError::Denied(
            "this task was denied the right `spawn`, where it was spawned or where the component is run"
                .into(),
        ));
    }
    if !run.interface.has_entry() {
        return Err(SpawnError::NoEntry);
    }
    let most = limits.input_bytes_or_default();
    if length as u64 > most {
        return Err(limit(LimitReached::new(LimitKind::InputBytes, most)));
    }
    let (depth, deepest) = (parent.depth + 1, run.slots.depth);
    if depth > deepest {
        return Err(limit(LimitReached::new(
            LimitKind::Depth,
            u64::from(deepest),
        )));
    }
    let beyond = beyond(parent, &options, depth)?;
    let admission = &parent.tree.admission;
    let most = limits.queued_or_default();
    if beyond.is_none() && run.waits && admission.is_full(&run.slots, depth, most) {
        return Err(limit(LimitReached::new(LimitKind::Queued, most)));
    }
    run.account
        .spawns_at(run.runtime.platform.now())
        .map_err(limit)?;

    let id = run.runtime.next_id();
    let name = text::name(if options.name.is_empty() {
        &entry
    } else {
        &options.name
    });
    let child = Child {
        id,
        name: &name,
        depth,
        run: run.id,
        tenant: run.account.tenant.as_ref().map(|t| t.tenant.name()),
    };
    // The embedder's code, which may panic: nothing is counted yet. What it makes is dropped in here if the spawn is refused.
    let data = beyond
        .is_none()
        .then(|| Contained::new((program.child_data)(&child, state.data())));

    let caps = parent.child_caps().clone();
    let input_bytes = entry.len() as u64 + length as u64;
    let beyond_bytes = beyond.as_ref().map_or(0, |_| AWAY_BYTES);
    let need = Need {
        tasks: 1,
        bytes: input_bytes + beyond_bytes + HANDLE_BYTES,
        ..Need::default()
    };
    run.reserve(need, |need| Cap::enter(&caps, || run.account.reserve(need)))
        .map_err(limit)?;
    let own = TaskLimits {
        memory: cut(options.memory, parent.control.limits.memory),
        cpu_time: cut(options.cpu_time, parent.control.limits.cpu_time),
        fuel: cut(options.fuel, parent.control.limits.fuel),
        spawned: true,
        ..parent.control.limits
    };
    let control = Control::new(run.runtime.clone(), run.account.clone(), own);
    // What goes elsewhere may outlive the task here: it is on its way, or its end is.
    let held = beyond.is_some().then(|| Held {
        account: run.account.clone(),
        bytes: input_bytes + beyond_bytes,
    });
    if held.is_none() {
        control.took(input_bytes);
    }
    let (timeout, deadline) = parent.timeout_below(options.timeout);
    let span = parent.span.as_ref().and_then(|above| {
        above.child(&SpanOf::Task {
            run: run.id,
            run_name: run.account.group.name(),
            id,
            name: &name,
            depth,
        })
    });
    let denied = parent.denied | options.denied;
    let traits = Traits {
        id,
        span,
        name,
        depth,
        denied,
        reuse: options.reuse,
        timeout,
        deadline,
        parent: Arc::downgrade(parent),
        child_caps: options
            .max_tasks
            .map_or_else(|| caps.clone(), |max| Some(Cap::new(max, caps.clone()))),
        caps,
    };
    // From here on `finish` undoes everything, and dropping the handle the rest.
    let guest = Guest::new(run.clone(), parent.tree.clone(), control, traits);
    let handle = TaskHandle::new(guest);
    let guest = handle.guest();
    if !parent.adopt(guest) {
        finish(guest, Ended::Killed(Kill::Closed), None);
        return Err(SpawnError::Closed);
    }
    set_timer(guest);
    let counts = || {
        run.account.spawns.fetch_add(1, Ordering::Relaxed);
        run.runtime.count(|worker| &worker.spawns);
    };
    if let Some((elsewhere, held)) = beyond.zip(held) {
        let left = deadline.map(|at| at.saturating_duration_since(run.runtime.clock.now()));
        let limits = anywhere::limits(parent, &own, options.max_tasks, left, depth);
        let errand = Errand {
            entry,
            input: input(),
            denied: anywhere::denied(denied, &limits),
            limits,
            held,
        };
        counts();
        away::send(guest, elsewhere.run(errand));
        return Ok(handle);
    }
    let work = Work::Entry {
        entry,
        input: input(),
    };
    let data = data.and_then(|mut data| data.take());
    let data = data.expect("it was made for a task that stays, and nobody has taken it");
    match admit(guest, start(guest, program.clone(), work, data, None)) {
        Ok(()) => {}
        Err(Refused::Closed) => {
            finish(guest, Ended::Killed(Kill::Closed), None);
            return Err(SpawnError::Closed);
        }
        Err(Refused::NoRoom) => {
            let reached = LimitReached::new(LimitKind::InnerInstances, admission.slots());
            // This counts it.
            finish(guest, Ended::Limit(reached), None);
            return Err(SpawnError::Limit(reached.to_string()));
        }
    }
    counts();
    Ok(handle)
}
