//! What one can do with jobs that were submitted: list them, cancel them, submit those that failed again.

use std::time::Duration;

use async_nats::Request;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID};
use async_nats::jetstream::context::{ConsumerInfoError, ConsumerInfoErrorKind};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{DeleteMessageErrorKind, LastRawMessageErrorKind};
use bytes::Bytes;
use futures::TryStreamExt as _;

use super::error::WorkError;
use super::letter::is_whole;
use super::names::{REASON, check};
use super::queue::Queue;
use super::result::JobResult;
use super::rules::Stored;

/// How a worker is waited for that may have a job.
const ANSWER: Duration = Duration::from_secs(1);

/// What the server says of a message that is not there: in one way or another.
const GONE: [u64; 2] = [10_043, 10_057];

/// The jobs of an app, as far as the queue knows of them.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct AppJobs {
    /// The app.
    pub app: String,
    /// How many jobs no worker has yet.
    pub waiting: u64,
    /// How many a worker has.
    pub running: u64,
    /// The ids of all of these, in no particular order.
    pub ids: Vec<String>,
    /// The ids of those that failed, of the last week: the dead letters.
    pub dead: Vec<String>,
    /// A worker has taken jobs of this app, now or earlier.
    pub has_worker: bool,
}

/// What a cancel has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cancelled {
    /// A worker ends the job; its result will say so.
    Running,
    /// It waited, and is gone; its result says so.
    Waiting,
    /// There is no such job: it has ended, or never was.
    Nothing,
}

impl Queue {
    /// All jobs that wait or run, and those that failed, by app.
    ///
    /// # Errors
    ///
    /// A server that does not answer, or does not let this client look.
    pub async fn jobs(&self) -> Result<Vec<AppJobs>, WorkError> {
        self.ensure().await?;
        let names = &self.names;
        let mut apps: Vec<AppJobs> = Vec::new();
        for (stream, subjects, is_dead) in [
            (&names.jobs, names.work("*", "*"), false),
            (&names.dead, names.dead("*", "*"), true),
        ] {
            let failed = |error: &dyn std::fmt::Display| {
                WorkError::server(&format!("the stream {stream} cannot be read"), error)
            };
            let found = self.context.get_stream_no_info(stream).await;
            let found = found.map_err(|error| failed(&error))?;
            let infos = found.info_with_subjects(subjects).await;
            let infos = infos.map_err(|error| failed(&error))?;
            let subjects: Vec<(String, usize)> =
                infos.try_collect().await.map_err(|error| failed(&error))?;
            for (subject, _) in subjects {
                let Some((app, id)) = names.parts(&subject.as_str().into()).map(owned) else {
                    continue;
                };
                let app = named(&mut apps, &app);
                match is_dead {
                    true => app.dead.push(id),
                    false => app.ids.push(id),
                }
            }
        }
        let jobs = self.context.get_stream_no_info(&names.jobs).await;
        let jobs = jobs.map_err(|error| WorkError::server("the jobs cannot be read", error))?;
        let consumers: Vec<_> = jobs
            .consumers()
            .try_collect()
            .await
            .map_err(|error| WorkError::server("the apps cannot be read", error))?;
        for consumer in consumers {
            let app = named(&mut apps, &consumer.name);
            app.has_worker = true;
            app.running = consumer.num_ack_pending as u64;
        }
        for app in &mut apps {
            app.waiting = (app.ids.len() as u64).saturating_sub(app.running);
        }
        apps.sort_by(|one, other| one.app.cmp(&other.app));
        Ok(apps)
    }

    /// Whether a worker has ever taken jobs of `app` from this queue.
    ///
    /// # Errors
    ///
    /// A server that does not answer, or does not let this client look.
    pub async fn has_worker(&self, app: &str) -> Result<bool, WorkError> {
        check("app", app)?;
        let jobs = self.context.get_stream_no_info(&self.names.jobs).await;
        let jobs = jobs.map_err(|error| WorkError::server("the jobs cannot be read", error))?;
        Ok(jobs.consumer_info(app).await.is_ok())
    }

