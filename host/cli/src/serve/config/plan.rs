//! What a server is to do, whether its command line says it or its file.

use crate::grants::Grants;
use crate::serve::args::LogFormat;
use hart_host::Limits;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) top: Top,
    pub(crate) apps: Vec<AppPlan>,
}

/// What is said of the server, and not of an app.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Top {
    pub(crate) addr: Option<SocketAddr>,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) access_log: Option<PathBuf>,
    pub(crate) access_log_format: Option<LogFormat>,
    pub(crate) admin: Option<PathBuf>,
    pub(crate) watch: bool,
    pub(crate) grace: Option<Duration>,
    pub(crate) connections: Option<usize>,
    pub(crate) server_timing: bool,
    pub(crate) quiet_errors: bool,
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
}

impl Top {
    /// These, and what `file` says where they say nothing.
    pub(crate) fn or(self, file: Self) -> Self {
        Self {
            addr: self.addr.or(file.addr),
            tls: self.tls.or(file.tls),
            access_log: self.access_log.or(file.access_log),
            access_log_format: self.access_log_format.or(file.access_log_format),
            admin: self.admin.or(file.admin),
            watch: self.watch || file.watch,
            grace: self.grace.or(file.grace),
            connections: self.connections.or(file.connections),
            server_timing: self.server_timing || file.server_timing,
            quiet_errors: self.quiet_errors || file.quiet_errors,
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
