//! The streams of a queue, and the consumers of its apps.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};
use async_nats::jetstream::{Context, consumer::Consumer};

use super::error::WorkError;
use super::names::Names;
use super::rules::{RETURNS, SPARE};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long the server remembers a job's id once the job is gone.
const DUPLICATES: Duration = Duration::from_secs(120);

/// Makes the streams that are not there. One that is there stays as its owner made it: with other limits, on more servers.
pub(super) async fn ensure(context: &Context, names: &Names) -> Result<(), WorkError> {
    let jobs = Config {
        name: names.jobs.clone(),
        subjects: vec![names.work("*", "*")],
        retention: RetentionPolicy::WorkQueue,
        // A stream that is full refuses new jobs, and drops none.
        discard: DiscardPolicy::New,
        max_messages_per_subject: 1,
        discard_new_per_subject: true,
        duplicate_window: DUPLICATES,
        ..Config::default()
    };
    let results = Config {
        name: names.results.clone(),
        subjects: vec![names.result("*", "*")],
        max_age: DAY,
        ..Config::default()
    };
    let dead = Config {
        name: names.dead.clone(),
        subjects: vec![names.dead("*", "*")],
        max_age: 7 * DAY,
        ..Config::default()
    };
    for config in [jobs, results, dead] {
        let (name, retention) = (config.name.clone(), config.retention);
        let stream = context.get_or_create_stream(config).await;
        let stream = stream.map_err(|error| {
            WorkError::server(
                &format!(
                    "the stream {name} is not there and cannot be made; start nats-server with `--jetstream`, or grant `$JS.API.>`"
                ),
                error,
            )
        })?;
        if stream.cached_info().config.retention != retention {
            return Err(WorkError::Server(format!(
                "the stream {name} is there with another retention than it has to have; delete it, or name another with `stream`"
            )));
        }
    }
    Ok(())
}

/// The consumer of `app`, which all its workers share.
pub(super) async fn consumer(
    context: &Context,
    names: &Names,
    app: &str,
    lease: Duration,
    deliveries: u32,
) -> Result<Consumer<pull::Config>, WorkError> {
    let config = pull::Config {
        durable_name: Some(app.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: lease,
        max_deliver: i64::from(deliveries) + i64::from(SPARE) + i64::from(RETURNS),
        filter_subject: names.work(app, "*"),
        max_ack_pending: -1,
        ..pull::Config::default()
    };
    let made = context.create_consumer_on_stream(config, names.jobs.as_str());
    made.await.map_err(|error| {
        WorkError::server(
            &format!(
                "the consumer `{app}` of the stream {} cannot be made",
                names.jobs
            ),
            error,
        )
    })
}
