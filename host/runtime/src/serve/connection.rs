//! One connection: the protocol is hyper's, the answers are the services'.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, HeaderName, HeaderValue};
use http::uri::Scheme;
use http::{HeaderMap, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::sched::core::Core;
use crate::serve::access::{AccessLog, Begun};
use crate::serve::patience::{self, Asked};
use crate::serve::routes::Routes;
use crate::serve::sound;
use crate::service::body::ResponseBody;
use crate::service::handle::RequestUsage;

/// What all connections of a server have in common.
pub(super) struct Shared<T: 'static> {
    pub(super) core: Arc<Core>,
    pub(super) routes: Arc<Routes<T>>,
    pub(super) terms: Terms,
    pub(super) access_log: Option<Arc<AccessLog>>,
}

/// Who is at the other end, and how it speaks.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) is_secure: bool,
}

/// What a server asks of its clients, and adds to what they send and get.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) header_bytes: usize,
    pub(super) header_timeout: Duration,
    pub(super) write_timeout: Duration,
    pub(super) request_headers: HeaderMap,
    pub(super) server_timing: bool,
}

/// Has hyper's own tasks run on the host's workers: those are streams of HTTP/2.
#[derive(Clone)]
struct OnWorkers {
    core: Arc<Core>,
    write_timeout: Duration,
}

impl<F> hyper::rt::Executor<F> for OnWorkers
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let stream = patience::stream(task, self.core.clock.clone(), self.write_timeout);
        self.core.spawn_aside("connection", stream);
    }
}

/// Serves one connection until it ends, or until `watcher` is told to end it.
pub(super) async fn serve<T, S>(shared: Arc<Shared<T>>, stream: S, peer: Peer, watcher: Watcher)
where
    T: Send + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let terms = &shared.terms;
    let mut builder = auto::Builder::new(OnWorkers {
        core: shared.core.clone(),
        write_timeout: terms.write_timeout,
    });
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(terms.header_timeout)
        .max_buf_size(terms.header_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(terms.header_timeout)
        .max_header_list_size(u32::try_from(terms.header_bytes).unwrap_or(u32::MAX));
    let answers = shared.clone();
    let service = service_fn(move |request| patience::asks(answer(answers.clone(), peer, request)));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        tracing::debug!("a connection ended: {error}");
    }
}

async fn answer<T: Send + 'static>(
    shared: Arc<Shared<T>>,
    peer: Peer,
    mut request: Request<Incoming>,
) -> Result<Response<Asked<ResponseBody>>, Infallible> {
    let begun = shared
        .access_log
        .as_ref()
        .map(|_| Begun::new(peer.address, &request));
    say_scheme(&mut request, peer);
    let (mut response, app) = route(&shared, request).await;
    if let (Some(log), Some(begun)) = (&shared.access_log, begun) {
        begun.responds(log.clone(), app, &mut response);
    }
    Ok(response.map(Asked))
}

/// The request's answer, and the name of the service that gave it.
async fn route<T: Send + 'static>(
    shared: &Shared<T>,
    mut request: Request<Incoming>,
) -> (Response<ResponseBody>, Option<String>) {
    if let Err((status, text)) = sound::check(&request) {
        return says(status, text);
    }
    let headers = request.headers_mut();
    for name in shared.terms.request_headers.keys() {
        headers.remove(name);
    }
    for (name, value) in &shared.terms.request_headers {
        headers.append(name, value.clone());
    }
    say_host(&mut request);
    let Some(service) = shared.routes.service_for(&request) else {
        return says(StatusCode::NOT_FOUND, "no app answers this path\n");
    };
    let mut response = service.respond(request).await;
    if shared.terms.server_timing
        && let Some(usage) = response.extensions().get::<RequestUsage>()
    {
        let timing = server_timing(usage);
        let name = HeaderName::from_static("server-timing");
        response.headers_mut().append(name, timing);
    }
    let app = shared
        .access_log
        .as_ref()
        .map(|_| service.name().to_owned());
    (response, app)
}

/// Has the request's URI say how it came: what the client says of that counts for nothing. A request of HTTP/1.1 says
/// nothing, which stands for cleartext.
fn say_scheme(request: &mut Request<Incoming>, peer: Peer) {
    let scheme = match peer.is_secure {
        true => Scheme::HTTPS,
        false if request.uri().scheme().is_none() => return,
        false => Scheme::HTTP,
    };
    if request.uri().scheme() == Some(&scheme) {
        return;
    }
    let mut parts = request.uri().clone().into_parts();
    if parts.authority.is_none() {
        let host = request.headers().get(HOST);
        parts.authority = host.and_then(|host| host.as_bytes().try_into().ok());
    }
    parts.scheme = Some(scheme);
    // Without a host there is no such URI: the service says what is missing.
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// Gives a request of HTTP/1.0 that names no host one, as it need not name any: many health checks do not.
fn say_host(request: &mut Request<Incoming>) {
    let is_old = request.version() == Version::HTTP_10;
    if is_old && request.uri().authority().is_none() && !request.headers().contains_key(HOST) {
        let host = HeaderValue::from_static("localhost");
        request.headers_mut().insert(HOST, host);
    }
}

/// An answer of the server's own, which no app has.
fn says(status: StatusCode, text: &str) -> (Response<ResponseBody>, Option<String>) {
    let mut response = Response::new(ResponseBody::text(text.into()));
    *response.status_mut() = status;
    (response, None)
}

/// What the request has used until its response began.
fn server_timing(usage: &RequestUsage) -> HeaderValue {
    let stats = usage.stats();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let text = format!(
        "cpu;dur={:.3}, wait;dur={:.3}, preempted;dur={:.3}, memory;desc=\"{} bytes\"",
        ms(stats.cpu_time),
        ms(stats.wait_time),
        ms(stats.preempted_time),
        stats.peak_memory
    );
    HeaderValue::from_str(&text).expect("it is plain text")
}
