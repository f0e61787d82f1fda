//! Requests that guests send: checked against what was granted, each on a connection of its own.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use tokio::time::timeout;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::base::span::{Followed, SpanEnd, SpanNote, SpanOf};
use crate::quota::account::Account;
use crate::quota::account::files::HeldFile;
use crate::sched::clock::Clock;
use crate::sched::clock::pause::Pause;
use crate::sched::io_threads::{IoThreads, Lend};
use crate::wasi::http::allowed::{AllowedHost, reach};
use crate::wasi::http::connect::{Target, connect};

/// How long a guest that says nothing else waits for a connection, for the first byte of an answer, and between two
/// bytes. wasmtime's own figure.
const PATIENCE: Duration = Duration::from_secs(600);

/// The most bytes of a body that are taken from a guest at once. wasmtime takes 1 MiB; a guest may have many bodies, and the
/// host holds what was not sent yet.
pub(crate) const CHUNK: usize = 256 << 10;

/// How many of them a body of WASI 0.2 holds, each so much smaller. Most guests write 4 KiB at once, all that a call of
/// `blocking-write-and-flush` takes: by two at a time they would wait for the connection after every second one.
const PARTS: usize = 16;

/// What drives a connection until all of an answer is there.
type Drive = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// How one guest's requests are sent.
pub(crate) struct Outgoing {
    /// None: the guest may send none.
    from: Option<Sender>,
}

/// Who sends, and where to.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) allowed: Arc<[AllowedHost]>,
    pub(crate) run: u64,
    pub(crate) account: Arc<Account>,
    /// Threads that look up names.
    pub(crate) names: Arc<IoThreads>,
    /// Whose time it is.
    pub(crate) clock: Arc<Clock>,
    /// The task's, if it is followed.
    pub(crate) span: Option<Followed>,
}

/// What one request was granted.
struct Granted {
    target: Target,
    names: Lend,
    file: Arc<HeldFile>,
    clock: Arc<Clock>,
}

impl Outgoing {
    /// Of a guest that may send requests to what its sender says.
    pub(crate) fn new(from: Option<Sender>) -> Self {
        Self { from }
    }

    fn grant(&self, uri: &Uri) -> Result<Granted, Error> {
        let sender = self.from.as_ref().ok_or(Error::HttpRequestDenied)?;
        let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
        let tls = uri.scheme() == Some(&Scheme::HTTPS);
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        // What is in front of an `@` is no part of the host, and nothing that hart passes on.
        if authority.as_str().contains('@') {
            return Err(Error::HttpRequestUriInvalid);
        }
        let host = authority.host();
        let Some(reach) = reach(&sender.allowed, host, port) else {
            tracing::warn!(
                "a guest of {} may not send a request to {host}:{port}: allow it with `--allow-http {host}:{port}` or `RunBuilder::allow_http`",
                sender.account.group.name()
            );
            return Err(Error::HttpRequestDenied);
        };
        let target = Target {
            host: host.to_owned(),
            port,
            tls,
            reach,
        };
        let file = HeldFile::new(&sender.account).map_err(|_| Error::ConnectionLimitReached)?;
        let names = sender.names.lend(sender.run, &sender.account);
        Ok(Granted {
            target,
            names,
            file,
            clock: sender.clock.clone(),
        })
    }
}

impl Outgoing {
    /// The span of `request`, which tells the callee of it, unless the guest does that itself.
    fn span(&self, request: &mut Request<WasiBody>) -> Option<Followed> {
        let above = self.from.as_ref()?.span.as_ref()?;
        let span = above.child(&SpanOf::Outgoing {
            method: request.method(),
            uri: request.uri(),
        })?;
        if !request.headers().contains_key("traceparent") {
            span.inject(request.headers_mut());
        }
        Some(span)
    }
}

impl WasiHttpHooks for Outgoing {
    /// wasmtime adds one.
    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        PARTS - 1
    }

    /// All of them hold what two chunks do.
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        2 * CHUNK / PARTS
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    fn send_request(
        &mut self,
        mut request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Drive,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Drive), Error>> + Send> {
        let granted = self.grant(request.uri());
        let options = options.unwrap_or_default();
        let Some(span) = self.span(&mut request) else {
            return Box::new(async move { send(request, options, granted?).await });
        };
        Box::new(async move {
            let sent = match granted {
                Ok(granted) => send(request, options, granted).await,
                Err(error) => Err(error),
            };
            if let Ok((response, _)) = &sent {
                span.note(&SpanNote::Status(response.status()));
            }
            let error = sent.as_ref().err().map(ToString::to_string);
            span.end(&SpanEnd::of_request(error.as_deref()));
            sent
        })
    }
}

async fn send(
    mut request: Request<WasiBody>,
    options: RequestOptions,
    granted: Granted,
) -> Result<(Response<WasiBody>, Drive), Error> {
    let connects = async {
        let stream = TokioIo::new(connect(&granted.target, granted.names).await?);
        Ok::<_, Error>(http1::handshake(stream).await?)
    };
    let connect_timeout = options.connect_timeout.unwrap_or(PATIENCE);
    let (mut sender, connection) = timeout(connect_timeout, connects)
        .await
        .map_err(|_| Error::ConnectionTimeout)??;
    // A request to a server, and not to a proxy, has the path only.
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    let mut connection = Connection(Some(connection));
    let response = {
        let answers = timeout(
            options.first_byte_timeout.unwrap_or(PATIENCE),
            sender.send_request(request),
        );
        let mut answers = pin!(answers);
        std::future::poll_fn(|cx| {
            // The connection moves only while it is polled.
            let driven = Pin::new(&mut connection).poll(cx);
            match (answers.as_mut().poll(cx), driven) {
                (Poll::Ready(answer), _) => Poll::Ready(
                    answer
                        .map_err(|_| Error::ConnectionReadTimeout)
                        .and_then(|answer| answer.map_err(Error::from)),
                ),
                (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
                (Poll::Pending, _) => Poll::Pending,
            }
        })
        .await?
    };
    let between = options.between_bytes_timeout.unwrap_or(PATIENCE);
    let response = response.map(|body| {
        let pause = Pause::new(granted.clock, between);
        TimedBody { body, pause }.boxed_unsync()
    });
    let drive = async move {
        let _file = granted.file;
        connection.await
    };
    Ok((response, Box::new(drive)))
}

/// hyper's connection, which may be polled again after its end.
struct Connection(Option<http1::Connection<TokioIo<Box<dyn super::connect::Stream>>, WasiBody>>);

impl Future for Connection {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(connection) = &mut self.0 else {
            return Poll::Ready(Ok(()));
        };
        let ended = ready!(Pin::new(connection).poll(cx));
        self.0 = None;
        Poll::Ready(ended.map_err(Error::from))
    }
}

/// The body of an answer, of which the next bytes are there in time.
struct TimedBody {
    body: Incoming,
    pause: Pause,
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.pause.ends();
            return Poll::Ready(frame.map(|frame| frame.map_err(Error::from)));
        }
        ready!(this.pause.poll(cx));
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
