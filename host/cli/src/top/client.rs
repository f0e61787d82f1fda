//! How `hart top` speaks to an admin socket.

use crate::admin::address::AdminAddress;
use crate::admin::metrics::Snapshot;
use crate::failure::Failure;
use crate::output::one_line;
use hart_host::http::header::HOST;
use hart_host::http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// The longest answer that it takes.
const LONGEST: usize = 64 << 20;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Client {
    address: AdminAddress,
    tokio: Runtime,
}

/// What was seen, and when.
pub(super) struct Look {
    pub(super) at: Instant,
    pub(super) snapshot: Snapshot,
}

/// A change that somebody asks for.
pub(super) struct Change {
    pub(super) path: String,
    pub(super) body: String,
}

type Answer = Result<(StatusCode, Bytes), Box<dyn Error + Send + Sync>>;

impl Client {
    /// # Errors
    /// Where the system gives no event loop.
    pub(super) fn new(address: AdminAddress) -> Result<Self, Failure> {
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(1, error))?;
        Ok(Self { address, tokio })
    }

    /// # Errors
    /// A socket where no hart answers.
    pub(super) fn look(&self) -> Result<Look, Failure> {
        let failed = |why: &str| {
            Failure::new(
                1,
                format!(
                    "{}: {why}; name the socket of a `hart serve` or `hart run` that has --admin",
                    self.address
                ),
            )
        };
        let (status, body) = self
            .ask(Method::GET, "/stats", String::new())
            .map_err(|error| failed(&error.to_string()))?;
        if status != StatusCode::OK {
            return Err(failed(&format!("it answers {status}")));
        }
        let snapshot = serde_json::from_slice(&body)
            .map_err(|error| failed(&format!("that is no hart of this version: {error}")))?;
        let at = Instant::now();
        Ok(Look { at, snapshot })
    }

    /// Whether somebody listens.
    pub(super) fn is_there(&self) -> bool {
        match &self.address {
            AdminAddress::Path(path) => std::os::unix::net::UnixStream::connect(path).is_ok(),
            AdminAddress::Tcp(address) => std::net::TcpStream::connect(address).is_ok(),
        }
    }

    /// Asks for a change; what came of it, in one line.
    pub(super) fn change(&self, change: &Change) -> String {
        match self.ask(Method::POST, &change.path, change.body.clone()) {
            Ok((_, body)) => one_line(&String::from_utf8_lossy(&body)),
            Err(error) => one_line(&error.to_string()),
        }
    }

    fn ask(&self, method: Method, path: &str, body: String) -> Answer {
        self.tokio.block_on(async {
            let answer = async {
                match &self.address {
                    AdminAddress::Path(at) => {
                        exchange(UnixStream::connect(at).await?, method, path, body).await
                    }
                    AdminAddress::Tcp(at) => {
                        exchange(TcpStream::connect(at).await?, method, path, body).await
                    }
                }
            };
            timeout(PATIENCE, answer)
                .await
                .map_err(|_| "no answer comes")?
        })
    }
}

async fn exchange<S>(stream: S, method: Method, path: &str, body: String) -> Answer
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "localhost")
        .body(Full::new(Bytes::from(body)))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LONGEST)
        .collect()
        .await?;
    connection.abort();
    Ok((status, body.to_bytes()))
}
