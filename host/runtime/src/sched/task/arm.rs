//! Arming a store: the preemption hooks, the kill switch and the limiter.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use wasmtime::{ResourceLimiter, Result, Store, UpdateDeadline, format_err};

use crate::quota::limits::Limits;
use crate::sched::preemption::Preemption;
use crate::sched::task::control::{Control, Trigger};
use crate::sched::task::current;
use crate::sched::task::host_call;
use crate::sched::task::limiter::{CurrentTask, Limited};
use crate::sched::task::point::{at_point, give_way};

/// Arms `store` for the task of `control`, with no limiter of the embedder's own.
pub(crate) fn arm<T: 'static>(control: &Arc<Control>, store: &mut Store<T>) -> Result<()> {
    store.limiter(|_| CurrentTask::get());
    hook(control, store)
}

/// Arms `store`, with the embedder's own limiter asked as well.
pub(crate) fn arm_with<T, L, F>(
    control: &Arc<Control>,
    store: &mut Store<T>,
    mut limiter: F,
) -> Result<()>
where
    T: 'static,
    L: ResourceLimiter + 'static,
    F: FnMut(&mut T) -> &mut Limited<L> + Send + Sync + 'static,
{
    store.limiter(move |data| limiter(data));
    hook(control, store)
}

/// Sets both budgets, which default to "trap at once", before anything is instantiated.
fn hook<T: 'static>(control: &Arc<Control>, store: &mut Store<T>) -> Result<()> {
    // Before its first poll a task is nobody's: the closure that makes its future may arm a store.
    if control.has_ended() || current::is_another(control) {
        return Err(format_err!(
            "a store can be armed only by the task that will use it: call `Cx::arm` inside that task, with its own `Cx`"
        ));
    }
    let Some(preemption) = control.runtime.preemption_of(store.engine()) else {
        return Err(format_err!(
            "the store's engine was not attached to this runtime: call `Runtime::attach`"
        ));
    };
    let limits = &control.account.limits;
    let handles = own_handles(control, limits, store.concurrent_resource_table().is_some());
    control.own_handles.store(handles, Ordering::Relaxed);
    store.set_max_component_handles(handles.saturating_add(Limits::TASK_HANDLES) as usize);
    let fuel = limits.hostcall_fuel_or_default();
    store.set_hostcall_fuel(usize::try_from(fuel).unwrap_or(usize::MAX));
    match preemption {
        Preemption::Epoch { .. } => {
            let control = control.clone();
            store.epoch_deadline_callback(move |context| {
                if !current::is(&control) {
                    return Err(format_err!(
                        "a store that was armed for a task is used outside of that task, where nothing preempts or ends its guest: arm it again in the task that uses it"
                    ));
                }
                if let Some(profile) = control.runtime.profile.get() {
                    profile.sample(context);
                }
                at_deadline(&control)
            });
            store.set_epoch_deadline(1);
        }
        Preemption::Fuel { slice } => {
            store.set_fuel(control.fuel_budget())?;
            store.fuel_async_yield_interval(Some(slice))?;
            control.fuel.store(true, Ordering::Relaxed);
            control.slice.store(slice, Ordering::Relaxed);
        }
        Preemption::None => return Ok(()),
    }
    host_call::hook(control, store);
    Ok(())
}

/// Handles that a store may have, whoever makes them.
///
/// wasmtime tells nobody when a guest makes one by itself. With component-model async it keeps some 240 bytes for each end
/// of a stream, each set and each call that goes on, so they are no more than take a part of the run's memory; and few in
/// each of many tasks. Without, they are a few bytes each.
fn own_handles(control: &Control, limits: &Limits, is_async: bool) -> u32 {
    let all = limits.handles_or_default();
    if !is_async {
        return all;
    }
    let most = limits.memory_or_default() / Limits::OWN_HANDLES_PART / Limits::HANDLE_BYTES;
    let all = all.min(u32::try_from(most).unwrap_or(u32::MAX));
    match control.limits.spawned {
        true => all.min((all / Limits::SPAWNED_PART).max(Limits::SPAWNED_LEAST)),
        false => all,
    }
}

/// What a guest does at an epoch check that finds its deadline passed.
fn at_deadline(control: &Arc<Control>) -> Result<UpdateDeadline> {
    Ok(match at_point(control, Trigger::Epoch)? {
        true => UpdateDeadline::YieldCustom(1, Box::pin(give_way(control.clone()))),
        false => UpdateDeadline::Continue(1),
    })
}
