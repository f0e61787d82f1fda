//! The admin socket: metrics, what runs, which apps there are, and changes of all that.
//!
//! | request | does |
//! | --- | --- |
//! | `GET /metrics` | metrics for Prometheus, as text or as OpenMetrics |
//! | `GET /stats` | metrics and runs, as JSON: what `hart top` reads |
//! | `GET /apps` | apps, and how many requests of each run and wait |
//! | `POST /apps/NAME` | loads an app anew, from the body if there is one |
//! | `POST /apps/NAME/share`, `POST /runs/ID/share` | changes a weight or a CPU rate |
//! | `POST /runs/ID/cancel` | ends a run: a request among them |
//! | `POST /flight` | has the flight recorder write its file |
//!
//! A Unix socket is for the process's own user. On TCP there is only reading: everybody on the machine reaches it, and so
//! does a page in somebody's browser.

pub(crate) mod address;
pub(crate) mod http;
pub(crate) mod metrics;

use crate::failure::Failure;
use crate::flight::Bell;
use address::AdminAddress;
use hart_host::http::header::HOST;
use hart_host::http::{Method, Request, Response, StatusCode, Uri};
use hart_host::{BuildError, Host, Tenant};
use http::{Listener, text, typed};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use metrics::Snapshot;
use serde::Deserialize;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest component that it takes.
const LARGEST: usize = 256 << 20;

/// The longest description of a share that it takes.
const SHORT: usize = 4 << 10;

/// The greatest weight and the greatest rate, in cores, that somebody may set.
const MOST: u32 = 1_000_000;

/// What there is.
const KNOWN: &str = "there are GET /metrics, /stats and /apps, and POST /apps/NAME, /apps/NAME/share, /runs/ID/share, /runs/ID/cancel and /flight\n";

/// The apps of a server, as its admin socket sees them.
pub(crate) trait Apps: Send + Sync {
    /// How much each has to do.
    fn load(&self) -> Vec<Load>;

    /// Gives the app `name` another component, or, without one, loads its file again.
    ///
    /// # Errors
    /// No such app, or a component that cannot take its place.
    fn swap(&self, name: &str, component: Option<&[u8]>) -> Result<(), SwapError>;

    /// The tenant of the app `name`.
    fn tenant(&self, name: &str) -> Option<Tenant>;
}

/// How much an app has to do.
pub(crate) struct Load {
    pub(crate) name: String,
    pub(crate) running: usize,
    pub(crate) waiting: usize,
}

/// Why an app was not swapped.
pub(crate) enum SwapError {
    /// There is none of this name. These there are.
    NoApp(Vec<String>),
    Failed(Failure),
}

/// The sockets. Dropped, their files go.
#[derive(Default)]
pub(crate) struct Admin {
    files: Vec<PathBuf>,
    /// Where it listens over TCP.
    tcp: Vec<SocketAddr>,
}

/// What is watched.
#[derive(Clone)]
struct Watched {
    host: Host,
    apps: Option<Arc<dyn Apps>>,
    flight: Option<Arc<Bell>>,
    may_change: bool,
}

/// What a share is to be from now on. What is not said stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Share {
    weight: Option<u32>,
    /// Cores; 0 is no limit.
    cpu_rate: Option<f64>,
}

impl Admin {
    /// Listens at all `addresses`.
    ///
    /// # Errors
    /// One that cannot be had.
    pub(crate) fn start(
        addresses: &[AdminAddress],
        host: &Host,
        apps: Option<Arc<dyn Apps>>,
        flight: Option<Arc<Bell>>,
    ) -> Result<Self, Failure> {
        let mut admin = Self::default();
        for address in addresses {
            let failed = |error: io::Error| {
                Failure::new(
                    1,
                    format!("cannot listen on {address}: {error}; choose another one with --admin"),
                )
            };
            let listener = match address {
                AdminAddress::Path(path) => {
                    let listener = listen(path).map_err(failed)?;
                    admin.files.push(path.clone());
                    Listener::Unix(listener)
                }
                AdminAddress::Tcp(address) => {
                    let listener = TcpListener::bind(address).map_err(failed)?;
                    admin.tcp.push(listener.local_addr().map_err(failed)?);
                    Listener::Tcp(listener)
                }
            };
            let watched = Watched {
                host: host.clone(),
                apps: apps.clone(),
                flight: flight.clone(),
                may_change: matches!(listener, Listener::Unix(_)),
            };
            http::serve("hart-admin", listener, move |request| {
                answer(watched.clone(), request)
            })
            .map_err(failed)?;
        }
        Ok(admin)
    }

