//! Jobs that no worker can read.
//!
//! A message whose headers are no headers ends the connection of each client that it is delivered to. The server counts
//! the deliveries, and says when there were as many as the consumer allows. Then it is a dead letter.

use std::pin::pin;
use std::sync::Arc;

use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID};
use async_nats::jetstream::context::PublishError;
use async_nats::{HeaderMap, Subject, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::{Either, select};
use serde_json::{Value, json};

use super::error::WorkError;
use super::names::REASON;
use super::queue::Queue;
use super::result::JobResult;
use super::rules::{Action, Course, Event, Orders, Stored};
use super::settle::look;
use super::shared::Shared;

/// The workers that share this work: the server tells one of them.
const GROUP: &str = "hart";

const WHY: &str =
    "no worker could read it: its headers are no headers of NATS; it is left out here";

/// Hears of such jobs.
pub(super) async fn subscribe(queue: &Queue) -> Result<Subscriber, WorkError> {
    let jobs = &queue.names.jobs;
    let subject = format!("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{jobs}.*");
    let heard = queue.client.queue_subscribe(subject, GROUP.into()).await;
    heard.map_err(|error| WorkError::server("the server's advisories cannot be heard", error))
}

/// Makes dead letters of them, as long as there is a worker.
pub(super) async fn bury(shared: Arc<Shared>, mut advisories: Subscriber) {
    loop {
        let is_over = || shared.stops() && shared.is_idle();
        let heard = match select(advisories.next(), pin!(shared.changed.wait(is_over))).await {
            Either::Left((Some(message), _)) => message,
            _ => return,
        };
        let advisory: Value = serde_json::from_slice(&heard.payload).unwrap_or_default();
        let Some(sequence) = advisory["stream_seq"].as_u64() else {
            continue;
        };
        if let Err(error) = bury_one(&shared, sequence).await {
            tracing::warn!("a job that no worker can read stays in the stream: {error}");
        }
    }
}

async fn bury_one(shared: &Shared, sequence: u64) -> Result<(), WorkError> {
    let queue = &shared.queue;
    let names = &queue.names;
    let request = format!("STREAM.MSG.GET.{}", names.jobs);
    let found: Value = queue
        .context
        .request(request, &json!({ "seq": sequence }))
        .await
        .map_err(|error| WorkError::server("it cannot be read", error))?;
    let subject = Subject::from(found["message"]["subject"].as_str().unwrap_or_default());
    // It may be gone by now.
    let Some((app, id)) = names.parts(&subject) else {
        return Ok(());
    };
    let message_id = format!("{app}.{id}.{sequence}");
    let failed = JobResult::failed(2, WHY);
    let mut stored = None;
    let mut course = Course::unread();
    let mut action = course.begin(Orders::default());
    loop {
        let orders = Orders {
            cancelled: false,
            gives_up: shared.gives_up(),
        };
        let event = match action {
            Action::Store(_) => {
                let mut headers = failed.headers();
                headers.insert(NATS_MESSAGE_ID, message_id.as_str());
                headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
                told(queue.publish(names.result(app, id), headers, Bytes::new()).await)
            }
            Action::StoreDead => {
                let reason = stored.as_ref().unwrap_or(&failed).reason.as_str();
                let mut headers = HeaderMap::new();
                headers.insert(NATS_MESSAGE_ID, message_id.as_str());
                headers.insert(REASON, reason);
                told(queue.publish(names.dead(app, id), headers, Bytes::new()).await)
            }
            Action::Look => {
                let (look, result) = look(queue.clone(), app.to_owned(), id.to_owned()).await;
                stored = result;
                Event::Looked(look)
            }
            Action::Again(wait) => {
                shared.pause(wait).await;
                Event::Waited
            }
            Action::Finish(_) => return queue.delete(&names.jobs, sequence).await,
            // The worker ends, or it is about a run, which there is none of.
            _ => return Ok(()),
        };
        action = course.on(event, orders);
    }
}

fn told(stored: Result<Stored, PublishError>) -> Event {
    Event::Stored(stored.unwrap_or_else(|error| {
        tracing::warn!("a job that no worker can read is no dead letter yet: {error}");
        Stored::Failed
    }))
}
