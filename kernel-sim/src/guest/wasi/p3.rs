//! WASI 0.3.

use super::{
    shared::replaced,
    view::{HasView, Outside, View, sleep},
};
use hart_host::{
    GuestState,
    wasmtime::{
        self,
        component::{Accessor, Linker},
    },
    wasmtime_wasi::p3::bindings::{
        clocks::{monotonic_clock, system_clock, types},
        random::{insecure, insecure_seed, random},
    },
};

replaced!(system_clock, get_insecure_seed);

impl<T: Send + 'static> monotonic_clock::HostWithStore<T> for HasView {
    async fn wait_until(store: &Accessor<T, Self>, when: u64) -> wasmtime::Result<()> {
        let machine = store.with(|mut view| view.get().machine().clone());
        let left = when.saturating_sub(machine.time());
        sleep(&machine, left).await;
        Ok(())
    }

    async fn wait_for(store: &Accessor<T, Self>, duration: u64) -> wasmtime::Result<()> {
        let machine = store.with(|mut view| view.get().machine().clone());
        sleep(&machine, duration).await;
        Ok(())
    }
}

impl monotonic_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(View::now(self))
    }

    fn get_resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }
}

impl types::Host for View<'_> {}

impl system_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<system_clock::Instant> {
        let (seconds, nanoseconds) = self.time_of_day()?;
        Ok(system_clock::Instant {
            seconds: i64::try_from(seconds)?,
            nanoseconds,
        })
    }

    fn get_resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }
}
