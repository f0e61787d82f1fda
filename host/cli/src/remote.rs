//! The way to other machines, for tasks that may run anywhere: `-S remote`, or `remote` of an app in a file.

use crate::config::plan::WorkPlan;
use crate::failure::Failure;
use crate::grants::RemotePlan;
use crate::queue::connect;
use hart_host::Host;
use hart_host::work::{Queue, Remote};
use std::time::Duration;

/// How long what is on the way may take once nobody waits any more: cancels, above all.
const GRACE: Duration = Duration::from_secs(5);

/// Connects to the server of the queue that `file` or else `plan` names.
///
/// # Errors
/// As those of [`connect`].
pub(crate) fn queue(host: &Host, plan: &RemotePlan, file: WorkPlan) -> Result<Queue, Failure> {
    let plan = WorkPlan {
        server: plan.server.clone(),
        stream: plan.stream.clone(),
        ..WorkPlan::default()
    };
    let tokio = host.runtime().tokio();
    let tokio = tokio.expect("the host has threads of its own");
    let connected = tokio.block_on(connect(&plan.or(file), "hart remote", |_| {}))?;
    Ok(connected.queue)
}

/// The workers of an app.
///
/// # Errors
/// A name that no app can have there.
pub(crate) fn workers(host: &Host, queue: &Queue, app: &str) -> Result<Remote, Failure> {
    Remote::new(host, queue, app).map_err(|error| {
        Failure::usage(format!(
            "{error}; -S remote-app, or `remote` in a .toml file, names the app"
        ))
    })
}

/// Waits until nothing is on the way any more.
pub(crate) async fn settle(all: impl IntoIterator<Item = Remote>) {
    let all: Vec<_> = all.into_iter().collect();
    futures::future::join_all(all.iter().map(|remote| remote.settle(GRACE))).await;
}
