//! Tells the queue what came of a job: the result first, then the server, so that a worker that dies in between leaves a
//! job that is delivered again and finds its result there.

use std::time::Duration;

use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID};
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::{AckKind, Message};
use async_nats::{HeaderMap, Request};
use bytes::Bytes;

use super::job::Job;
use super::names::REASON;
use super::queue::Queue;
use super::result::{JobResult, JobStatus};
use super::shared::Shared;

/// One delivery of a job.
pub(super) struct Delivery<'a> {
    shared: &'a Shared,
    pub(super) message: Message,
    app: String,
    pub(super) id: String,
    /// Its number in the stream, which all its deliveries have.
    sequence: u64,
    /// 1 for the first.
    pub(super) delivered: i64,
}

/// Whether the queue knows of the result.
pub(super) enum Settled {
    Stored,
    /// The worker ends before it could be stored.
    Not,
}

/// How long the server may take for an answer.
const ANSWER: Duration = Duration::from_secs(5);

/// How long the worker waits before it tries again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What headers take beside those that a message had: what is left out for them is not counted on.
const HEADERS: usize = 8 << 10;

impl<'a> Delivery<'a> {
    /// That of a message; back where it is none of this queue.
    pub(super) fn of(shared: &'a Shared, message: Message) -> Result<Self, Box<Message>> {
        let found = message.info().ok().and_then(|info| {
            let (app, id) = shared.queue.names.parts(&message.subject)?;
            Some((
                app.to_owned(),
                id.to_owned(),
                info.stream_sequence,
                info.delivered,
            ))
        });
        let Some((app, id, sequence, delivered)) = found else {
            return Err(Box::new(message));
        };
        Ok(Self {
            shared,
            message,
            app,
            id,
            sequence,
            delivered,
        })
    }

    /// What is to be done, or what is wrong with it.
    pub(super) fn job(&self) -> Result<Job, String> {
        let message = &self.message;
        Job::read(message.headers.as_ref(), message.payload.clone())
    }

    fn queue(&self) -> &Queue {
        &self.shared.queue
    }

    /// Whether it was done before. What cannot be found out counts as no.
    pub(super) async fn has_result(&self) -> bool {
        let found = self.queue().result(&self.app, &self.id).await;
        matches!(found, Ok(Some(_)))
    }

    /// Stores what came of it, for as long as that takes.
    pub(super) async fn settle(&self, result: &JobResult) -> Settled {
        let mut wait = RETRY.0;
        loop {
            let stored = self.store(result).await;
            let Err(error) = stored else {
                break;
            };
            if self.shared.gives_up() {
                return Settled::Not;
            }
            tracing::warn!(
                "what came of the job {} of `{}` cannot be stored yet: {error}",
                self.id,
                self.app
            );
            tell(&self.message, AckKind::Progress).await;
            self.shared.pause(wait).await;
            wait = (wait * 2).min(RETRY.1);
        }
        if let Ok(Some(reply)) = self.job().map(|job| job.reply) {
            let (headers, bytes) = (result.headers(), result.bytes.clone());
            // Whoever waits there has the result in the stream as well.
            let client = &self.queue().client;
            let _ = client.publish_with_headers(reply, headers, bytes).await;
        }
        self.done(match result.status {
            JobStatus::Failed => AckKind::Term,
            _ => AckKind::Ack,
        })
        .await;
        Settled::Stored
    }

    /// The result, or why it is none: the server takes no message that is too large.
    pub(super) fn fitting(&self, result: JobResult) -> JobResult {
        let most = self.queue().client.max_payload().saturating_sub(HEADERS);
        match result.bytes.len() {
            bytes if bytes > most => JobResult::failed(
                1,
                &format!(
                    "its result has {bytes} bytes, and the server takes {most}; raise `max_payload` there, or return less"
                ),
            ),
            _ => result,
        }
    }

    async fn store(&self, result: &JobResult) -> Result<(), PublishError> {
        if result.status == JobStatus::Failed {
            self.store_dead(&result.reason).await?;
        }
        let mut headers = result.headers();
        headers.insert(NATS_MESSAGE_ID, self.message_id());
        // There is one result, whoever has the job as well.
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
        let subject = self.queue().names.result(&self.app, &self.id);
        let stored = self.queue().publish(subject, headers, result.bytes.clone());
        self.unless_there(stored.await)
    }

    /// The job as it was, and why it failed.
    async fn store_dead(&self, reason: &str) -> Result<(), PublishError> {
        let message = &self.message;
        let mut headers = HeaderMap::new();
        for (name, values) in message.headers.iter().flat_map(HeaderMap::iter) {
            for value in values {
                headers.append(name.clone(), value.clone());
            }
        }
        headers.insert(NATS_MESSAGE_ID, self.message_id());
        let room = self.queue().client.max_payload().saturating_sub(HEADERS);
        let (mut payload, mut reason) = (message.payload.clone(), reason.to_owned());
        if message.length > room {
            reason = format!(
                "{reason} (its input of {} bytes is left out here)",
                payload.len()
            );
            payload = Bytes::new();
        }
        headers.insert(REASON, reason);
        let subject = self.queue().names.dead(&self.app, &self.id);
        let stored = self.queue().publish(subject, headers, payload);
        self.unless_there(stored.await)
    }

    /// What another worker has stored is as good.
    fn unless_there(&self, stored: Result<(), PublishError>) -> Result<(), PublishError> {
        match stored {
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(()),
            stored => stored,
        }
    }

    fn message_id(&self) -> String {
        format!("{}.{}.{}", self.app, self.id, self.sequence)
    }

    /// Takes the job out of the stream. Where the server does not answer it may be delivered again, and has its result.
    pub(super) async fn done(&self, kind: AckKind) {
        let Some(reply) = self.message.reply.clone() else {
            return;
        };
        let ack = Request::new().payload(kind.into()).timeout(Some(ANSWER));
        if let Err(error) = self.queue().client.send_request(reply, ack).await {
            tracing::debug!("the job {} may be delivered again: {error}", self.id);
        }
    }
}

/// Sends something about a message that nothing depends on: where it is lost, the lease runs out.
pub(super) async fn tell(message: &Message, kind: AckKind) {
    if let Err(error) = message.ack_with(kind).await {
        tracing::debug!("the server was not told of a job: {error}");
    }
}
