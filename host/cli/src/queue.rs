//! The queue that jobs come from and go to, and the way to its server.

use crate::config::plan::{TlsFiles, WorkPlan};
use crate::failure::Failure;
use crate::output::one_line;
use clap::Args;
use hart_host::work::Queue;
use hart_host::work::async_nats::{ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use std::env::var;
use std::error::Error as _;
use std::path::PathBuf;

/// Where a server is by default.
const SERVER: &str = "nats://127.0.0.1:4222";

/// The name of the stream by default.
const STREAM: &str = "HART";

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Queue")]
pub(crate) struct QueueArgs {
    /// The NATS server, or several with commas between them [default: NATS_URL, or
    /// nats://127.0.0.1:4222]
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,

    /// The stream of jobs [default: HART]
    #[arg(long, value_name = "NAME")]
    pub(crate) stream: Option<String>,

    /// A file of credentials, as nsc writes it [default: NATS_CREDS; or NATS_USER and NATS_PASSWORD,
    /// or NATS_TOKEN]
    #[arg(long, value_name = "FILE")]
    pub(crate) creds: Option<PathBuf>,

    /// Trust the certificates in this PEM file, beside the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,

    /// A certificate of one's own for TLS, a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Its key, a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
}

impl QueueArgs {
    /// What they say.
    pub(crate) fn plan(&self) -> WorkPlan {
        let tls = self.tls_cert.clone().zip(self.tls_key.clone());
        WorkPlan {
            server: self.server.clone(),
            stream: self.stream.clone(),
            credentials: self.creds.clone(),
            tls_ca: self.tls_ca.clone(),
            tls: tls.map(|(cert, key)| TlsFiles { cert, key }),
            ..WorkPlan::default()
        }
    }
}

/// A queue, and its server's address without what is secret.
pub(crate) struct Connected {
    pub(crate) queue: Queue,
    pub(crate) address: String,
    pub(crate) stream: String,
}

/// Connects to the server that `plan` names, or else the environment. `events` hears what becomes of the connection.
///
/// # Errors
/// A server that is not there or wants somebody else, and files that cannot be used. No secret is in them.
pub(crate) async fn connect(
    plan: &WorkPlan,
    name: &str,
    events: impl Fn(&Event) + Send + Sync + Clone + 'static,
) -> Result<Connected, Failure> {
    let url = plan.server.clone().or_else(|| var("NATS_URL").ok());
    let url = url.unwrap_or_else(|| SERVER.into());
    let stream = plan.stream.clone().unwrap_or_else(|| STREAM.into());
    let (servers, from_url) = addresses(&url)?;
    let address = servers.iter().map(shown).collect::<Vec<_>>().join(",");
    let mut options = ConnectOptions::new().name(name);
    options = options.event_callback(move |event| {
        let events = events.clone();
        async move { events(&event) }
    });
    let credentials = plan.credentials.clone();
    let credentials = credentials.or_else(|| var("NATS_CREDS").ok().map(PathBuf::from));
    if let Some(file) = credentials {
        let text = std::fs::read_to_string(&file)
            .map_err(|error| Failure::usage(crate::load::read(&error)).at(&file))?;
        // What the error says may be a part of the file.
        options = options.credentials(&text).map_err(|_| {
            Failure::usage("no file of credentials; write one with `nsc generate creds`").at(&file)
        })?;
    } else if let Some((user, password)) = from_url.or_else(from_environment) {
        options = options.user_and_password(user, password);
    } else if let Ok(token) = var("NATS_TOKEN") {
        options = options.token(token);
    }
    if let Some(file) = &plan.tls_ca {
        readable(file)?;
        options = options
            .add_root_certificates(file.clone())
            .require_tls(true);
    }
    if let Some(TlsFiles { cert, key }) = &plan.tls {
        readable(cert)?;
        readable(key)?;
        options = options
            .add_client_certificate(cert.clone(), key.clone())
            .require_tls(true);
    }
    let client = options.connect(servers).await.map_err(|error| {
        let cause = error.source().map(ToString::to_string);
        refused(&address, error.kind(), &cause.unwrap_or_default())
    })?;
    let queue = Queue::named(client, &stream).map_err(Failure::usage)?;
    Ok(Connected {
        queue,
        address,
        stream,
    })
}

fn readable(file: &PathBuf) -> Result<(), Failure> {
    let read = std::fs::File::open(file);
    read.map(drop)
        .map_err(|error| Failure::usage(crate::load::read(&error)).at(file))
}

/// A user and a password.
type Login = (String, String);

fn from_environment() -> Option<Login> {
    Some((var("NATS_USER").ok()?, var("NATS_PASSWORD").ok()?))
}

/// The addresses of servers, without what logs one in, and that.
fn addresses(text: &str) -> Result<(Vec<ServerAddr>, Option<Login>), Failure> {
    let mut login = None;
    let mut addresses = Vec::new();
    for text in text
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
    {
        let (scheme, rest) = text.split_once("://").unwrap_or(("nats", text));
        let (userinfo, host) = match rest.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo), host),
            None => (None, rest),
        };
        let address = format!("{scheme}://{host}");
        let no_address = || {
            Failure::usage(format!(
                "--server: `{}` is no address; write one like nats://127.0.0.1:4222 or tls://nats.example.com",
                one_line(&address)
            ))
        };
        if !matches!(scheme, "nats" | "tls") || host.is_empty() {
            return Err(no_address());
        }
        if let Some(userinfo) = userinfo {
            let (user, password) = userinfo.split_once(':').ok_or_else(|| {
                Failure::usage(
                    "--server: write NAME:PASSWORD before the `@`; a token goes into NATS_TOKEN",
                )
            })?;
            login = Some((user.to_owned(), password.to_owned()));
        }
        addresses.push(address.parse().map_err(|_| no_address())?);
    }
    match addresses.is_empty() {
        true => Err(Failure::usage(format!(
            "--server: it is empty; write one like {SERVER}"
        ))),
        false => Ok((addresses, login)),
    }
}

