//! A server: it accepts connections until it is stopped.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};
use http::HeaderMap;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::base::signal::Signal;
use crate::base::sync::lock;
use crate::host::handle::Host;
use crate::sched::core::Core;
use crate::serve::access::{AccessLog, AccessRecord};
use crate::serve::connection::{Peer, Shared, Stops, Terms, serve};
use crate::serve::patience::Patient;
use crate::serve::routes::Routes;

/// A server that is being set up. From [`Host::server`].
#[must_use = "a server begins with `start`"]
pub struct ServerBuilder<T: 'static = ()> {
    core: Arc<Core>,
    terms: Terms,
    connections: usize,
    tls: Option<Arc<ServerConfig>>,
    routes: Arc<Routes<T>>,
    access_log: Option<Arc<AccessLog>>,
}

/// A server that runs. Dropped, it accepts no more; what it has accepted goes on.
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    state: Arc<State>,
}

struct State {
    /// Connections that are not over, and one for the task that accepts.
    live: AtomicUsize,
    /// Notified when one ends.
    ended: Signal,
    tls: Option<Mutex<Arc<ServerConfig>>>,
}

/// How long the server waits to accept again where the system has no descriptor left.
const NO_DESCRIPTOR: Duration = Duration::from_millis(50);
/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);

impl<T: Send + 'static> Host<T> {
    /// A server for HTTP/1.1 and HTTP/2 over `routes`, on the host's own workers.
    pub fn server(&self, routes: Arc<Routes<T>>) -> ServerBuilder<T> {
        ServerBuilder {
            core: self.inner().runtime.clone(),
            terms: Terms {
                header_bytes: 64 << 10,
                header_timeout: Duration::from_secs(30),
                write_timeout: Duration::from_secs(60),
                request_headers: HeaderMap::new(),
                server_timing: false,
            },
            connections: usize::MAX,
            tls: None,
            routes,
            access_log: None,
        }
    }
}

impl<T: Send + 'static> ServerBuilder<T> {
    /// The most connections at once; more wait in the system's queue. Default: no limit.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// The most bytes that the head of a request may have; more is answered with 431. Default 64 KiB; at least 8 KiB.
    pub fn header_limit(mut self, bytes: usize) -> Self {
        self.terms.header_bytes = bytes.max(8 << 10);
        self
    }

    /// How long a client may take to send the head of a request. Default 30 s.
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        self.terms.header_timeout = timeout;
        self
    }

    /// How long a client may take nothing of what is sent to it. Then the connection is closed, and the run of its request
    /// cancelled. Default 60 s.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.terms.write_timeout = timeout;
        self
    }

    /// Headers that every request has, instead of those of the same names that the client sent.
    pub fn request_headers(mut self, headers: HeaderMap) -> Self {
        self.terms.request_headers = headers;
        self
    }

    /// Whether responses have a `Server-Timing` header with what the request used: CPU time, time in queues, time after
    /// preemptions, the most memory. Default: no.
    pub fn server_timing(mut self, timing: bool) -> Self {
        self.terms.server_timing = timing;
        self
    }

    /// Has clients speak TLS. For HTTP/2 its `alpn_protocols` have `h2`. Default: they do not.
    pub fn tls(mut self, config: Arc<ServerConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Calls `log` for each request, when the body of its response has ended or was dropped. It is called on a worker,
    /// which it should not hold up. Default: nothing.
    pub fn access_log(mut self, log: impl Fn(&AccessRecord) + Send + Sync + 'static) -> Self {
        self.access_log = Some(Arc::new(log));
        self
    }

    /// Starts to accept from `listener`.
    ///
    /// # Errors
    ///
    /// Where the system or tokio refuses the listener.
    pub fn start(self, listener: TcpListener) -> io::Result<Server> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let listener = {
            let tokio =
                self.core.crew.tokio().ok_or_else(|| {
                    io::Error::other("a host on a simulated machine has no network")
                })?;
            let _entered = tokio.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel();
        let state = Arc::new(State {
            live: AtomicUsize::new(1),
            ended: Signal::default(),
            tls: self.tls.map(Mutex::new),
        });
        let core = self.core.clone();
        let accepts = accept(
            listener,
            stopped,
            Live(state.clone()),
            self.connections,
            Arc::new(Shared {
                core: self.core,
                routes: self.routes,
                terms: self.terms,
                access_log: self.access_log,
                stops: Stops::default(),
            }),
        );
        core.spawn_aside("server", accepts);
        Ok(Server {
            address,
            stop: Some(stop),
            state,
        })
    }
}

