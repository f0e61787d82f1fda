//! The same as [`wasi`](super::wasi) for WASI 0.3: its clocks, sleeps and random numbers are the machine's.

use super::wasi::{HasView, SECOND, START, View, sleep};
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

/// Replaces what would reach the outside.
pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let view: fn(&mut GuestState) -> View<'_> = |state| View { state };
    monotonic_clock::add_to_linker::<_, HasView>(linker, view)?;
    system_clock::add_to_linker::<_, HasView>(linker, view)?;
    random::add_to_linker::<_, HasView>(linker, view)?;
    insecure::add_to_linker::<_, HasView>(linker, view)?;
    insecure_seed::add_to_linker::<_, HasView>(linker, view)?;
    linker.allow_shadowing(false);
    Ok(())
}

impl<T: Send + 'static> monotonic_clock::HostWithStore<T> for HasView {
    async fn wait_until(store: &Accessor<T, Self>, when: u64) -> wasmtime::Result<()> {
        let machine = store.with(|mut view| view.get().machine())?;
        let left = when.saturating_sub(machine.time());
        sleep(&machine, left).await;
        Ok(())
    }

    async fn wait_for(store: &Accessor<T, Self>, duration: u64) -> wasmtime::Result<()> {
        let machine = store.with(|mut view| view.get().machine())?;
        sleep(&machine, duration).await;
        Ok(())
    }
}

impl monotonic_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        View::now(self)
    }

    fn get_resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }
}

impl types::Host for View<'_> {}

impl system_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<system_clock::Instant> {
        let now = View::now(self)?;
        Ok(system_clock::Instant {
            seconds: i64::try_from(START + now / SECOND)?,
            nanoseconds: u32::try_from(now % SECOND)?,
        })
    }

    fn get_resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }
}

impl random::Host for View<'_> {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.number()
    }
}

impl insecure::Host for View<'_> {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.number()
    }
}

impl insecure_seed::Host for View<'_> {
    fn get_insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.number()?, self.number()?))
    }
}
