//! Clients: closed loops, open loops, and those that only keep a server busy. One thread, whatever they do.

use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request,
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::Path,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep_until},
};

type Sender = SendRequest<Empty<Bytes>>;

/// What came of a load.
#[derive(Default)]
pub(super) struct Load {
    /// Of each answer, milliseconds: from when its request was due.
    pub(super) latencies: Vec<f64>,
    /// Requests that had no answer, or another one than 200.
    pub(super) failed: usize,
}

impl Load {
    pub(super) fn answered(&self) -> usize {
        self.latencies.len()
    }

    fn add(&mut self, due: Instant, is_answered: bool) {
        if is_answered {
            self.latencies.push(due.elapsed().as_secs_f64() * 1e3);
        } else {
            self.failed += 1;
        }
    }

    fn join(mut self, other: Self) -> Self {
        self.latencies.extend(other.latencies);
        self.failed += other.failed;
        self
    }
}

/// A connection that is made anew where it was lost.
struct Connection {
    address: SocketAddr,
    sender: Option<Sender>,
}

impl Connection {
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            sender: None,
        }
    }

    /// Whether a request was answered with 200.
    async fn ask(&mut self, path: &str) -> bool {
        let answered = self.try_ask(path).await;
        if answered.is_none() {
            self.sender = None;
        }
        answered == Some(true)
    }

    async fn try_ask(&mut self, path: &str) -> Option<bool> {
        let sender = match &mut self.sender {
            Some(sender) => sender,
            None => self.sender.insert(connect(self.address).await?),
        };
        sender.ready().await.ok()?;
        let request = Request::builder()
            .uri(path)
            .header("host", "localhost")
            .body(Empty::new())
            .expect("the path is one");
        let answer = sender.send_request(request).await.ok()?;
        let is_good = answer.status() == 200;
        answer.into_body().collect().await.ok()?;
        Some(is_good)
    }
}

async fn connect(address: SocketAddr) -> Option<Sender> {
    let stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
    tokio::task::spawn(connection);
    Some(sender)
}

fn on_one_thread<F: Future>(future: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_io().enable_time().build();
    runtime
        .expect("the system has descriptors left")
        .block_on(future)
}

async fn all(
    clients: impl IntoIterator<Item = impl Future<Output = Load> + Send + 'static>,
) -> Load {
    let clients: JoinSet<Load> = clients.into_iter().collect();
    let loads = clients.join_all().await;
    loads.into_iter().fold(Load::default(), Load::join)
}

/// Clients that ask again as soon as they have an answer.
pub(super) fn closed(
    address: SocketAddr,
    path: &'static str,
    connections: usize,
    span: Duration,
) -> Load {
    let client = move || async move {
        let (mut load, mut connection) = (Load::default(), Connection::new(address));
        let until = Instant::now() + span;
        while Instant::now() < until {
            let due = Instant::now();
            load.add(due, connection.ask(path).await);
        }
        load
    };
    on_one_thread(async move { all((0..connections).map(|_| client())).await })
}

/// Clients that ask at fixed times, `rate` requests a second of all together. A request that is late because the last one
/// was counts from when it was due. Where a server falls behind by as much as all of the load, what is left of it has failed.
pub(super) fn open(
    address: SocketAddr,
    path: &'static str,
    clients: usize,
    rate: f64,
    span: Duration,
) -> Load {
    let every = Duration::from_secs_f64(clients as f64 / rate);
    let client = move |number: usize| async move {
        let (mut load, mut connection) = (Load::default(), Connection::new(address));
        let start = Instant::now();
        let mut due = start + every.mul_f64(number as f64 / clients as f64);
        while due < start + span {
            sleep_until(due).await;
            let is_answered = start.elapsed() < 2 * span && connection.ask(path).await;
            load.add(due, is_answered);
            due += every;
        }
        load
    };
    on_one_thread(async move { all((0..clients).map(client)).await })
}

/// One request.
pub(super) fn once(address: SocketAddr, path: &str) {
    let answered = on_one_thread(async { Connection::new(address).ask(path).await });
    assert!(answered, "the server answers");
}

/// Whether the server's admin socket takes `body`.
pub(super) fn post(socket: &Path, path: &str, body: &[u8]) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = UnixStream::connect(socket)?;
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// Clients on a thread of their own that keep so many requests going.
pub(super) struct Spinners {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Spinners {
    pub(super) fn start(address: SocketAddr, path: &'static str, count: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let spins = move || {
            on_one_thread(async move {
                let mut clients: JoinSet<()> = JoinSet::new();
                for _ in 0..count {
                    clients.spawn(async move {
                        let mut connection = Connection::new(address);
                        loop {
                            connection.ask(path).await;
                        }
                    });
                }
                while !ends.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            });
        };
        let thread = std::thread::spawn(spins);
        // All of them are at it then.
        std::thread::sleep(Duration::from_millis(300));
        Self {
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // What was asked for ends: the clients are gone, or the limit of time is over.
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Connections that have had one answer each and ask for nothing.
pub(super) struct Idle {
    runtime: tokio::runtime::Runtime,
    connections: Vec<Connection>,
}

impl Idle {
    pub(super) fn open(address: SocketAddr, path: &str, count: usize) -> Self {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_io().enable_time().build();
        let runtime = runtime.expect("the system has descriptors left");
        let connections = runtime.block_on(async {
            let mut connections = Vec::new();
            for _ in 0..count {
                let mut connection = Connection::new(address);
                connection.ask(path).await;
                connections.push(connection);
            }
            connections
        });
        Self {
            runtime,
            connections,
        }
    }

    /// How many are answered on the same connection as before.
    pub(super) fn ask_again(mut self, path: &str) -> usize {
        let connections = &mut self.connections;
        self.runtime.block_on(async {
            let mut answered = 0;
            for connection in connections {
                answered += usize::from(connection.try_ask(path).await == Some(true));
            }
            answered
        })
    }
}