    /// A line for each address where it listens over TCP: a port of 0 has become another one.
    pub(crate) fn show(&self) -> String {
        let line = |address: &SocketAddr| format!("Admin on http://{address}/\n");
        self.tcp.iter().map(line).collect()
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        for path in &self.files {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A socket that nobody else can have connected to: it gets its name once it has its mode. What a server that is gone has
/// left is replaced.
fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(io::Error::other("a file is there that is no socket"));
        }
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::from(io::ErrorKind::AddrInUse));
        }
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(name);
    let listener = UnixListener::bind(&new)?;
    let named = std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))
        .and_then(|()| std::fs::rename(&new, path));
    if named.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    named.map(|()| listener)
}

type Answer = Response<Full<Bytes>>;

async fn answer(watched: Watched, request: Request<Incoming>) -> Answer {
    if !watched.may_change && !is_for_this_machine(&request) {
        return text(
            StatusCode::FORBIDDEN,
            "ask for this address by its number, or as localhost\n",
        );
    }
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let host = &watched.host;
    match (request.method(), &parts[..]) {
        (&Method::GET, ["metrics"]) => metrics::metrics(host, request.headers(), |_| ()),
        (&Method::GET, ["stats"]) => json(&Snapshot::of(host)),
        (&Method::GET, ["apps"]) => json(&list(&watched)),
        (_, ["metrics" | "stats" | "apps"]) => wrong_method("GET"),
        (
            &Method::POST,
            ["apps", _] | ["apps" | "runs", _, "share"] | ["runs", _, "cancel"] | ["flight"],
        ) if !watched.may_change => text(
            StatusCode::FORBIDDEN,
            "over TCP there is only reading; use the Unix socket that --admin PATH makes\n",
        ),
        (&Method::POST, ["apps", name]) => {
            let name = (*name).to_owned();
            swap(watched, name, request).await
        }
        (&Method::POST, ["runs", id, "cancel"]) => match id.parse() {
            Ok(id) if host.cancel(id) => {
                text(StatusCode::OK, format!("run {id} is being cancelled\n"))
            }
            _ => no_run(),
        },
        (&Method::POST, ["flight"]) => match &watched.flight {
            Some(flight) => {
                flight.ask();
                text(
                    StatusCode::OK,
                    "a file is being written; hart names it on its standard error\n",
                )
            }
            None => text(
                StatusCode::NOT_FOUND,
                "nothing is recorded; start hart with --flight-recorder\n",
            ),
        },
        (&Method::POST, [kind @ ("apps" | "runs"), name, "share"]) => {
            let (is_app, name) = (*kind == "apps", (*name).to_owned());
            share(watched, is_app, &name, request).await
        }
        (_, ["apps", _] | ["apps" | "runs", _, "share"] | ["runs", _, "cancel"] | ["flight"]) => {
            wrong_method("POST")
        }
        _ => text(StatusCode::NOT_FOUND, KNOWN),
    }
}

/// Whether the client knows that it speaks to this machine. A page whose name was made to lead here does not.
fn is_for_this_machine(request: &Request<Incoming>) -> bool {
    let named = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    let named = named.and_then(|host| host.parse::<Uri>().ok());
    let host = named.as_ref().and_then(Uri::host).unwrap_or("");
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || address.parse::<std::net::IpAddr>().is_ok()
}

fn wrong_method(method: &str) -> Answer {
    text(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("use {method}; {KNOWN}"),
    )
}

fn no_run() -> Answer {
    text(
        StatusCode::NOT_FOUND,
        "there is no such run; GET /stats lists those that there are\n",
    )
}

fn no_app(names: &[String]) -> Answer {
    let says = match names {
        [] => "there are no apps here\n".to_owned(),
        names => format!("there is no such app; there are {}\n", names.join(", ")),
    };
    text(StatusCode::NOT_FOUND, says)
}