    /// Whether nobody has ever worked for `app`, as the server says; no where it does not say.
    pub(super) async fn lacks_worker(&self, app: &str) -> bool {
        let Ok(jobs) = self.context.get_stream_no_info(&self.names.jobs).await else {
            return false;
        };
        let is_none = |error: ConsumerInfoError| {
            matches!(
                error.kind(),
                ConsumerInfoErrorKind::NotFound | ConsumerInfoErrorKind::StreamNotFound
            )
        };
        jobs.consumer_info(app).await.is_err_and(is_none)
    }

    /// Whether a job is in the stream: it waits or runs.
    pub(super) async fn is_there(&self, app: &str, id: &str) -> Result<bool, WorkError> {
        let subject = self.names.work(app, id);
        Ok(self.last(&self.names.jobs, &subject).await?.is_some())
    }

    /// Ends a job, whether it waits or runs. One that a worker is about to take may run all the same, until that worker
    /// extends its lease; its result is that it was cancelled.
    ///
    /// # Errors
    ///
    /// A server that does not answer or refuses something.
    pub async fn cancel(&self, app: &str, id: &str) -> Result<Cancelled, WorkError> {
        check("app", app)?;
        check("job", id)?;
        let request = Request::new().payload(Bytes::new()).timeout(Some(ANSWER));
        let subject = self.names.cancel(app, id);
        // Where there is no answer, no worker has it, or there is none at all.
        let is_held = self.client.send_request(subject, request).await.is_ok();
        let subject = self.names.work(app, id);
        let Some(job) = self.last(&self.names.jobs, &subject).await? else {
            return Ok(match is_held {
                true => Cancelled::Running,
                false => Cancelled::Nothing,
            });
        };
        // Also where a worker has it, which may die before it has stored that: the next one is to find it.
        let result = JobResult::cancelled();
        let mut headers = result.headers();
        headers.insert(NATS_MESSAGE_ID, format!("{app}.{id}.{}", job.sequence));
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
        let stored = self
            .publish(self.names.result(app, id), headers, Bytes::new())
            .await
            .map_err(|error| WorkError::server("the result is not stored", error))?;
        match stored {
            // The worker that has it takes it out of the stream.
            _ if is_held => Ok(Cancelled::Running),
            // It has just ended.
            Stored::There | Stored::Failed => Ok(Cancelled::Nothing),
            Stored::New => {
                self.delete(&self.names.jobs, job.sequence).await?;
                Ok(Cancelled::Waiting)
            }
        }
    }

    /// Submits a job that failed again, under its id: from its dead letter, which goes, as its result does.
    ///
    /// # Errors
    ///
    /// No such dead letter, or one that lacks a part of its job; a server that does not answer or refuses something.
    pub async fn retry(&self, app: &str, id: &str) -> Result<(), WorkError> {
        check("app", app)?;
        check("job", id)?;
        let dead = self.names.dead(app, id);
        let Some(last) = self.last(&self.names.dead, &dead).await? else {
            return Err(WorkError::Invalid(format!(
                "there is no dead letter of the job {id} of `{app}`; `hart jobs list` shows those that there are"
            )));
        };
        let end = last.sequence;
        let Some(letter) = self.whole_letter(&dead, last).await? else {
            return Err(WorkError::Invalid(format!(
                "the dead letter of the job {id} of `{app}` lacks its headers or its input; submit the job anew with `hart submit`"
            )));
        };
        let result = self.names.result(app, id);
        self.purge(&self.names.results, &result, None).await?;
        let mut headers = async_nats::HeaderMap::new();
        for (name, values) in letter.headers.iter() {
            let name_of: &str = name.as_ref();
            let of_job = name_of.starts_with("Hart-") && name_of != REASON;
            for value in values.iter().filter(|_| of_job) {
                headers.append(name.clone(), value.clone());
            }
        }
        // Another one than the job's first, which the server may still remember.
        let message_id = format!("{app}.{id}.{}", letter.sequence);
        headers.insert(NATS_MESSAGE_ID, message_id);
        let stored = self.publish(self.names.work(app, id), headers, letter.payload);
        stored
            .await
            .map_err(|error| WorkError::server("the job is not stored", error))?;
        // There may be several: only for two minutes does the server drop a second letter.
        self.purge(&self.names.dead, &dead, Some(end)).await
    }

