//! From the command line to what is to be served.

use super::args::ServeArgs;
use super::reload::Source;
use crate::config::app::{is_config, of_command_line};
use crate::config::plan::{AppPlan, TlsFiles, Top};
use crate::failure::Failure;
use hart_host::Limits;

/// Where the plan comes from; `None` where help was asked for, which has been printed.
///
/// # Errors
/// Grants that make no sense, or that nobody would know the app of.
pub(super) fn source(args: &ServeArgs, limits: Limits) -> Result<Option<Source>, Failure> {
    let Some(app) = of_command_line(&args.file, &args.grants, limits)? else {
        return Ok(None);
    };
    let app = AppPlan {
        concurrency: args.max_concurrent_requests,
        queue: Some(args.max_queued_requests),
        queue_timeout: Some(args.queue_timeout),
        body_limit: args.max_body_size,
        reuse: args.max_instance_reuse_count,
        idle_timeout: Some(args.idle_instance_timeout),
        ..app
    };
    Ok(Some(match is_config(&args.file) {
        false => Source::Args(Box::new(app)),
        true => Source::File {
            file: args.file.clone(),
            base: Box::new(app),
        },
    }))
}

/// What the command line says of the server itself.
pub(super) fn top(args: &ServeArgs) -> Top {
    let tls = args.tls_cert.clone().zip(args.tls_key.clone());
    Top {
        addr: args.addr,
        tls: tls.map(|(cert, key)| TlsFiles { cert, key }),
        access_log: args.access_log.clone(),
        access_log_format: args.access_log_format,
        admin: args.admin.clone(),
        watch: args.watch,
        grace: args.grace,
        connections: args.max_concurrent_connections,
        server_timing: args.server_timing,
        quiet_errors: args.quiet_errors,
    }
}