/// Counts a connection while it lives.
struct Live(Arc<State>);

impl Live {
    fn one_more(&self) -> Self {
        self.0.live.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `Server::live` and in `Server::stop`.
        self.0.live.fetch_sub(1, Ordering::Release);
        self.0.ended.notify();
    }
}

async fn accept<T: Send + 'static>(
    listener: tokio::net::TcpListener,
    mut stopped: oneshot::Receiver<()>,
    live: Live,
    most: usize,
    shared: Arc<Shared<T>>,
) {
    loop {
        let next = pin!(next(&listener, &live.0, most));
        let (stream, address) = match select(next, &mut stopped).await {
            Either::Left((accepted, _)) => accepted,
            Either::Right(_) => break,
        };
        // Answers are small, and nobody is to wait for the next one to fill a packet.
        let _ = stream.set_nodelay(true);
        let (shared, live) = (shared.clone(), live.one_more());
        let tls = live.0.tls.as_ref().map(|tls| lock(tls).clone());
        let core = shared.core.clone();
        let stream = Patient::new(stream, core.clock.clone(), shared.terms.write_timeout);
        core.spawn_aside("connection", async move {
            let _live = live;
            let peer = Peer {
                address,
                is_secure: tls.is_some(),
            };
            let Some(tls) = tls else {
                return serve(shared, stream, peer).await;
            };
            // Apart, because it is large, and this task has room for the largest of what it may become.
            Box::pin(serve_tls(tls, shared, stream, peer)).await;
        });
    }
    drop(listener);
    shared.stops.stop();
}

async fn serve_tls<T: Send + 'static>(
    tls: Arc<ServerConfig>,
    shared: Arc<Shared<T>>,
    stream: Patient,
    peer: Peer,
) {
    let shakes = TlsAcceptor::from(tls).accept(stream);
    match tokio::time::timeout(HANDSHAKE, shakes).await {
        Ok(Ok(stream)) => serve(shared, stream, peer).await,
        Ok(Err(error)) => tracing::debug!("no TLS with a client: {error}"),
        Err(_) => tracing::debug!("a client took too long to agree on TLS"),
    }
}

/// The next connection, once there is room for it.
async fn next(
    listener: &tokio::net::TcpListener,
    state: &State,
    most: usize,
) -> (tokio::net::TcpStream, SocketAddr) {
    let has_room = || state.live.load(Ordering::Relaxed) <= most;
    state.ended.wait(has_room).await;
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                // A client that has gone already, or no descriptor for it: the next may fare better.
                tracing::debug!("a connection could not be accepted: {error}");
                if !is_of_the_client(&error) {
                    tokio::time::sleep(NO_DESCRIPTOR).await;
                }
            }
        }
    }
}

fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that are not over.
    pub fn live(&self) -> usize {
        let accepts = usize::from(self.stop.is_some());
        self.state
            .live
            .load(Ordering::Acquire)
            .saturating_sub(accepts)
    }

    /// Uses this for connections that come from now on, where the server was made with TLS.
    pub fn set_tls(&self, config: Arc<ServerConfig>) {
        if let Some(tls) = &self.state.tls {
            *lock(tls) = config;
        }
    }

    /// Accepts no more from now on, lets each connection end after the request that it is at, and resolves when none is
    /// left. May be called again.
    pub async fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let none_left = || self.state.live.load(Ordering::Acquire) == 0;
        self.state.ended.wait(none_left).await;
    }
}

impl<T> fmt::Debug for ServerBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .field("live", &self.live())
            .finish()
    }
}
