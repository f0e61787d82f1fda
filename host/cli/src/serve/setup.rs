//! From the command line to what is to be served.

use super::args::ServeArgs;
use super::reload::Source;
use crate::config::plan::{AppPlan, TlsFiles, Top};
use crate::failure::Failure;
use crate::grants::Grants;
use hart_host::Limits;

/// Whether the file is one that names apps.
pub(super) fn is_config(args: &ServeArgs) -> bool {
    args.file.extension().is_some_and(|ext| ext == "toml")
}

/// Where the plan comes from; `None` where help was asked for, which has been printed.
///
/// # Errors
/// Grants that make no sense, or that nobody would know the app of.
pub(super) fn source(args: &ServeArgs, limits: Limits) -> Result<Option<Source>, Failure> {
    let Some(grants) = Grants::new(&args.grants)? else {
        return Ok(None);
    };
    let is_config = is_config(args);
    if is_config && grants != Grants::default() {
        return Err(Failure::usage(
            "--dir, --env, --allow-http and -S would be for every app; write dirs, env, allow-http, network, \
             config or keyvalue below the [[app]] that is to have them",
        ));
    }
    let name = args.file.file_stem().unwrap_or(args.file.as_os_str());
    let app = AppPlan {
        name: name.to_string_lossy().into_owned(),
        component: args.file.clone(),
        object: None,
        line: 0,
        host: None,
        path: "/".into(),
        weight: None,
        limits: grants.limits(limits),
        grants,
        concurrency: args.max_concurrent_requests,
        queue: Some(args.max_queued_requests),
        queue_timeout: Some(args.queue_timeout),
        body_limit: args.max_body_size,
        reuse: args.max_instance_reuse_count,
        idle_timeout: Some(args.idle_instance_timeout),
    };
    Ok(Some(match is_config {
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
