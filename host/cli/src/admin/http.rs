//! A small HTTP server on a thread of its own, so that it answers where guests keep all workers busy.

use hart_host::http::header::CONTENT_TYPE;
use hart_host::http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long it waits to accept again where the system has no descriptor left.
const NO_DESCRIPTOR: Duration = Duration::from_millis(50);

/// Connections at once; more wait.
const CONNECTIONS: usize = 64;

/// How long a connection over TCP may last: anybody on the machine can open one.
const LONGEST: Duration = Duration::from_secs(60);

/// How long an answer that has begun by then may take.
const REST: Duration = Duration::from_secs(5);

/// Where it accepts.
pub(crate) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// Answers each request with what `answer` says, until the process ends. `name` is the thread's.
///
/// # Errors
/// Where the system gives no thread or refuses the listener.
pub(crate) fn serve<A, F>(name: &str, listener: Listener, answer: A) -> io::Result<()>
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    match &listener {
        Listener::Unix(listener) => listener.set_nonblocking(true)?,
        Listener::Tcp(listener) => listener.set_nonblocking(true)?,
    }
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::Builder::new().name(name.into()).spawn(move || {
        let _ = tokio.block_on(accept(listener, answer));
    })?;
    Ok(())
}

async fn accept<A, F>(listener: Listener, answer: A) -> io::Result<()>
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    match listener {
        Listener::Unix(listener) => {
            let listener = tokio::net::UnixListener::from_std(listener)?;
            loop {
                let slot = slots.clone().acquire_owned().await;
                let slot = slot.map_err(io::Error::other)?;
                match listener.accept().await {
                    Ok((stream, _)) => speak(stream, answer.clone(), None, slot),
                    Err(_) => tokio::time::sleep(NO_DESCRIPTOR).await,
                }
            }
        }
        Listener::Tcp(listener) => {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            loop {
                let slot = slots.clone().acquire_owned().await;
                let slot = slot.map_err(io::Error::other)?;
                match listener.accept().await {
                    Ok((stream, _)) => speak(stream, answer.clone(), Some(LONGEST), slot),
                    Err(_) => tokio::time::sleep(NO_DESCRIPTOR).await,
                }
            }
        }
    }
}

/// Answers what comes by `stream`, for `longest` at most, and gives its slot back.
fn speak<S, A, F>(stream: S, answer: A, longest: Option<Duration>, slot: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answered = answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    tokio::spawn(async move {
        let _slot = slot;
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new());
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        // A client that goes away is no error of ours.
        let Some(longest) = longest else {
            let _ = connection.await;
            return;
        };
        if timeout(longest, connection.as_mut()).await.is_err() {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(REST, connection).await;
        }
    });
}

/// An answer in plain text.
pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", text)
}

/// An answer of this type.
pub(crate) fn typed(
    status: StatusCode,
    content_type: &'static str,
    text: impl Into<String>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text.into()));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
