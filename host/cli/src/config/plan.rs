//! What a server is to do, whether its command line says it or its file.

use crate::admin::address::AdminAddress;
use crate::grants::Grants;
use hart_host::{Limits, Tier};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Who reads the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Purpose {
    /// `hart serve`: each app has a place of its own.
    Serve,
    /// `hart work`: nobody looks for apps by their places.
    Work,
}

/// How a line of the access log looks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// As Apache and others have it, with the seconds that the request took at the end
    #[default]
    Common,
    /// One object of JSON
    Json,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) top: Top,
    pub(crate) work: WorkPlan,
    pub(crate) apps: Vec<AppPlan>,
}

/// What is said of the server, and not of an app.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Top {
    pub(crate) addr: Option<SocketAddr>,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) access_log: Option<PathBuf>,
    pub(crate) access_log_format: Option<LogFormat>,
    pub(crate) admin: Vec<AdminAddress>,
    pub(crate) watch: bool,
    pub(crate) grace: Option<Duration>,
    pub(crate) connections: Option<usize>,
    pub(crate) server_timing: bool,
    pub(crate) quiet_errors: bool,
}

/// What is said of the queue that jobs come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WorkPlan {
    pub(crate) server: Option<String>,
    pub(crate) stream: Option<String>,
    pub(crate) lease: Option<Duration>,
    pub(crate) deliveries: Option<u32>,
    pub(crate) credentials: Option<PathBuf>,
    pub(crate) tls_ca: Option<PathBuf>,
    pub(crate) tls: Option<TlsFiles>,
}

/// Where a certificate and its key are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TlsFiles {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// One app.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AppPlan {
    pub(crate) name: String,
    pub(crate) component: PathBuf,
    /// Where the component is instead of in a file.
    pub(crate) object: Option<ObjectPlan>,
    /// Where the file names the component; 0 on the command line.
    pub(crate) line: usize,
    pub(crate) host: Option<String>,
    pub(crate) path: String,
    pub(crate) weight: Option<u32>,
    pub(crate) limits: Limits,
    pub(crate) grants: Grants,
    pub(crate) concurrency: Option<usize>,
    pub(crate) queue: Option<usize>,
    pub(crate) queue_timeout: Option<Duration>,
    pub(crate) body_limit: Option<u64>,
    pub(crate) reuse: Option<u32>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) tier: Option<Tier>,
}

/// A component in a bucket of a NATS server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ObjectPlan {
    pub(crate) bucket: String,
    pub(crate) name: String,
    /// 64 hexadecimal digits.
    pub(crate) sha256: String,
}

impl Top {
    /// These, and what `file` says where they say nothing.
    pub(crate) fn or(self, file: Self) -> Self {
        Self {
            addr: self.addr.or(file.addr),
            tls: self.tls.or(file.tls),
            access_log: self.access_log.or(file.access_log),
            access_log_format: self.access_log_format.or(file.access_log_format),
            admin: match self.admin.is_empty() {
                true => file.admin,
                false => self.admin,
            },
            watch: self.watch || file.watch,
            grace: self.grace.or(file.grace),
            connections: self.connections.or(file.connections),
            server_timing: self.server_timing || file.server_timing,
            quiet_errors: self.quiet_errors || file.quiet_errors,
        }
    }
}

impl WorkPlan {
    /// These, and what `file` says where they say nothing.
    pub(crate) fn or(self, file: Self) -> Self {
        Self {
            server: self.server.or(file.server),
            stream: self.stream.or(file.stream),
            lease: self.lease.or(file.lease),
            deliveries: self.deliveries.or(file.deliveries),
            credentials: self.credentials.or(file.credentials),
            tls_ca: self.tls_ca.or(file.tls_ca),
            tls: self.tls.or(file.tls),
        }
    }
}

impl AppPlan {
    /// Whether it says the same, wherever it stands in the file.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let mut other = other.clone();
        other.line = self.line;
        *self == other
    }
}
