//! A queue, as those see it who submit jobs.

use std::error::Error as _;

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::consumer::{DeliverPolicy, pull::OrderedConfig};
use async_nats::jetstream::context::{PublishError, PublishErrorKind, RequestError};
use async_nats::jetstream::stream::{LastRawMessageError, LastRawMessageErrorKind};
use async_nats::jetstream::{self, Context, ErrorCode};
use futures::StreamExt as _;

use super::error::WorkError;
use super::job::Job;
use super::names::{Names, check};
use super::result::JobResult;
use super::rules::Stored;
use super::streams;

/// A stream of jobs and what comes of them. Cheap to clone.
///
/// Its functions are to be awaited where a tokio runtime is entered.
#[derive(Clone, Debug)]
pub struct Queue {
    pub(super) client: Client,
    pub(super) context: Context,
    pub(super) names: Names,
}

/// What the server says of a second message where one of a subject is the most.
const ONE_OF_A_SUBJECT: u64 = 10077;

impl Queue {
    /// The queue `HART` of a server. Its streams are made when they are first needed.
    ///
    /// # Panics
    ///
    /// Where no tokio runtime is entered.
    pub fn new(client: Client) -> Self {
        let names = Names::new("HART").expect("it is plain");
        Self::with(client, names)
    }

    /// A queue of another name.
    ///
    /// # Errors
    ///
    /// [`WorkError::Invalid`] for a name that streams and subjects cannot have.
    pub fn named(client: Client, stream: &str) -> Result<Self, WorkError> {
        Ok(Self::with(client, Names::new(stream)?))
    }

    fn with(client: Client, names: Names) -> Self {
        let context = jetstream::new(client.clone());
        Self {
            client,
            context,
            names,
        }
    }

    /// Whether there is a connection to the server at this moment.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Makes the streams that are not there.
    pub(super) async fn ensure(&self) -> Result<(), WorkError> {
        streams::ensure(&self.context, &self.names).await
    }

    /// Has `app` run a job, and gives its id. It is stored when this resolves.
    ///
    /// # Errors
    ///
    /// A name that cannot be one; a server that does not answer, or that refuses the job because it is too large, because
    /// the stream is full or because this client may not submit any.
    pub async fn submit(&self, app: &str, job: &Job) -> Result<String, WorkError> {
        check("app", app)?;
        let id = match &job.id {
            Some(id) => id.clone(),
            None => self
                .client
                .new_inbox()
                .replace(['.', '_'], "")
                .split_off("INBOX".len()),
        };
        check("job", &id)?;
        let headers = job.headers(&format!("{app}.{id}"))?;
        let subject = self.names.work(app, &id);
        let publish = || self.publish(subject.clone(), headers.clone(), job.input.clone());
        let mut stored = publish().await;
        if matches!(&stored, Err(error) if error.kind() == PublishErrorKind::StreamNotFound) {
            self.ensure().await?;
            stored = publish().await;
        }
        match stored {
            Ok(_) => Ok(id),
            // It is there already.
            Err(error) if code(&error) == Some(ONE_OF_A_SUBJECT) => Ok(id),
            Err(error) => Err(refused(&error)),
        }
    }

    /// Publishes to a stream, and waits until it is stored. What the server knows by its id, or refuses as it is not the
    /// first, is there.
    pub(super) async fn publish(
        &self,
        subject: String,
        headers: async_nats::HeaderMap,
        payload: bytes::Bytes,
    ) -> Result<Stored, PublishError> {
        let sent = self.context.publish_with_headers(subject, headers, payload);
        match sent.await?.await {
            Ok(ack) if ack.duplicate => Ok(Stored::There),
            Ok(_) => Ok(Stored::New),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(Stored::There),
            Err(error) => Err(error),
        }
    }

    /// What came of a job; `None` where there is no result yet, or no longer. A message that is no result counts as
    /// [`Failed`](super::JobStatus::Failed).
    ///
    /// # Errors
    ///
    /// A server that does not answer, or does not let this client read.
    pub async fn result(&self, app: &str, id: &str) -> Result<Option<JobResult>, WorkError> {
        check("app", app)?;
        check("job", id)?;
        let results = self.results().await?;
        let subject = self.names.result(app, id);
        match results.get_last_raw_message_by_subject(&subject).await {
            Ok(message) => {
                let result = JobResult::read(Some(&message.headers), message.payload);
                Ok(Some(result))
            }
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) if is_unreadable(&error) => Ok(Some(JobResult::unreadable())),
            Err(error) => Err(WorkError::server("the result cannot be read", error)),
        }
    }

    /// Waits for what comes of a job. A job that nobody runs has no result.
    ///
    /// # Errors
    ///
    /// As [`result`](Self::result).
    pub async fn wait(&self, app: &str, id: &str) -> Result<JobResult, WorkError> {
        check("app", app)?;
        check("job", id)?;
        self.ensure().await?;
        let failed = |error: &dyn std::fmt::Display| {
            WorkError::server("the result cannot be waited for", error)
        };
        loop {
            let consumer = OrderedConfig {
                filter_subject: self.names.result(app, id),
                deliver_policy: DeliverPolicy::Last,
                ..OrderedConfig::default()
            };
            let results = self.results().await?;
            let consumer = results.create_consumer(consumer).await;
            let messages = consumer.map_err(|error| failed(&error))?.messages().await;
            let mut messages = messages.map_err(|error| failed(&error))?;
            // What goes wrong on the way is tried again.
            if let Some(Ok(message)) = messages.next().await {
                let message = message.message;
                return Ok(JobResult::read(message.headers.as_ref(), message.payload));
            }
        }
    }

    async fn results(&self) -> Result<jetstream::stream::Stream<()>, WorkError> {
        let stream = self.context.get_stream_no_info(&self.names.results).await;
        stream.map_err(|error| WorkError::server("the results cannot be read", error))
    }
}

/// The number that the server gives an error of a publish.
pub(super) fn code(error: &PublishError) -> Option<u64> {
    let error = error.source()?.downcast_ref::<jetstream::Error>()?;
    let ErrorCode(code) = error.error_code();
    Some(code)
}

/// Whether the server has sent a message that the client cannot read.
fn is_unreadable(error: &LastRawMessageError) -> bool {
    let is_request = |source: &(dyn std::error::Error + 'static)| source.is::<RequestError>();
    error.kind() == LastRawMessageErrorKind::Other && !error.source().is_some_and(is_request)
}

/// What is said of a job that was not stored.
fn refused(error: &PublishError) -> WorkError {
    let what = match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => {
            "the job is too large for this server; raise its `max_payload`, or submit where the input is"
        }
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => {
            "the server did not answer; the job may be stored all the same, so submit it again under the same id"
        }
        _ => "the job was not stored",
    };
    match error.source() {
        Some(source) => WorkError::server(what, source),
        None => WorkError::server(what, error),
    }
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::context::RequestErrorKind;

    use super::*;

    /// Hunts a server that is away and taken for a result, and headers that are garbage and taken for a server that is away.
    #[test]
    fn what_cannot_be_read_is_no_failed_request() {
        let other = LastRawMessageErrorKind::Other;
        let garbage = std::io::Error::other("malformed header line");
        let garbage = LastRawMessageError::with_source(other.clone(), garbage);
        assert!(is_unreadable(&garbage));
        let away = RequestError::new(RequestErrorKind::TimedOut);
        let away = LastRawMessageError::with_source(other, away);
        assert!(!is_unreadable(&away));
        let none = LastRawMessageError::new(LastRawMessageErrorKind::NoMessageFound);
        assert!(!is_unreadable(&none));
    }
}
