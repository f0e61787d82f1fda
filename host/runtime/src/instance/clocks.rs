//! Waits of `wasi:clocks`, by the host's own clock: tokio's timers are exact to a millisecond.

use std::time::Duration;

use hart_executor::yield_now;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::clocks::WasiClocksView;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::Host as Clock02;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::{WasiView, async_trait};

use crate::instance::store::GuestState;
use crate::sched::clock::sleep::Sleep;

/// Replaces the waits of WASI 0.2. The linker must allow shadowing.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<GuestState<T>>,
) -> wasmtime::Result<()> {
    let mut clock = linker.instance("wasi:clocks/monotonic-clock@0.2.12")?;
    clock.func_wrap("subscribe-instant", |mut store, (when,): (u64,)| {
        let state: &mut GuestState<T> = store.data_mut();
        let left = left(state, when)?;
        Ok((wait(state, left)?,))
    })?;
    clock.func_wrap("subscribe-duration", |mut store, (length,): (u64,)| {
        Ok((wait(store.data_mut(), length)?,))
    })
}

/// The same of WASI 0.3.
pub(crate) fn add_to_linker_async<T: Send + 'static>(
    linker: &mut Linker<GuestState<T>>,
) -> wasmtime::Result<()> {
    let mut clock = linker.instance("wasi:clocks/monotonic-clock@0.3.0")?;
    clock.func_wrap_concurrent("wait-until", |store, (when,): (u64,)| {
        Box::pin(async move {
            let sleep = store.with(|mut store| {
                let state = store.data_mut();
                let left = left(state, when)?;
                wasmtime::error::Ok((left > 0).then(|| sleep(state, left)))
            })?;
            if let Some(sleep) = sleep {
                sleep.await;
            }
            Ok(())
        })
    })?;
    clock.func_wrap_concurrent("wait-for", |store, (length,): (u64,)| {
        Box::pin(async move {
            if length > 0 {
                store
                    .with(|mut store| sleep(store.data_mut(), length))
                    .await;
            }
            Ok(())
        })
    })
}

/// Nanoseconds until the guest's clock says `when`.
fn left<T: Send + 'static>(state: &mut GuestState<T>, when: u64) -> wasmtime::Result<u64> {
    let now = Clock02::now(&mut state.clocks())?;
    Ok(when.saturating_sub(now))
}

fn sleep<T: Send + 'static>(state: &GuestState<T>, length: u64) -> Sleep {
    let clock = &state.guest().run.runtime.clock;
    clock.sleep(Duration::from_nanos(length))
}

fn wait<T: Send + 'static>(
    state: &mut GuestState<T>,
    length: u64,
) -> wasmtime::Result<Resource<DynPollable>> {
    let wait = match length {
        0 => Wait::Over { yielded: false },
        length => Wait::Sleeps(sleep(state, length)),
    };
    let table = state.ctx().table;
    let wait = table.push(wait)?;
    subscribe(table, wait)
}

/// What a pollable waits for.
enum Wait {
    Sleeps(Sleep),
    /// There was nothing to wait for. A guest that polls in a loop without waiting lets others come up once in each.
    Over {
        yielded: bool,
    },
}

#[async_trait]
impl Pollable for Wait {
    async fn ready(&mut self) {
        match self {
            // Asked once, as `pollable.ready` does: the bell of one that is over would ring only after that.
            Self::Sleeps(sleep) => {
                if !sleep.is_over() {
                    sleep.await;
                }
            }
            Self::Over { yielded: true } => {}
            Self::Over { yielded } => {
                *yielded = true;
                yield_now().await;
            }
        }
    }
}
