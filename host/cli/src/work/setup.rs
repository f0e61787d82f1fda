//! From the command line and the file to what is to be run.

use super::args::WorkArgs;
use crate::config::app::{is_config, of_command_line};
use crate::config::plan::{AppPlan, ObjectPlan, Plan, Purpose};
use crate::config::problem::Problem;
use crate::config::read::read;
use crate::failure::Failure;
use crate::{ended, load};
use hart_host::work::{App, Queue, WorkError};
use hart_host::{Host, Limits, LogPrefix};
use std::path::Path;
use std::time::Duration;

/// How long a component may take to come from the server.
const PATIENCE: Duration = Duration::from_secs(120);

/// The plan, and what is wrong with its file; `None` where help was asked for, which has been printed.
///
/// # Errors
/// A file that cannot be read, and grants that make no sense or that nobody would know the app of.
pub(super) fn plan(
    args: &WorkArgs,
    limits: Limits,
) -> Result<Option<(Plan, Vec<Problem>)>, Failure> {
    let Some(app) = of_command_line(&args.file, &args.grants, limits)? else {
        return Ok(None);
    };
    if app.grants.remote().is_some() {
        return Err(Failure::usage(
            "-S remote: the tasks of a job stay with its worker; leave it out",
        ));
    }
    let app = AppPlan {
        concurrency: args.max_concurrent_jobs,
        ..app
    };
    let (mut plan, problems) = match is_config(&args.file) {
        false => {
            let apps = vec![app];
            let plan = Plan {
                apps,
                ..Plan::default()
            };
            (plan, Vec::new())
        }
        true => {
            let text = std::fs::read_to_string(&args.file)
                .map_err(|error| Failure::usage(load::read(&error)).at(&args.file))?;
            read(&args.file, &text, &app, Purpose::Work)
        }
    };
    let mut said = args.queue.plan();
    said.lease = args.lease;
    said.deliveries = args.deliveries;
    plan.work = said.or(plan.work);
    Ok(Some((plan, problems)))
}

/// The bytes of an app's component, which is a file.
///
/// # Errors
/// One that cannot be read.
pub(super) fn file(plan: &AppPlan, allow_precompiled: bool) -> Result<Vec<u8>, Failure> {
    load::read_file(&plan.component, allow_precompiled)
}

/// The bytes of an app's component, which is in a bucket of the server.
///
/// # Errors
/// One that is not there, is another one, or does not come.
pub(super) async fn object(queue: &Queue, object: &ObjectPlan) -> Result<Vec<u8>, Failure> {
    let ObjectPlan {
        bucket,
        name,
        sha256,
    } = object;
    let comes = tokio::time::timeout(PATIENCE, queue.object(bucket, name, sha256)).await;
    let late = || {
        Failure::new(
            1,
            format!("the object {name} of the bucket {bucket} does not come; put it there again"),
        )
    };
    comes.map_err(|_| late())?.map_err(|error| explain(&error))
}

/// The app of a component. `is_kept` says whether there is a cache.
///
/// # Errors
/// One that cannot be loaded, or lacks what it imports.
pub(super) fn app(
    host: &Host,
    plan: &AppPlan,
    bytes: &[u8],
    allow_precompiled: bool,
    is_kept: bool,
) -> Result<App, Failure> {
    let name = plan.object.as_ref().map(|object| Path::new(&object.name));
    let file = name.unwrap_or(&plan.component);
    let how = load::How {
        allow_precompiled,
        is_kept,
        background: false,
        tier: plan.tier,
    };
    let component = load::load(host, file, bytes, how)?;
    plan.grants
        .check(&component)
        .map_err(|failure| failure.at(file))?;
    let mut tenant = host.tenant().name(&plan.name);
    if let Some(weight) = plan.weight {
        tenant = tenant.weight(weight);
    }
    let tenant = tenant
        .build()
        .map_err(|error| Failure::usage(format!("the app `{}`: {error}", plan.name)))?;
    let mut app = App::new(host, &plan.name, &component)
        .run(|run| {
            let run = plan.grants.clone().grant(run);
            run.limits(plan.limits).tenant(&tenant)
        })
        .log_prefix(LogPrefix::Named);
    if let Some(jobs) = plan.concurrency {
        app = app.concurrency(jobs);
    }
    if let Some(jobs) = plan.reuse {
        app = app.reuse(jobs);
    }
    if let Some(idle) = plan.idle_timeout {
        app = app.idle_timeout(idle);
    }
    Ok(app)
}

/// The host crate's errors with exit codes of this program.
pub(crate) fn explain(error: &WorkError) -> Failure {
    match error {
        WorkError::App { app, source } => {
            let failure = ended::explain(source);
            Failure::new(failure.code(), format!("the app `{app}`: {failure}"))
        }
        WorkError::Invalid(_) => Failure::usage(error),
        _ => Failure::new(1, error),
    }
}
