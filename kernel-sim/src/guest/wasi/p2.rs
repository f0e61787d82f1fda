//! WASI 0.2.

use super::{
    shared::replaced,
    view::{HasView, Outside, View, sleep},
};
use crate::machine::Machine;
use hart_host::{
    GuestState,
    wasmtime::{
        self,
        component::{Linker, Resource},
    },
    wasmtime_wasi::{
        WasiView, async_trait,
        p2::{
            DynPollable, Pollable,
            bindings::{
                clocks::{monotonic_clock, wall_clock},
                random::{insecure, insecure_seed, random},
            },
            subscribe,
        },
    },
    wasmtime_wasi_http::{
        Error, RequestOptions, WasiHttpView,
        p2::{
            bindings::http::types::ErrorCode,
            types::{HostFutureIncomingResponse, HostOutgoingRequest},
        },
    },
};
use std::sync::Arc;

replaced!(wall_clock, insecure_seed);

/// Replaces what sends requests: wasmtime's own does that on threads, where even a refusal comes at a time of its own.
pub(in crate::guest) fn add_http_to_linker(
    linker: &mut Linker<GuestState<Outside>>,
) -> wasmtime::Result<()> {
    type Sent = Result<Resource<HostFutureIncomingResponse>, ErrorCode>;
    type Asked = (
        Resource<HostOutgoingRequest>,
        Option<Resource<RequestOptions>>,
    );

    linker.allow_shadowing(true);
    linker
        .instance("wasi:http/outgoing-handler@0.2.12")?
        .func_wrap("handle", |mut store, (request, options): Asked| {
            let state: &mut GuestState<Outside> = store.data_mut();
            let table = state.http().table;
            drop(table.delete(request)?);
            if let Some(options) = options {
                table.delete(options)?;
            }
            let denied = HostFutureIncomingResponse::Ready(Err(Error::HttpRequestDenied));
            Ok((Sent::Ok(table.push(denied)?),))
        })?;
    linker.allow_shadowing(false);
    Ok(())
}

impl View<'_> {
    fn wait(&mut self, nanoseconds: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let machine = self.machine().clone();
        let deadline = machine.time().saturating_add(nanoseconds);
        let table = self.state.ctx().table;
        let deadline = table.push(Deadline { machine, deadline })?;
        subscribe(table, deadline)
    }
}

/// Ready at a time of the machine.
struct Deadline {
    machine: Arc<Machine>,
    deadline: u64,
}

#[async_trait]
impl Pollable for Deadline {
    async fn ready(&mut self) {
        let left = self.deadline.saturating_sub(self.machine.time());
        sleep(&self.machine, left).await;
    }
}

impl monotonic_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(View::now(self))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let now = View::now(self);
        self.wait(when.saturating_sub(now))
    }

    fn subscribe_duration(&mut self, nanoseconds: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.wait(nanoseconds)
    }
}

impl wall_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let (seconds, nanoseconds) = self.time_of_day()?;
        Ok(wall_clock::Datetime {
            seconds,
            nanoseconds,
        })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime {
            seconds: 0,
            nanoseconds: 1,
        })
    }
}
