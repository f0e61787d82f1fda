//! What is asked of the queue, and told to it, about one delivery of a job.

use std::sync::Arc;

use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID};
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::{AckKind, Message};

use futures::TryStreamExt as _;

use super::job::Job;
use super::letter;
use super::queue::Queue;
use super::result::JobResult;
use super::rules::{Look, Stored};
use super::shared::Shared;

/// One delivery of a job.
pub(super) struct Delivery {
    shared: Arc<Shared>,
    pub(super) message: Message,
    app: String,
    pub(super) id: String,
    /// Its number in the stream, which all its deliveries have.
    pub(super) sequence: u64,
    /// 1 for the first.
    pub(super) delivered: u64,
}

/// What headers take beside those that a message had: what is left out for them is not counted on.
const HEADERS: usize = 8 << 10;

impl Delivery {
    /// That of a message; back where it is none of this queue.
    pub(super) fn of(shared: &Arc<Shared>, message: Message) -> Result<Self, Box<Message>> {
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
            shared: shared.clone(),
            message,
            app,
            id,
            sequence,
            delivered: u64::try_from(delivered).unwrap_or(1),
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

    /// Looks for its result.
    pub(super) fn look(&self) -> impl Future<Output = Looked> + Send + use<> {
        look(self.queue().clone(), self.app.clone(), self.id.clone())
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

    /// Stores what came of it, if it is the first result.
    pub(super) async fn store(&self, result: &JobResult) -> Stored {
        let mut headers = result.headers();
        headers.insert(NATS_MESSAGE_ID, self.message_id());
        // There is one result, whoever has the job as well.
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
        let subject = self.queue().names.result(&self.app, &self.id);
        let stored = self.queue().publish(subject, headers, result.bytes.clone());
        self.told(stored.await)
    }

    /// Stores the job as it was, and why it failed.
    pub(super) async fn store_dead(&self, reason: &str) -> Stored {
        let message = &self.message;
        let room = self.queue().client.max_payload().saturating_sub(HEADERS);
        let (mut headers, payload) =
            letter::of_job(message.headers.as_ref(), &message.payload, room, reason);
        headers.insert(NATS_MESSAGE_ID, self.message_id());
        let subject = self.queue().names.dead(&self.app, &self.id);
        let stored = self.queue().publish(subject, headers, payload);
        self.told(stored.await)
    }

    fn told(&self, stored: Result<Stored, PublishError>) -> Stored {
        stored.unwrap_or_else(|error| {
            tracing::warn!(
                "what came of the job {} of `{}` cannot be stored yet: {error}",
                self.id,
                self.app
            );
            Stored::Failed
        })
    }

    fn message_id(&self) -> String {
        format!("{}.{}.{}", self.app, self.id, self.sequence)
    }

    /// Sends the result to the submitter, if asked to: who waits there has it in the stream as well.
    pub(super) async fn reply(&self, result: &JobResult) {
        if let Ok(Some(reply)) = self.job().map(|job| job.reply) {
            let (headers, bytes) = (result.headers(), result.bytes.clone());
            let client = &self.queue().client;
            let _ = client.publish_with_headers(reply, headers, bytes).await;
        }
    }

    /// Notes that the job is given back though nothing is wrong with it: the next workers do not count this delivery.
    pub(super) async fn note_return(&self) {
        let mut headers = async_nats::HeaderMap::new();
        let id = format!("{}.back.{}", self.message_id(), self.delivered);
        headers.insert(NATS_MESSAGE_ID, id);
        let subject = self
            .queue()
            .names
            .returned(&self.app, &self.id, self.sequence);
        let noted = self.queue().publish(subject, headers, "".into());
        if let Err(error) = noted.await {
            tracing::debug!("the job {} is given back, which counts: {error}", self.id);
        }
    }

    /// How often it was given back so; `None` where the server does not say.
    pub(super) async fn returns(&self) -> Option<u64> {
        let names = &self.queue().names;
        let subject = names.returned(&self.app, &self.id, self.sequence);
        let results = self.queue().context.get_stream_no_info(&names.results);
        let counted = results.await.ok()?.info_with_subjects(subject).await.ok()?;
        let subjects: Vec<(String, usize)> = counted.try_collect().await.ok()?;
        Some(subjects.iter().map(|(_, count)| *count as u64).sum())
    }

    /// Takes the job out of the stream. Nobody waits for that: where it is lost, the job is delivered again, and has its
    /// result.
    pub(super) async fn done(&self, kind: AckKind) {
        tell(&self.message, kind).await;
    }
}

/// What a look for a result found, and the result.
pub(super) type Looked = (Look, Option<JobResult>);

/// Looks for the result of a job.
pub(super) async fn look(queue: Queue, app: String, id: String) -> Looked {
    match queue.result(&app, &id).await {
        Ok(Some(result)) => (Look::Found(result.status), Some(result)),
        Ok(None) => (Look::Nothing, None),
        Err(_) => (Look::Unknown, None),
    }
}

/// Sends something about a message that nothing depends on: where it is lost, the lease runs out.
pub(super) async fn tell(message: &Message, kind: AckKind) {
    if let Err(error) = message.ack_with(kind).await {
        tracing::debug!("the server was not told of a job: {error}");
    }
}
