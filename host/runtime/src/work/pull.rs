//! Takes jobs of one app from the stream: as many as there is room for.
//!
//! # Protocol
//!
//! 1. The worker asks for so many messages, to be sent to an inbox of its own. The server answers each request with that
//!    many messages, or ends it with a status that says how many it has not sent. `asked` is what may still come.
//! 2. Jobs that run and messages that were asked for are never more than the app's concurrency, so a message finds room.
//!    Only where the server has taken one request for two, as around a reconnect, one may come that does not; it goes back.
//! 3. Requests end with the connection, which nobody tells: a change of the count of connects says it. The next ones name
//!    another inbox. One that was lost in another way is over some time after its expiry.
//! 4. After a connection that was lost, messages are asked for one by one for a while: the one that ended it, by headers that
//!    are none, is to take no others along. Each time they are taken along counts as a delivery of theirs.
//! 5. At the end the inbox goes first, and what is on its way to it goes back.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{Consumer, pull};
use async_nats::{StatusCode, Subject, Subscriber};
use futures::future::{Either, select};
use futures::{FutureExt as _, StreamExt as _};

use super::error::WorkError;
use super::perform::Performs;
use super::shared::{Live, Shared};
use super::streams;

/// How long a request for messages is good for.
const EXPIRY: Duration = Duration::from_secs(30);

/// How late the end of one may be.
const LATE: Duration = Duration::from_secs(5);

/// How often the connection is looked at, and what is broken is tried again.
const LOOK: Duration = Duration::from_millis(500);

/// How long a job that found no room waits for its next worker.
const NO_ROOM: Duration = Duration::from_secs(1);

/// How long messages that are on their way may take.
const ON_THEIR_WAY: Duration = Duration::from_secs(1);

/// The header of a status that says how many messages were not sent.
const PENDING: &str = "Nats-Pending-Messages";

/// What takes jobs.
pub(super) struct Puller {
    consumer: Consumer<pull::Config>,
    inbox: Subject,
    messages: Subscriber,
    asked: usize,
    last_asked: Instant,
    /// Connections that there were when it was asked.
    connects: u64,
    /// Messages that are to be asked for one by one.
    careful: usize,
    /// The consumer may be gone.
    is_broken: bool,
    concurrency: usize,
    app: String,
    shared: Arc<Shared>,
}

enum Event {
    Message(async_nats::Message),
    /// A job has ended, or the worker stops.
    Changed,
    Look,
    /// No more messages: the client is closed.
    Gone,
}

/// Takes jobs until the worker stops.
pub(super) async fn pull<T: Send + 'static>(
    live: Live,
    mut puller: Puller,
    performs: Arc<Performs<T>>,
) {
    let running = || performs.counters.running.load(Ordering::Relaxed);
    while !puller.shared.stops() {
        let ran = running();
        puller.ask(ran).await;
        match puller.next(|| running() != ran).await {
            Event::Message(message) if message.status.is_none() => {
                puller.asked = puller.asked.saturating_sub(1);
                puller.careful = puller.careful.saturating_sub(1);
                let message = as_job(&puller.shared, message);
                if running() >= puller.concurrency {
                    performs.give_back(&message, Some(NO_ROOM)).await;
                } else {
                    // Counted here: the next look is to see it.
                    performs.counters.running.fetch_add(1, Ordering::Relaxed);
                    let live = puller.shared.enter();
                    let performs = performs.clone();
                    puller.shared.core.spawn_aside("job", async move {
                        performs.perform(message).await;
                        drop(live);
                    });
                }
            }
            Event::Message(message) => puller.heard(&message),
            Event::Look => puller.look(&performs).await,
            Event::Changed => {}
            Event::Gone => break,
        }
    }
    puller.end(&performs).await;
    drop(live);
}

impl Puller {
    pub(super) async fn new(
        consumer: Consumer<pull::Config>,
        shared: &Arc<Shared>,
        concurrency: usize,
        app: &str,
    ) -> Result<Self, WorkError> {
        let client = &shared.queue.client;
        let inbox = Subject::from(client.new_inbox());
        let messages = client.subscribe(inbox.clone()).await;
        Ok(Self {
            consumer,
            inbox,
            messages: messages.map_err(|error| WorkError::server("no inbox", error))?,
            asked: 0,
            last_asked: Instant::now(),
            connects: connects(shared),
            careful: 0,
            is_broken: false,
            concurrency,
            app: app.to_owned(),
            shared: shared.clone(),
        })
    }

