//! The admin socket: which apps there are, and new versions of them.
//!
//! A thread of its own serves it, so that it answers where guests keep all workers busy.

use super::apps::{Apps, SwapError};
use crate::failure::Failure;
use hart_host::http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The largest component that it takes.
const LARGEST: usize = 256 << 20;

/// How long it waits to accept again where the system has no descriptor left.
const NO_DESCRIPTOR: Duration = Duration::from_millis(50);

/// The socket. Dropped, its file goes.
pub(super) struct Admin(PathBuf);

impl Admin {
    /// Listens at `path`, for the process's own user only.
    ///
    /// # Errors
    /// A path that cannot be had.
    pub(super) fn start(path: &Path, apps: Arc<Apps>) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure::new(
                1,
                format!("cannot listen there: {error}; choose another path with --admin"),
            )
            .at(path)
        };
        let listener = listen(path).map_err(failed)?;
        let admin = Self(path.to_path_buf());
        listener.set_nonblocking(true).map_err(failed)?;
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        thread::Builder::new()
            .name("hart-admin".into())
            .spawn(move || {
                // It goes on until the process ends.
                let _ = tokio.block_on(accept(listener, apps));
            })
            .map_err(failed)?;
        Ok(admin)
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
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

async fn accept(listener: UnixListener, apps: Arc<Apps>) -> io::Result<()> {
    let listener = tokio::net::UnixListener::from_std(listener)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(NO_DESCRIPTOR).await;
            continue;
        };
        let apps = apps.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(apps.clone(), request));
            // A client that goes away is no error of ours.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    apps: Arc<Apps>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let app = path.strip_prefix("/apps/").map(str::to_owned);
    Ok(match (request.method(), app) {
        (&Method::GET, None) if path == "/apps" => response(StatusCode::OK, list(&apps)),
        (&Method::POST, Some(name)) => swap(apps, name, request).await,
        (_, None) if path != "/apps" => response(
            StatusCode::NOT_FOUND,
            "there are GET /apps and POST /apps/NAME\n".into(),
        ),
        _ => response(
            StatusCode::METHOD_NOT_ALLOWED,
            "use GET /apps or POST /apps/NAME\n".into(),
        ),
    })
}

fn list(apps: &Apps) -> String {
    let app = |load: super::apps::Load| serde_json::json!({"name": load.name, "running": load.running, "waiting": load.waiting});
    let apps: Vec<_> = apps.load().into_iter().map(app).collect();
    format!("{}\n", serde_json::Value::from(apps))
}

async fn swap(apps: Arc<Apps>, name: String, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let body = Limited::new(request.into_body(), LARGEST).collect().await;
    let bytes = match body {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            return response(
                StatusCode::BAD_REQUEST,
                format!("the component did not arrive: {error}; send one of 256 MiB at most\n"),
            );
        }
    };
    // Compiling takes a while, and others are answered meanwhile.
    let swapped = tokio::task::spawn_blocking(move || {
        let component = (!bytes.is_empty()).then_some(&*bytes);
        apps.swap(&name, component).map(|()| name)
    });
    match swapped.await {
        Ok(Ok(name)) => response(StatusCode::OK, format!("{name} is loaded anew\n")),
        Ok(Err(SwapError::NoApp(names))) => response(
            StatusCode::NOT_FOUND,
            format!("there is no such app; there are {}\n", names.join(", ")),
        ),
        Ok(Err(SwapError::Failed(failure))) => response(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("the app stays as it was: {failure}\n"),
        ),
        Err(error) => response(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn response(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}