fn shown(address: &ServerAddr) -> String {
    let scheme = if address.tls_required() {
        "tls"
    } else {
        "nats"
    };
    format!("{scheme}://{}:{}", address.host(), address.port())
}

/// Why there is no connection, and the way out.
fn refused(address: &str, kind: ConnectErrorKind, cause: &str) -> Failure {
    let why = match kind {
        // That is what it is called where the client does not trust the server, too.
        ConnectErrorKind::Io if cause.contains("certificate") => {
            format!("no TLS with it ({cause}); check --tls-ca, --tls-cert and --tls-key")
        }
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            "it does not accept who we are; check --creds, or NATS_USER and NATS_PASSWORD"
                .to_owned()
        }
        ConnectErrorKind::TimedOut => {
            "it does not answer; check the address, and that it is a NATS server".to_owned()
        }
        ConnectErrorKind::Dns => "there is no such host; check the address".to_owned(),
        ConnectErrorKind::Tls => {
            format!("no TLS with it ({cause}); check --tls-ca, and that the server speaks TLS")
        }
        _ => format!("no connection ({cause}); start `nats-server --jetstream`, or check --server"),
    };
    Failure::new(1, format!("{address}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts a password in what is shown, and addresses that are taken for others.
    #[test]
    fn addresses_are_read_without_what_is_secret() {
        let (found, login) = addresses("nats://me:a@b:c@host:1, tls://other").unwrap();
        let shown: Vec<_> = found.iter().map(shown).collect();
        assert_eq!(shown, ["nats://host:1", "tls://other:4222"]);
        assert_eq!(login, Some(("me".into(), "a@b:c".into())));
        assert_eq!(addresses("localhost").unwrap().0[0].port(), 4222);
        for wrong in [
            "",
            " , ",
            "http://x",
            "nats://",
            "nats://me@host",
            "nats://me:secret@",
        ] {
            let said = addresses(wrong).unwrap_err().to_string();
            assert!(!said.contains("secret"), "{said}");
        }
    }
}