fn json(value: &impl serde::Serialize) -> Answer {
    match serde_json::to_string(value) {
        Ok(json) => typed(StatusCode::OK, "application/json", json + "\n"),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn load(watched: &Watched) -> Vec<Load> {
    watched
        .apps
        .as_ref()
        .map_or_else(Vec::new, |apps| apps.load())
}

fn list(watched: &Watched) -> serde_json::Value {
    let app = |load: Load| serde_json::json!({"name": load.name, "running": load.running, "waiting": load.waiting});
    load(watched).into_iter().map(app).collect()
}

fn names(watched: &Watched) -> Vec<String> {
    load(watched).into_iter().map(|load| load.name).collect()
}

async fn swap(watched: Watched, name: String, request: Request<Incoming>) -> Answer {
    let body = Limited::new(request.into_body(), LARGEST).collect().await;
    let bytes = match body {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            return text(
                StatusCode::BAD_REQUEST,
                format!("the component did not arrive: {error}; send one of 256 MiB at most\n"),
            );
        }
    };
    let Some(apps) = watched.apps else {
        return no_app(&[]);
    };
    // Compiling takes a while, and others are answered meanwhile.
    let swapped = tokio::task::spawn_blocking(move || {
        let component = (!bytes.is_empty()).then_some(&*bytes);
        apps.swap(&name, component).map(|()| name)
    });
    match swapped.await {
        Ok(Ok(name)) => text(StatusCode::OK, format!("{name} is loaded anew\n")),
        Ok(Err(SwapError::NoApp(names))) => no_app(&names),
        Ok(Err(SwapError::Failed(failure))) => text(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("the app stays as it was: {failure}\n"),
        ),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

async fn share(watched: Watched, is_app: bool, name: &str, request: Request<Incoming>) -> Answer {
    let body = Limited::new(request.into_body(), SHORT).collect().await;
    let body = body
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let share: Share = match serde_json::from_slice(&body) {
        Ok(share) => share,
        Err(error) => return no_share(&error.to_string()),
    };
    if share.weight.is_none() && share.cpu_rate.is_none() {
        return no_share("it changes nothing");
    }
    let rate = match share.cpu_rate {
        Some(cores) if !(0.0..=f64::from(MOST)).contains(&cores) => {
            return no_share("a rate is a number of cores");
        }
        // A rate that is there is at least a thousandth.
        Some(cores) if cores > 0.0 => Some(Some(((cores * 1000.0) as u32).max(1))),
        rate => rate.map(|_| None),
    };
    if share.weight.is_some_and(|weight| weight > MOST) {
        return no_share("a weight is at most 1000000");
    }
    let set = match is_app {
        true => {
            let tenant = watched.apps.as_ref().and_then(|apps| apps.tenant(name));
            let Some(tenant) = tenant else {
                return no_app(&names(&watched));
            };
            set_app(&tenant, share.weight, rate).map(|()| true)
        }
        false => name.parse().map_or(Ok(false), |id| {
            set_run(&watched.host, id, share.weight, rate)
        }),
    };
    match set {
        Ok(true) => text(StatusCode::OK, "it holds from the next turn on\n"),
        Ok(false) => no_run(),
        Err(error) => no_share(&error.to_string()),
    }
}

fn no_share(why: &str) -> Answer {
    let way_out = r#"send JSON like {"weight": 200, "cpu_rate": 0.5}, with 0 for no rate"#;
    text(StatusCode::BAD_REQUEST, format!("{why}; {way_out}\n"))
}

fn set_app(
    tenant: &Tenant,
    weight: Option<u32>,
    rate: Option<Option<u32>>,
) -> Result<(), BuildError> {
    weight.map_or(Ok(()), |weight| tenant.set_weight(weight))?;
    rate.map_or(Ok(()), |rate| tenant.set_cpu_rate(rate))
}

/// Says whether there is such a run.
fn set_run(
    host: &Host,
    id: u64,
    weight: Option<u32>,
    rate: Option<Option<u32>>,
) -> Result<bool, BuildError> {
    let weighed = weight.map_or(Ok(true), |weight| host.set_weight(id, weight))?;
    let paced = rate.map_or(Ok(true), |rate| host.set_cpu_rate(id, rate))?;
    Ok(weighed && paced)
}
