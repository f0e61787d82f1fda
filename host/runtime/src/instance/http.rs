//! `wasi:http`, as wasmtime-wasi-http has it, but for what it takes of the host: see [`http_state`](super::http_state).

use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::http::types::{self as types02, Method as Method02};
use wasmtime_wasi_http::p2::types::HostOutgoingRequest;
use wasmtime_wasi_http::p3::Request as Request03;
use wasmtime_wasi_http::p3::bindings::http::types::{self as types03, Method as Method03};

use crate::instance::store::GuestState;

/// The longest name of a method. There are none of half this length.
const METHOD: usize = 64;

type Set = wasmtime::Result<(Result<(), ()>,)>;

/// Replaces what takes a text of any length. The linker must allow shadowing.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<GuestState<T>>,
) -> wasmtime::Result<()> {
    linker.instance("wasi:http/types@0.2.12")?.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store, (request, method): (Resource<HostOutgoingRequest>, Method02)| -> Set {
            if matches!(&method, Method02::Other(name) if name.len() > METHOD) {
                return Ok((Err(()),));
            }
            let http = &mut store.data_mut().http();
            let set = types02::HostOutgoingRequest::set_method(http, request, method)?;
            Ok((set,))
        },
    )
}

/// The same for WASI 0.3.
pub(crate) fn add_to_linker_async<T: Send + 'static>(
    linker: &mut Linker<GuestState<T>>,
) -> wasmtime::Result<()> {
    linker.instance("wasi:http/types@0.3.0")?.func_wrap(
        "[method]request.set-method",
        |mut store, (request, method): (Resource<Request03>, Method03)| -> Set {
            if matches!(&method, Method03::Other(name) if name.len() > METHOD) {
                return Ok((Err(()),));
            }
            let http = &mut store.data_mut().http();
            Ok((types03::HostRequest::set_method(http, request, method)?,))
        },
    )
}