    /// Asks for more, where there is room for a good part or nothing else to wait for.
    async fn ask(&mut self, running: usize) {
        let mut room = self.concurrency.saturating_sub(running + self.asked);
        let is_worth_it = self.asked == 0 || room > self.concurrency / 4;
        if self.careful > 0 {
            room = room.min(1_usize.saturating_sub(self.asked));
        }
        if room == 0 || !is_worth_it || self.is_broken {
            return;
        }
        let request = pull::BatchConfig {
            batch: room,
            expires: Some(EXPIRY),
            ..pull::BatchConfig::default()
        };
        match self
            .consumer
            .request_batch(request, self.inbox.clone())
            .await
        {
            Ok(()) => {
                self.asked += room;
                self.last_asked = Instant::now();
            }
            Err(error) => {
                tracing::debug!("jobs of `{}` cannot be asked for: {error}", self.app);
                self.is_broken = true;
            }
        }
    }

    async fn next(&mut self, is_other: impl Fn() -> bool + Unpin) -> Event {
        let shared = &self.shared;
        let mut changed = pin!(shared.changed.wait(|| is_other() || shared.stops()));
        let mut look = pin!(shared.core.clock.sleep(LOOK));
        let messages = &mut self.messages;
        poll_fn(|cx| {
            match messages.poll_next_unpin(cx) {
                Poll::Ready(Some(message)) => return Poll::Ready(Event::Message(message)),
                Poll::Ready(None) => return Poll::Ready(Event::Gone),
                Poll::Pending => {}
            }
            if changed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Changed);
            }
            look.as_mut().poll(cx).map(|()| Event::Look)
        })
        .await
    }

    /// A request has ended.
    fn heard(&mut self, message: &async_nats::Message) {
        if message.status == Some(StatusCode::IDLE_HEARTBEAT) {
            return;
        }
        let header =
            |headers: &async_nats::HeaderMap| headers.get(PENDING)?.as_str().parse::<usize>().ok();
        let unsent = message.headers.as_ref().and_then(header);
        self.asked = self.asked.saturating_sub(unsent.unwrap_or(self.asked));
        let is_usual = matches!(
            message.status,
            Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND)
        );
        if !is_usual {
            let said = message.description.as_deref().unwrap_or_default();
            tracing::debug!("a request for jobs of `{}` was ended: {said}", self.app);
            self.is_broken = true;
        }
    }

    /// Forgets requests that are lost, and mends what is broken.
    async fn look<T: Send + 'static>(&mut self, performs: &Performs<T>) {
        let connects = connects(&self.shared);
        let is_new = std::mem::replace(&mut self.connects, connects) != connects;
        if is_new {
            self.careful = self.concurrency;
            self.change_inbox(performs).await;
        }
        if is_new || self.last_asked.elapsed() > EXPIRY + LATE {
            self.asked = 0;
        }
        if !std::mem::take(&mut self.is_broken) {
            return;
        }
        let (shared, queue) = (&self.shared, &self.shared.queue);
        let mended = async {
            queue.ensure().await?;
            let (context, names) = (&queue.context, &queue.names);
            streams::consumer(context, names, &self.app, shared.lease, shared.deliveries).await
        };
        match mended.await {
            Ok(consumer) => self.consumer = consumer,
            Err(error) => {
                tracing::warn!(
                    "jobs of `{}` cannot be taken: {error}; it is tried again",
                    self.app
                );
                self.is_broken = true;
                shared.pause(NO_ROOM).await;
            }
        }
    }

    /// Has messages sent to another inbox. The server may still hold requests of the old connection, whose messages would
    /// go to the old one; what has come there already goes back.
    async fn change_inbox<T: Send + 'static>(&mut self, performs: &Performs<T>) {
        let client = &self.shared.queue.client;
        let inbox = Subject::from(client.new_inbox());
        let Ok(messages) = client.subscribe(inbox.clone()).await else {
            // A client that is closed: the loop finds that out.
            return;
        };
        let mut old = std::mem::replace(&mut self.messages, messages);
        self.inbox = inbox;
        let _ = old.unsubscribe().await;
        while let Some(Some(message)) = old.next().now_or_never() {
            if message.status.is_none() {
                performs
                    .give_back(&as_job(&self.shared, message), None)
                    .await;
            }
        }
    }

    /// Gives back what is on its way.
    async fn end<T: Send + 'static>(mut self, performs: &Performs<T>) {
        if self.messages.drain().await.is_err() {
            return;
        }
        let over = pin!(self.shared.core.clock.sleep(ON_THEIR_WAY));
        let mut over = over;
        while let Either::Left((Some(message), _)) = select(self.messages.next(), &mut over).await {
            if message.status.is_none() {
                let message = as_job(&self.shared, message);
                performs.give_back(&message, None).await;
            }
        }
    }
}

fn as_job(shared: &Shared, message: async_nats::Message) -> Message {
    Message {
        message,
        context: shared.queue.context.clone(),
    }
}

fn connects(shared: &Shared) -> u64 {
    let statistics = shared.queue.client.statistics();
    statistics.connects.load(Ordering::Relaxed)
}
