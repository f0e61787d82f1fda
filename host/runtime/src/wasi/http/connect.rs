//! A connection for one outgoing request: the look-up, TCP and TLS.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::Error;

use crate::sched::io_threads::Lend;
use crate::wasi::http::allowed::Reach;

/// Bytes both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Where a request goes.
pub(super) struct Target {
    /// As a URI has it: an IPv6 address in brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
    pub(super) reach: Reach,
}

/// Connects to `target`, whose name is looked up on a thread that `names` lends.
pub(super) async fn connect(target: &Target, names: Lend) -> Result<Box<dyn Stream>, Error> {
    let host = target.host.trim_start_matches('[').trim_end_matches(']');
    // The addresses that were checked are those that are used: a second look-up may come to others.
    let addresses = match host.parse() {
        Ok(address) => vec![SocketAddr::new(address, target.port)],
        Err(_) => look_up(host, target.port, names).await?,
    };
    let count = addresses.len();
    let mut allowed = addresses
        .into_iter()
        .filter(|address| target.reach.includes(address.ip()))
        .peekable();
    if allowed.peek().is_none() {
        return Err(match count {
            0 => Error::DestinationNotFound,
            _ => Error::DestinationIpProhibited,
        });
    }
    let stream = connect_to_any(allowed).await?;
    // Requests are written whole, and wait for nothing.
    let _ = stream.set_nodelay(true);
    if !target.tls {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(host.to_owned())?;
    let connector = TlsConnector::from(client_config());
    let stream = connector.connect(name, stream).await.map_err(Error::Tls)?;
    Ok(Box::new(stream))
}

async fn look_up(host: &str, port: u16, names: Lend) -> Result<Vec<SocketAddr>, Error> {
    let looks = async {
        tokio::net::lookup_host((host, port))
            .await
            .map(Vec::from_iter)
    };
    names
        .await
        .within(looks)
        .await
        .map_err(|error| Error::DnsError {
            rcode: Some(error.to_string()),
            info_code: None,
        })
}

async fn connect_to_any(addresses: impl Iterator<Item = SocketAddr>) -> Result<TcpStream, Error> {
    let mut last = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or(Error::DestinationNotFound, Error::Connect))
}

/// What all guests' connections begin with: the roots that browsers trust.
fn client_config() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.into(),
        };
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .expect("ring has the versions that are default")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    });
    config.clone()
}
