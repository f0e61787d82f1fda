//! One call of an instance.

use std::fmt;
use std::future::IntoFuture;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{BoxFuture, Either, select};

use super::error::InstanceError;
use super::hold::Hold;
use super::job::{Body, Job, Ticket};
use super::queue::Queue;

/// A call of an [`Instance`](crate::Instance): it is queued when it is awaited. From
/// [`Instance::call`](crate::Instance::call).
///
/// The future may be awaited on any executor. One that is dropped before it is ready takes its call back; if the guest is at
/// it, that ends the instance, whose state nobody knows then.
#[must_use = "a call does nothing until it is awaited"]
pub struct Call<T: Send + 'static, R> {
    hold: Arc<Hold<T>>,
    body: Body<T>,
    result: oneshot::Receiver<R>,
    cpu: Option<Duration>,
    wall: Option<Duration>,
}

impl<T: Send + 'static, R: Send + 'static> Call<T, R> {
    pub(super) fn new(hold: Arc<Hold<T>>, body: Body<T>, result: oneshot::Receiver<R>) -> Self {
        Self {
            hold,
            body,
            result,
            cpu: None,
            wall: None,
        }
    }

    /// The most CPU time that the call may use, to the next preemption point: a millisecond, by default. What it waits for
    /// does not count. More ends the instance. Default: what the instance's run may use.
    pub fn cpu(mut self, time: Duration) -> Self {
        self.cpu = Some(time);
        self
    }

    /// The most time on the clock, from now on. A call that still waits for its turn then fails with
    /// [`InstanceError::Expired`]; one that runs ends the instance. Default: none.
    pub fn wall(mut self, time: Duration) -> Self {
        self.wall = Some(time);
        self
    }

    /// Blocks this thread until there is a result. Not for async code; await the call there.
    ///
    /// # Errors
    ///
    /// As the future.
    pub fn wait(self) -> Result<R, InstanceError> {
        crate::base::block::on(self.into_future())
    }
}

impl<T: Send + 'static, R: Send + 'static> IntoFuture for Call<T, R> {
    type Output = Result<R, InstanceError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self {
            hold,
            body,
            result,
            cpu,
            wall,
        } = self;
        Box::pin(async move {
            let ticket = Ticket::new(wall);
            let queue = &hold.0;
            let mut caller = Caller {
                queue,
                ticket: &ticket,
                waits: true,
            };
            let job = Job {
                ticket: ticket.clone(),
                body,
                cpu,
            };
            ticket.starts(queue.clock());
            queue.submit(job).inspect_err(|_| caller.waits = false)?;
            let value = if wall.is_none() {
                result.await.ok()
            } else {
                let expires = pin!(ticket.expires());
                match select(result, expires).await {
                    Either::Left((value, _)) => value.ok(),
                    Either::Right(_) => None,
                }
            };
            caller.waits = false;
            match value {
                Some(value) => Ok(value),
                None => Err(ticket.failure().await),
            }
        })
    }
}

/// Whoever waits for a call.
struct Caller<'a, T: Send + 'static> {
    queue: &'a Queue<T>,
    ticket: &'a Ticket,
    waits: bool,
}

impl<T: Send + 'static> Drop for Caller<'_, T> {
    fn drop(&mut self) {
        self.ticket.forget(self.queue.clock());
        if self.waits {
            self.ticket.drops();
        }
    }
}

impl<T: Send + 'static, R> fmt::Debug for Call<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("cpu", &self.cpu)
            .field("wall", &self.wall)
            .finish_non_exhaustive()
    }
}
