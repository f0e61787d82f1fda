//! Jobs that the server no longer delivers: no worker could read them, or each that had them died.
//!
//! A message whose headers are no headers ends the connection of each client that it is delivered to. The server counts
//! the deliveries, and says when there were as many as the consumer allows. Then it is a dead letter. The server says it
//! once, and a worker that hears it may die; so the workers look for such jobs, too.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID};
use async_nats::jetstream::context::PublishError;
use async_nats::{Subject, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::error::WorkError;
use super::letter;
use super::queue::Queue;
use super::result::JobResult;
use super::rules::{Action, Course, Event, Orders, Stored, used_up_to};
use super::settle::look;
use super::shared::Shared;
use crate::base::sync::lock;

/// The workers that share this work: the server tells one of them.
const GROUP: &str = "hart";

const WHY: &str = "given up: each worker that had it could not read it, as its headers are no headers of NATS, or died; it is left out here";

/// Hears of such jobs.
pub(super) async fn subscribe(queue: &Queue) -> Result<Subscriber, WorkError> {
    let jobs = &queue.names.jobs;
    let subject = format!("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{jobs}.*");
    let heard = queue.client.queue_subscribe(subject, GROUP.into()).await;
    heard.map_err(|error| WorkError::server("the server's advisories cannot be heard", error))
}

/// Makes dead letters of them, as long as there is a worker.
pub(super) async fn bury(shared: Arc<Shared>, mut advisories: Subscriber) {
    // It is not made anew for each advisory, so advisories do not put it off.
    let mut look = Box::pin(shared.core.clock.sleep(shared.lease));
    loop {
        let mut over = pin!(shared.changed.wait(|| shared.is_over()));
        let heard = poll_fn(|cx| {
            if over.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            if look.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Some(None));
            }
            advisories.poll_next_unpin(cx).map(|heard| heard.map(Some))
        });
        let buried = match heard.await {
            Some(Some(message)) => {
                let advisory: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
                match advisory["stream_seq"].as_u64() {
                    Some(sequence) => bury_one(&shared, sequence).await,
                    None => continue,
                }
            }
            Some(None) => {
                let buried = bury_all(&shared).await;
                look = Box::pin(shared.core.clock.sleep(shared.lease));
                buried
            }
            None => return,
        };
        if let Err(error) = buried {
            tracing::warn!("a job that is delivered no more stays in the stream: {error}");
        }
    }
}

/// Looks for such jobs of all apps.
async fn bury_all(shared: &Shared) -> Result<(), WorkError> {
    let queue = &shared.queue;
    let names = &queue.names;
    let failed = |error: &dyn std::fmt::Display| WorkError::server("it is not looked for", error);
    for app in shared.apps() {
        let jobs = queue.context.get_stream_no_info(&names.jobs).await;
        let jobs = jobs.map_err(|error| failed(&error))?;
        let info = jobs.consumer_info(app).await;
        let info = info.map_err(|error| failed(&error))?;
        let (delivered, floor) = (
            info.delivered.stream_sequence,
            info.ack_floor.stream_sequence,
        );
        let last = used_up_to(delivered, floor, info.num_ack_pending);
        let mut from = 1;
        while from <= last {
            let next = json!({ "seq": from, "next_by_subj": names.work(app, "*") });
            let found = get(queue, &next).await?;
            match found.filter(|(sequence, _)| *sequence <= last) {
                Some((sequence, _)) => {
                    bury_one(shared, sequence).await?;
                    from = sequence + 1;
                }
                None => break,
            }
        }
    }
    Ok(())
}

/// Number and subject of a message of the stream of jobs, whatever its headers are.
async fn get(queue: &Queue, which: &Value) -> Result<Option<(u64, Subject)>, WorkError> {
    let request = format!("STREAM.MSG.GET.{}", queue.names.jobs);
    let found = queue.context.request(request, which).await;
    let found: Value = found.map_err(|error| WorkError::server("it cannot be read", error))?;
    let message = &found["message"];
    let parts = (message["seq"].as_u64(), message["subject"].as_str());
    Ok(match parts {
        (Some(sequence), Some(subject)) => Some((sequence, Subject::from(subject))),
        _ => None,
    })
}

async fn bury_one(shared: &Shared, sequence: u64) -> Result<(), WorkError> {
    let queue = &shared.queue;
    let names = &queue.names;
    let Some((_, subject)) = get(queue, &json!({ "seq": sequence })).await? else {
        return Ok(());
    };
    // It may be gone by now.
    let Some((app, id)) = names.parts(&subject) else {
        return Ok(());
    };
    // Its run goes on here. If the run leaves it in the stream, the next look finds it.
    if shared
        .desk(app)
        .is_some_and(|desk| lock(&desk.intake).holds(id, sequence))
    {
        return Ok(());
    }
    let message_id = format!("{app}.{id}.{sequence}");
    let failed = JobResult::failed(2, WHY);
    let mut stored = None;
    let mut course = Course::unread();
    let mut action = course.begin(Orders::default());
    loop {
        let orders = Orders {
            cancelled: false,
            gives_up: shared.gives_up() || shared.is_over(),
        };
        let event = match action {
            Action::Store(_) => {
                let mut headers = failed.headers();
                headers.insert(NATS_MESSAGE_ID, message_id.as_str());
                headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
                told(
                    queue
                        .publish(names.result(app, id), headers, Bytes::new())
                        .await,
                )
            }
            Action::StoreDead => {
                let reason = stored.as_ref().unwrap_or(&failed).reason.as_str();
                let mut headers = letter::of_none(reason);
                headers.insert(NATS_MESSAGE_ID, message_id.as_str());
                told(
                    queue
                        .publish(names.dead(app, id), headers, Bytes::new())
                        .await,
                )
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
        tracing::warn!("a job that is delivered no more is no dead letter yet: {error}");
        Stored::Failed
    }))
}
