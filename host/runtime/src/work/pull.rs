//! Takes jobs of one app from the stream: as many as there is room for.
//!
//! How many are asked for, and what is done with one that arrives, [`Intake`](super::rules::Intake) decides.
//!
//! # Protocol
//!
//! 1. The worker asks for so many messages, to be sent to an inbox of its own.
//! 2. Requests end with the connection, which nobody tells: a change of the count of connects says it. The next ones name
//!    another inbox.
//! 3. At the end the inbox goes first, and what is on its way to it goes back.

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{Consumer, pull};
use async_nats::jetstream::{AckKind, Message};
use async_nats::{StatusCode, Subject, Subscriber};
use futures::future::{Either, select};
use futures::{FutureExt as _, StreamExt as _};

use super::error::WorkError;
use super::perform::Performs;
use super::rules::{Arrival, EXPIRY, LOOK, NO_ROOM};
use super::settle::{Delivery, tell};
use super::shared::{Live, Shared};
use super::streams;
use crate::base::sync::lock;
use crate::sched::clock::sleep::Sleep;

/// How long messages that are on their way may take.
const ON_THEIR_WAY: Duration = Duration::from_secs(1);

/// The header of a status that says how many messages were not sent.
const PENDING: &str = "Nats-Pending-Messages";

/// What takes jobs.
pub(super) struct Puller {
    consumer: Consumer<pull::Config>,
    inbox: Subject,
    messages: Subscriber,
    /// Connections that there were when it was asked.
    connects: u64,
    /// The consumer may be gone.
    is_broken: bool,
    /// Ready when it is time to look. It is not made anew for each message, so messages do not put it off.
    next_look: Pin<Box<Sleep>>,
    /// What the intake's times count from.
    start: Instant,
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
    let held = || performs.desk.held();
    while !puller.shared.stops() {
        let had = held();
        puller.ask(&performs).await;
        match puller.next(|| held() != had).await {
            Event::Message(message) if message.status.is_none() => {
                lock(&performs.desk.intake).receives();
                let message = as_job(&puller.shared, message);
                arrives(&puller.shared, &performs, message).await;
            }
            Event::Message(message) => puller.heard(&performs, &message),
            Event::Look => {
                puller.look(&performs).await;
                puller.next_look = Box::pin(puller.shared.core.clock.sleep(LOOK));
            }
            Event::Changed => {}
            Event::Gone => break,
        }
    }
    puller.end(&performs).await;
    drop(live);
}

/// Begins a job, or does what else the intake says of it.
async fn arrives<T: Send + 'static>(
    shared: &Arc<Shared>,
    performs: &Arc<Performs<T>>,
    message: Message,
) {
    let delivery = match Delivery::of(shared, message) {
        Ok(delivery) => delivery,
        Err(message) => return tell(&message, AckKind::Term).await,
    };
    if delivery.delivered > 1 {
        performs
            .counters
            .redelivered
            .fetch_add(1, Ordering::Relaxed);
    }
    let arrival = lock(&performs.desk.intake).arrives(&delivery.id, delivery.sequence);
    match arrival {
        Arrival::Begins => {
            let live = shared.enter();
            let performs = performs.clone();
            shared.core.spawn_aside("job", async move {
                performs.perform(delivery).await;
                drop(live);
            });
        }
        Arrival::IsHere => {}
        Arrival::GoesBack(delay) => performs.give_back(&delivery, delay).await,
    }
}

impl Puller {
    pub(super) async fn new(
        consumer: Consumer<pull::Config>,
        shared: &Arc<Shared>,
        app: &str,
    ) -> Result<Self, WorkError> {
        let client = &shared.queue.client;
        let inbox = Subject::from(client.new_inbox());
        let messages = client.subscribe(inbox.clone()).await;
        Ok(Self {
            consumer,
            inbox,
            messages: messages.map_err(|error| WorkError::server("no inbox", error))?,
            connects: connects(shared),
            is_broken: false,
            next_look: Box::pin(shared.core.clock.sleep(LOOK)),
            start: Instant::now(),
            app: app.to_owned(),
            shared: shared.clone(),
        })
    }

    /// Asks for more, where there is room.
    async fn ask<T>(&mut self, performs: &Performs<T>) {
        let room = lock(&performs.desk.intake).room();
        if room == 0 || self.is_broken {
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
                lock(&performs.desk.intake).asks(room, self.start.elapsed());
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
        let (look, messages) = (&mut self.next_look, &mut self.messages);
        poll_fn(|cx| {
            if look.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Look);
            }
            match messages.poll_next_unpin(cx) {
                Poll::Ready(Some(message)) => return Poll::Ready(Event::Message(message)),
                Poll::Ready(None) => return Poll::Ready(Event::Gone),
                Poll::Pending => {}
            }
            changed.as_mut().poll(cx).map(|()| Event::Changed)
        })
        .await
    }

    /// A request has ended.
    fn heard<T>(&mut self, performs: &Performs<T>, message: &async_nats::Message) {
        if message.status == Some(StatusCode::IDLE_HEARTBEAT) {
            return;
        }
        let header =
            |headers: &async_nats::HeaderMap| headers.get(PENDING)?.as_str().parse::<usize>().ok();
        let unsent = message.headers.as_ref().and_then(header);
        lock(&performs.desk.intake).request_ends(unsent);
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
    async fn look<T: Send + 'static>(&mut self, performs: &Arc<Performs<T>>) {
        let connects = connects(&self.shared);
        let is_new = std::mem::replace(&mut self.connects, connects) != connects;
        if is_new {
            self.change_inbox(performs).await;
        }
        lock(&performs.desk.intake).looks(self.start.elapsed(), is_new);
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
    /// go to the old one; what has come there already is not left there.
    async fn change_inbox<T: Send + 'static>(&mut self, performs: &Arc<Performs<T>>) {
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
                let message = as_job(&self.shared, message);
                arrives(&self.shared, performs, message).await;
            }
        }
    }

    /// Gives back what is on its way: the intake takes no more. The loop may end because the client is closed, too.
    async fn end<T: Send + 'static>(mut self, performs: &Arc<Performs<T>>) {
        if self.messages.drain().await.is_err() {
            return;
        }
        let over = pin!(self.shared.core.clock.sleep(ON_THEIR_WAY));
        let mut over = over;
        while let Either::Left((Some(message), _)) = select(self.messages.next(), &mut over).await {
            if message.status.is_none() {
                let message = as_job(&self.shared, message);
                arrives(&self.shared, performs, message).await;
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
