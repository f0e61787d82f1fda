//! One connection: the protocol is hyper's, the answers are the services'.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::{Either, select};

use http::header::{HOST, HeaderName, HeaderValue};
use http::uri::Scheme;
use http::{HeaderMap, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::base::signal::Signal;
use crate::sched::core::Core;
use crate::serve::access::{AccessLog, Begun};
use crate::serve::between::{Between, Counted, Stream, Watched};
use crate::serve::patience::{self, Asked};
use crate::serve::routes::Routes;
use crate::serve::sound;
use crate::service::body::ResponseBody;
use crate::service::guest::host;
use crate::service::handle::RequestUsage;

/// What all connections of a server have in common.
pub(super) struct Shared<T: 'static> {
    pub(super) core: Arc<Core>,
    pub(super) routes: Arc<Routes<T>>,
    pub(super) terms: Terms,
    pub(super) access_log: Option<Arc<AccessLog>>,
    pub(super) stops: Stops,
}

/// Tells connections to end.
#[derive(Default)]
pub(super) struct Stops {
    stopped: AtomicBool,
    signal: Signal,
}

impl Stops {
    /// Each connection ends after the request that it is at.
    pub(super) fn stop(&self) {
        // Release: pairs with the Acquire in `stopped`.
        self.stopped.store(true, Ordering::Release);
        self.signal.notify();
    }

    async fn stopped(&self) {
        let stopped = || self.stopped.load(Ordering::Acquire);
        self.signal.wait(stopped).await;
    }
}

/// What HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The most that is read of a body at once. Long bodies come faster than by the 64 KiB that a head may have.
const BUFFER: usize = 256 << 10;

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

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Serves one connection until it ends, or until it is told to.
pub(super) async fn serve<T: Send + 'static, S: Stream>(
    shared: Arc<Shared<T>>,
    stream: S,
    peer: Peer,
) {
    if let Err(error) = speak(&shared, stream, peer).await {
        tracing::debug!("a connection ended: {error}");
    }
}

async fn speak<T: Send + 'static, S: Stream>(
    shared: &Arc<Shared<T>>,
    mut stream: S,
    peer: Peer,
) -> Result<(), Failed> {
    let ahead = {
        let first = pin!(timeout(
            shared.terms.header_timeout,
            first_bytes(&mut stream)
        ));
        match select(first, pin!(shared.stops.stopped())).await {
            Either::Left((first, _)) => first??,
            Either::Right(_) => return Ok(()),
        }
    };
    if ahead == PREFACE {
        // It is large, and has hardly anything in common with the other.
        Box::pin(speak_http2(shared, stream, ahead, peer)).await
    } else {
        speak_http1(shared, stream, ahead, peer).await
    }
}

/// As many bytes as it takes to tell the protocols apart.
async fn first_bytes<S: Stream>(stream: &mut S) -> io::Result<Bytes> {
    let mut first = BytesMut::with_capacity(PREFACE.len());
    while first.len() < PREFACE.len() && PREFACE.starts_with(&first) {
        let mut next = [0; PREFACE.len()];
        let count = stream.read(&mut next[first.len()..]).await?;
        if count == 0 {
            break;
        }
        first.extend_from_slice(&next[first.len()..][..count]);
    }
    Ok(first.freeze())
}

async fn speak_http2<T: Send + 'static, S: Stream>(
    shared: &Arc<Shared<T>>,
    stream: S,
    ahead: Bytes,
    peer: Peer,
) -> Result<(), Failed> {
    let terms = &shared.terms;
    let stream = Watched {
        stream,
        ahead,
        between: Arc::default(),
    };
    let answers = shared.clone();
    let service = service_fn(move |request| patience::asks(answer(answers.clone(), peer, request)));
    let workers = OnWorkers {
        core: shared.core.clone(),
        write_timeout: terms.write_timeout,
    };
    let mut connection = pin!(
        http2::Builder::new(workers)
            .timer(TokioTimer::new())
            .keep_alive_interval(terms.header_timeout)
            .max_header_list_size(u32::try_from(terms.header_bytes).unwrap_or(u32::MAX))
            .serve_connection(TokioIo::new(stream), service)
    );
    match select(connection.as_mut(), pin!(shared.stops.stopped())).await {
        Either::Left((ended, _)) => ended?,
        Either::Right(_) => {
            connection.as_mut().graceful_shutdown();
            connection.await?;
        }
    }
    Ok(())
}

/// hyper has the connection while something is under way: see [`between`](super::between).
async fn speak_http1<T: Send + 'static, S: Stream>(
    shared: &Arc<Shared<T>>,
    mut stream: S,
    mut ahead: Bytes,
    peer: Peer,
) -> Result<(), Failed> {
    let terms = &shared.terms;
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(terms.header_timeout)
        .max_header_size(terms.header_bytes)
        .max_buf_size(BUFFER.max(terms.header_bytes));
    let mut stopped = pin!(shared.stops.stopped());
    loop {
        let between = Arc::new(Between::default());
        let watched = Watched {
            stream,
            ahead,
            between: between.clone(),
        };
        let (answers, counts) = (shared.clone(), between.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let underway = counts.begins(request.body());
            let answered = answer(answers.clone(), peer, request);
            async move {
                let response = answered.await?.map(|body| Counted {
                    body,
                    _underway: underway,
                });
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = Box::new(builder.serve_connection(TokioIo::new(watched), service));
        let mut is_told = false;
        let ended = poll_fn(|cx| {
            if !is_told && stopped.as_mut().poll(cx).is_ready() {
                is_told = true;
                Pin::new(&mut *connection).graceful_shutdown();
            }
            match Pin::new(&mut *connection).poll(cx) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending if !is_told && between.is_here() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        });
        if let Some(ended) = ended.await {
            let is_late = ended.as_ref().is_err_and(hyper::Error::is_timeout);
            if is_late && between.is_in_head() {
                let stream = connection.into_parts().io.into_inner().stream;
                // Whoever does not take the answer at once has none.
                let _ = timeout(TOO_LATE_TIMEOUT, say_too_late(stream)).await;
            }
            return Ok(ended?);
        }
        let parts = connection.into_parts();
        stream = parts.io.into_inner().stream;
        ahead = parts.read_buf;
        if ahead.is_empty() {
            // It is a part of hyper's buffer, and keeps all of that.
            ahead = Bytes::new();
            let readable = poll_fn(|cx| stream.poll_readable(cx));
            let readable = pin!(timeout(terms.header_timeout, readable));
            match select(readable, stopped.as_mut()).await {
                Either::Left((readable, _)) => readable??,
                Either::Right(_) => return Ok(()),
            }
        }
    }
}

/// What a client is told whose request does not come to the end of its head. hyper only closes the connection.
const TOO_LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 36\r\n\r\nthe request came too slowly to read\n";

/// How long that may take.
const TOO_LATE_TIMEOUT: Duration = Duration::from_secs(1);

async fn say_too_late<S: Stream>(mut stream: S) -> io::Result<()> {
    stream.write_all(TOO_LATE).await?;
    stream.shutdown().await
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
        parts.authority = host(request.headers());
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