    /// The last letter of a subject that holds all of its job. The very `last` one may not, where a worker wrote it that only
    /// saw that the job is delivered no more.
    async fn whole_letter(
        &self,
        subject: &str,
        last: StreamMessage,
    ) -> Result<Option<StreamMessage>, WorkError> {
        let end = last.sequence;
        if is_whole(&last.headers) {
            return Ok(Some(last));
        }
        let failed = |error: &dyn std::fmt::Display| {
            WorkError::server("the dead letters cannot be read", error)
        };
        let dead = self.context.get_stream_no_info(&self.names.dead).await;
        let dead = dead.map_err(|error| failed(&error))?;
        let (mut whole, mut from) = (None, 1);
        while from < end {
            let found = dead.get_first_raw_message_by_subject(subject, from).await;
            let found = found.map_err(|error| failed(&error))?;
            from = found.sequence + 1;
            if is_whole(&found.headers) {
                whole = Some(found);
            }
        }
        Ok(whole)
    }

    /// The last message of a subject.
    async fn last(&self, stream: &str, subject: &str) -> Result<Option<StreamMessage>, WorkError> {
        let failed = |error: &dyn std::fmt::Display| {
            WorkError::server(&format!("the stream {stream} cannot be read"), error)
        };
        let found = self.context.get_stream_no_info(stream).await;
        let found = found.map_err(|error| failed(&error))?;
        match found.get_last_raw_message_by_subject(subject).await {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Deletes the messages of a subject: all, or those up to this number in the stream.
    async fn purge(&self, stream: &str, subject: &str, last: Option<u64>) -> Result<(), WorkError> {
        let failed = |error: &dyn std::fmt::Display| {
            WorkError::server(&format!("messages of {stream} are not deleted"), error)
        };
        let found = self.context.get_stream_no_info(stream).await;
        let found = found.map_err(|error| failed(&error))?;
        let purge = found.purge().filter(subject);
        let purged = match last {
            Some(last) => purge.sequence(last + 1).await,
            None => purge.await,
        };
        purged.map_err(|error| failed(&error))?;
        Ok(())
    }

    pub(super) async fn delete(&self, stream: &str, sequence: u64) -> Result<(), WorkError> {
        let failed = |error: &dyn std::fmt::Display| {
            WorkError::server(&format!("a message of {stream} is not deleted"), error)
        };
        let found = self.context.get_stream_no_info(stream).await;
        let found = found.map_err(|error| failed(&error))?;
        match found.delete_message(sequence).await {
            Ok(_) => Ok(()),
            // One that is gone already is as good.
            Err(error) if matches!(error.kind(), DeleteMessageErrorKind::JetStream(why) if GONE.contains(&why.error_code().0)) => {
                Ok(())
            }
            Err(error) => Err(failed(&error)),
        }
    }
}

fn owned((app, id): (&str, &str)) -> (String, String) {
    (app.to_owned(), id.to_owned())
}

fn named<'a>(apps: &'a mut Vec<AppJobs>, name: &str) -> &'a mut AppJobs {
    let place = apps.iter().position(|app| app.app == name);
    let place = place.unwrap_or_else(|| {
        apps.push(AppJobs {
            app: name.to_owned(),
            ..AppJobs::default()
        });
        apps.len() - 1
    });
    &mut apps[place]
}
