//! Arming a store: the preemption hook, the kill switch and the limiter.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hart_executor::Verdict;
use wasmtime::{ResourceLimiter, Result, Store, UpdateDeadline, format_err};

use super::limiter::CurrentTask;
use super::{Control, Killed, Limited, Trigger, yield_once};
use crate::Preemption;

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
    let Some(preemption) = control.runtime.preemption_of(store.engine()) else {
        return Err(format_err!(
            "the store's engine was not attached to this runtime: call `Runtime::attach`"
        ));
    };
    match preemption {
        Preemption::Epoch { .. } => {
            let control = control.clone();
            store.epoch_deadline_callback(move |_| at_deadline(&control));
            store.set_epoch_deadline(1);
        }
        Preemption::Fuel { slice } => {
            store.set_fuel(control.fuel_budget())?;
            store.fuel_async_yield_interval(Some(slice))?;
            control.fuel.store(true, Ordering::Relaxed);
            control.slice.store(slice, Ordering::Relaxed);
        }
        Preemption::None => {}
    }
    Ok(())
}

/// What a guest does at an epoch check that finds its deadline passed.
fn at_deadline(control: &Control) -> Result<UpdateDeadline> {
    match control.preemption_point(Trigger::Epoch) {
        Err(kill) => Err(Killed(kill).into()),
        Ok(Verdict::Yield) => {
            control.preempted();
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(yield_once())))
        }
        Ok(Verdict::Continue) => Ok(UpdateDeadline::Continue(1)),
    }
}
