//! Preemption points on the way back into guest code.
//!
//! Epochs and fuel are looked at by compiled code, at loop heads and function entries. A guest that spends its
//! time in host calls burns hardly any fuel, and one that makes them in a straight line passes no loop head. So
//! the way out of a host call, and the way from the host into the guest, is a preemption point as well, in both
//! modes: when the clock asks for one. What that costs otherwise is two loads.
//!
//! Where the future that calls the guest is the embedder's own, a guest also gives way to that: at the start of every
//! call, and once in every poll after that. A timeout around the call polls the call first, and its own timer only when
//! the call has returned: without this the timer would not even be set before the guest ends.
//!
//! A simulated machine has none of these: there a guest's time is its fuel, and nothing may depend on a clock.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use wasmtime::{CallHook, CallHookHandler, Result, Store, StoreContextMut};

use crate::sched::task::control::{Control, Trigger};
use crate::sched::task::point::{at_point, give_way};

type Hooked<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// Lets guests of `store` be preempted where they come back from the host.
pub(super) fn hook<T: 'static>(control: &Arc<Control>, store: &mut Store<T>) {
    if control.runtime.machine.is_none() {
        store.call_hook_async(WayIn {
            control: control.clone(),
            calls: AtomicU32::new(0),
        });
    }
}

struct WayIn {
    control: Arc<Control>,
    /// Calls into guest code that go on, one inside the other. Only the store's own thread counts them.
    calls: AtomicU32,
}

impl WayIn {
    /// Whether `event` is the start of a call that the embedder's future makes.
    fn begins(&self, event: &CallHook) -> bool {
        match event {
            CallHook::CallingWasm => self.calls.fetch_add(1, Ordering::Relaxed) == 0,
            CallHook::ReturningFromWasm => {
                self.calls.fetch_sub(1, Ordering::Relaxed);
                false
            }
            _ => false,
        }
    }
}

impl<T: 'static> CallHookHandler<T> for WayIn {
    fn handle_call_event<'s, 't, 'f>(
        &'s self,
        _store: StoreContextMut<'t, T>,
        event: CallHook,
    ) -> Hooked<'f>
    where
        's: 'f,
        't: 'f,
        Self: 'f,
    {
        let control = &self.control;
        let begins = self.begins(&event);
        // Boxes of types without a size allocate nothing.
        if !event.exiting_host() {
            return Box::pin(GoesOn);
        }
        if begins && control.surrounded.load(Ordering::Relaxed) {
            control.unseen.store(true, Ordering::Relaxed);
        }
        if control.shows_itself() {
            return Box::pin(yields(control.clone()));
        }
        if !control.is_asked() {
            return Box::pin(GoesOn);
        }
        match at_point(control, Trigger::HostCall) {
            Ok(false) => Box::pin(GoesOn),
            Ok(true) => {
                control.yielded.store(true, Ordering::Relaxed);
                Box::pin(yields(control.clone()))
            }
            Err(killed) => Box::pin(std::future::ready(Err(killed.into()))),
        }
    }
}

async fn yields(control: Arc<Control>) -> Result<()> {
    give_way(control).await;
    Ok(())
}

struct GoesOn;

const _: () = assert!(size_of::<GoesOn>() == 0);

impl Future for GoesOn {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}
