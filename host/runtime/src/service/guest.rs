//! How a guest is given a request: by the handlers of WASI 0.2 and 0.3.

use std::future::poll_fn;
use std::sync::OnceLock;

use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Request, Uri};
use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};
use wasmtime_wasi_http::p2::bindings::ProxyIndices;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme as Scheme02;
use wasmtime_wasi_http::p3::{self, bindings::ServiceIndices};
use wasmtime_wasi_http::{WasiBody, WasiHttpView as _};

use super::exchange::Reply;
use crate::instance::store::{Component, GuestState};

/// What of a component takes requests.
pub(super) struct Handler {
    /// In the code that there was first.
    first: Indices,
    first_is_baseline: bool,
    /// In the code that took its place.
    later: OnceLock<Indices>,
}

enum Indices {
    /// `wasi:http/incoming-handler` of WASI 0.2.
    Wasi02(ProxyIndices),
    /// `wasi:http/handler` of WASI 0.3.
    Wasi03(ServiceIndices),
}

impl Handler {
    /// That of `component`, if it has one. Where it has both, that of 0.3.
    pub(super) fn of<T: Send + 'static>(component: &Component<T>) -> Option<Self> {
        let code = component.newest();
        Some(Self {
            first: Indices::of(code.pre()).ok()?,
            first_is_baseline: code.interface().is_baseline(),
            later: OnceLock::new(),
        })
    }

    pub(super) fn is_wasi03(&self) -> bool {
        matches!(self.first, Indices::Wasi03(_))
    }

    /// Gives the guest `request`; returns once it has nothing left to do for it.
    pub(super) async fn handle<T: Send + 'static>(
        &self,
        store: &mut Store<GuestState<T>>,
        instance: Instance,
        request: Request<WasiBody>,
        reply: Reply,
    ) -> wasmtime::Result<()> {
        let is_baseline = store.data().interface().is_baseline();
        let indices = if is_baseline == self.first_is_baseline {
            &self.first
        } else if let Some(later) = self.later.get() {
            later
        } else {
            let later = Indices::of(&instance.instance_pre(&*store))?;
            self.later.get_or_init(|| later)
        };
        match indices {
            Indices::Wasi02(proxy) => handle02(proxy, store, instance, request, reply).await,
            Indices::Wasi03(service) => handle03(service, store, instance, request, reply).await,
        }
    }
}

impl Indices {
    fn of<T: Send + 'static>(pre: &InstancePre<GuestState<T>>) -> wasmtime::Result<Self> {
        let wasi03 = ServiceIndices::new(pre).map(Self::Wasi03);
        wasi03.or_else(|_| ProxyIndices::new(pre).map(Self::Wasi02))
    }
}

async fn handle02<T: Send + 'static>(
    proxy: &ProxyIndices,
    store: &mut Store<GuestState<T>>,
    instance: Instance,
    request: Request<WasiBody>,
    mut reply: Reply,
) -> wasmtime::Result<()> {
    let proxy = proxy.load(&mut *store, &instance)?;
    let scheme = match request.uri().scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => Scheme02::Https,
        _ => Scheme02::Http,
    };
    let mut http = store.data_mut().http();
    let request = http.new_incoming_request(scheme, request)?;
    let answer = http.new_response_outparam_from_callback(move |answer| {
        reply.send(answer.map_err(|code| format!("{code:?}")));
    })?;
    let handler = proxy.wasi_http_incoming_handler();
    handler.call_handle(store, request, answer).await
}

async fn handle03<T: Send + 'static>(
    service: &ServiceIndices,
    store: &mut Store<GuestState<T>>,
    instance: Instance,
    mut request: Request<WasiBody>,
    mut reply: Reply,
) -> wasmtime::Result<()> {
    complete(&mut request);
    let service = service.load(&mut *store, &instance)?;
    let http = store.data_mut().http();
    let (request, received) = p3::Request::from_http(http.hooks, request);
    let request = http.table.push(request)?;
    let handles = async |accessor: &wasmtime::component::Accessor<GuestState<T>>| {
        let handler = service.wasi_http_handler();
        match handler.call_handle(accessor, request).await? {
            Ok(response) => {
                let response = accessor.with(|mut store| {
                    let response = store.get().http().table.delete(response)?;
                    response.into_http_with_getter(&mut store, received, GuestState::http)
                })?;
                reply.send(Ok(response));
            }
            Err(code) => reply.send(Err(format!("{code:?}"))),
        }
        // It may go on after it has returned: a body is written by a task of its own.
        poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
        wasmtime::error::Ok(())
    };
    store.run_concurrent(handles).await?
}

/// Has the URI say the host, where only a header does, as in HTTP/1.1: wasmtime hides that header from guests, and gives
/// those of 0.3 what the URI says.
fn complete(request: &mut Request<WasiBody>) {
    if request.uri().authority().is_some() {
        return;
    }
    let mut parts = request.uri().clone().into_parts();
    parts.authority = host(request.headers());
    parts.scheme.get_or_insert(Scheme::HTTP);
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// What the header `Host` names.
pub(crate) fn host(headers: &HeaderMap) -> Option<Authority> {
    headers.get(HOST)?.as_bytes().try_into().ok()
}
