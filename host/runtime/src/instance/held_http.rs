//! Heads and bodies of HTTP that a guest makes: they are in the host's heap, and count as memory of its run.
//!
//! # Protocol
//!
//! 1. Every call gets at them through [`HttpState::before_call`]. There is room reserved for what [`CALLS`] calls may add,
//!    each of them at most [`BY_ONE_CALL`].
//! 2. After so many calls, everything in the table is measured, and what is missing is reserved. This is the guest's own
//!    time: it is long for those who hold much.
//! 3. Where it cannot be reserved, the guest ends on its way out of the call.
//!
//! wasmtime-wasi-http bounds what a call adds, but for the name of a method, which [`http`](super::http) bounds.

use std::any::Any;
use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::p2::bindings::http::types::{Method as Method02, Scheme as Scheme02};
use wasmtime_wasi_http::p2::types::{
    HostFutureIncomingResponse, HostOutgoingRequest, HostOutgoingResponse,
};
use wasmtime_wasi_http::p3::{Request as Request03, Response as Response03};
use wasmtime_wasi_http::{FieldMap, WasiHttpCtx};

use crate::instance::guest::Guest;
use crate::quota::account::Account;
use crate::quota::kill::Kill;
use crate::wasi::http::outgoing::{CHUNK, Outgoing};

/// The most bytes of headers that a guest may have in one place, as wasmtime-wasi-http counts them.
const FIELDS: usize = 16 << 10;
/// What one of the headers takes beside its text, in a table that has room for others.
const HEADER: usize = 128;
/// The most bytes that a call may add: a copy of all headers that a client may send, or a path.
const BY_ONE_CALL: u64 = 64 << 10;
/// So many calls go by between two looks.
const CALLS: u64 = 2;

/// What a body may hold of what was written to it: the chunk that is being sent, and the next one.
const BODY: usize = 2 * CHUNK;

/// What wasi:http keeps for one task.
pub(crate) struct HttpState {
    pub(crate) context: WasiHttpCtx,
    pub(crate) outgoing: Outgoing,
    account: Arc<Account>,
    /// Bytes that are reserved.
    room: u64,
    /// Calls that may still be made before the next look.
    calls: u64,
}

impl HttpState {
    pub(crate) fn new(guest: &Guest) -> Box<Self> {
        let run = &guest.run;
        let outgoing = run.recipe.outgoing(
            run.id,
            &run.account,
            &run.io.names,
            &run.runtime.clock,
            guest.denied,
            guest.span.as_ref(),
        );
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(FIELDS);
        Box::new(Self {
            context,
            outgoing,
            account: run.account.clone(),
            room: 0,
            calls: 0,
        })
    }

    /// Steps 1 to 3.
    pub(crate) fn before_call(&mut self, table: &mut ResourceTable, guest: &Guest) {
        if let Some(left) = self.calls.checked_sub(1) {
            self.calls = left;
            return;
        }
        let held: usize = table.iter_mut().map(|entry| held(entry)).sum();
        let wanted = held as u64 + CALLS * BY_ONE_CALL;
        match wanted.checked_sub(self.room) {
            Some(missing) => match guest.run.hold(missing) {
                Ok(()) => self.room = wanted,
                Err(reached) => return guest.control.kill(Kill::Limit(reached)),
            },
            None => {
                self.account.release(self.room - wanted);
                self.room = wanted;
            }
        }
        self.calls = CALLS - 1;
    }
}

impl Drop for HttpState {
    fn drop(&mut self) {
        self.account.release(self.room);
    }
}

/// Bytes of the host's heap that an entry of a guest's table holds. What several entries share is counted for each.
fn held(entry: &dyn Any) -> usize {
    if let Some(fields) = entry.downcast_ref::<FieldMap>() {
        return headers(fields);
    }
    if let Some(request) = entry.downcast_ref::<HostOutgoingRequest>() {
        let method = match &request.method {
            Method02::Other(name) => name.len(),
            _ => 0,
        };
        let scheme = match &request.scheme {
            Some(Scheme02::Other(name)) => name.len(),
            _ => 0,
        };
        let texts = [&request.authority, &request.path_with_query];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        return headers(&request.headers)
            + method
            + scheme
            + texts
            + request.body.as_ref().map_or(0, |_| BODY);
    }
    if let Some(response) = entry.downcast_ref::<HostOutgoingResponse>() {
        return headers(&response.headers) + response.body.as_ref().map_or(0, |_| BODY);
    }
    if entry.is::<HostFutureIncomingResponse>() {
        return BODY;
    }
    if let Some(request) = entry.downcast_ref::<Request03>() {
        let authority = request.authority.as_ref().map(|text| text.as_str().len());
        let path = request
            .path_with_query
            .as_ref()
            .map(|text| text.as_str().len());
        return headers(&request.headers)
            + request.method.as_str().len()
            + authority.unwrap_or(0)
            + path.unwrap_or(0);
    }
    if let Some(response) = entry.downcast_ref::<Response03>() {
        return headers(&response.headers);
    }
    0
}

fn headers(map: &FieldMap) -> usize {
    let texts: usize = map
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    // Values of one name are in a list of their own.
    texts + (map.capacity() + map.len() - map.keys_len()) * HEADER
}
