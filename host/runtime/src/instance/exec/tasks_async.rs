//! `hart:exec/tasks-async`: the same tasks for guests that wait with component-model async.
//!
//! A join is a host task of the guest's event loop: a future beside the store's fibers, which refers to the
//! task and to the waiter and holds nothing of the store. Dropping it, when the guest cancels the join or with
//! the store, takes its waker out again.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::channel::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Access, Accessor, Destination, FutureReader, HasSelf, Resource, StreamProducer, StreamReader,
    StreamResult, VecBuffer,
};

use crate::instance::exec::bindings::{JoinError, tasks_async};
use crate::instance::exec::join_error::{join, take};
use crate::instance::exec::resources::TaskHandle;
use crate::instance::guest::Guest;
use crate::instance::store::GuestState;

impl<T: Send + 'static> tasks_async::Host for GuestState<T> {}

/// The task's handle, and the guest that asks.
fn both<T: 'static>(
    state: &mut GuestState<T>,
    task: &Resource<TaskHandle>,
) -> wasmtime::Result<(TaskHandle, Arc<Guest>)> {
    let waiter = state.guest().clone();
    Ok((state.table().get(task)?.clone(), waiter))
}

impl<S: 'static, T: Send + 'static> tasks_async::HostWithStore<S> for HasSelf<GuestState<T>> {
    async fn join(
        store: &Accessor<S, Self>,
        task: Resource<TaskHandle>,
    ) -> wasmtime::Result<Result<Vec<u8>, JoinError>> {
        let (handle, waiter) = store.with(|mut access| both(access.get(), &task))?;
        Ok(join(&handle, &waiter).await)
    }

    fn join_via_stream(
        mut store: Access<'_, S, Self>,
        task: Resource<TaskHandle>,
    ) -> wasmtime::Result<(StreamReader<u8>, FutureReader<Result<(), JoinError>>)> {
        let (handle, waiter) = both(store.get(), &task)?;
        let (sender, receiver) = oneshot::channel();
        let stream = StreamReader::new(&mut store, ResultStream::new(handle, waiter, sender))?;
        let end = FutureReader::new(&mut store, async {
            // The stream was dropped before its end.
            let ended = receiver.await.unwrap_or(Ok(()));
            wasmtime::error::Ok(ended)
        })?;
        Ok((stream, end))
    }
}

/// Gives a task's result to whoever reads, once there is one.
struct ResultStream {
    handle: TaskHandle,
    state: State,
    ended: Option<oneshot::Sender<Result<(), JoinError>>>,
}

enum State {
    /// Waits for the task.
    Waiting(Pin<Box<dyn Future<Output = ()> + Send>>),
    Sending(Held),
    Over,
}

/// A result, or what of it was not read yet. It counts as memory until then.
struct Held {
    guest: Arc<Guest>,
    bytes: Vec<u8>,
    sent: usize,
}

impl Held {
    fn new(guest: &Arc<Guest>, bytes: Vec<u8>) -> Result<Self, JoinError> {
        let limit = guest.run.account.hold(bytes.len() as u64);
        limit.map_err(|_| JoinError::OutOfMemory)?;
        Ok(Self {
            guest: guest.clone(),
            bytes,
            sent: 0,
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.guest.run.account.release(self.bytes.len() as u64);
    }
}

impl ResultStream {
    fn new(
        handle: TaskHandle,
        waiter: Arc<Guest>,
        ended: oneshot::Sender<Result<(), JoinError>>,
    ) -> Self {
        let guest = handle.guest().clone();
        Self {
            handle,
            state: State::Waiting(Box::pin(async move { guest.wait(&waiter).await })),
            ended: Some(ended),
        }
    }

    fn end(&mut self, result: Result<(), JoinError>) -> StreamResult {
        self.state = State::Over;
        if let Some(ended) = self.ended.take() {
            // Nobody may be interested.
            let _ = ended.send(result);
        }
        StreamResult::Dropped
    }
}

impl<D: 'static> StreamProducer<D> for ResultStream {
    type Item = u8;
    type Buffer = VecBuffer<u8>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        destination: Destination<'a, u8, VecBuffer<u8>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        /// What is given at once to a reader that does not say how much it takes.
        const PART: usize = 64 << 10;

        let this = self.get_mut();
        if let State::Waiting(wait) = &mut this.state {
            match wait.as_mut().poll(cx) {
                Poll::Ready(()) => {}
                Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                Poll::Pending => return Poll::Pending,
            }
            let guest = this.handle.guest();
            match take(&this.handle).and_then(|bytes| Held::new(guest, bytes)) {
                Ok(held) => this.state = State::Sending(held),
                Err(error) => return Poll::Ready(Ok(this.end(Err(error)))),
            }
        }
        let State::Sending(held) = &mut this.state else {
            return Poll::Ready(Ok(StreamResult::Dropped));
        };
        if destination.remaining(&mut store) != Some(0) {
            let mut direct = destination.as_direct(store, PART);
            let part = &held.bytes[held.sent..];
            let room = direct.remaining();
            let count = room.len().min(part.len());
            room[..count].copy_from_slice(&part[..count]);
            direct.mark_written(count);
            held.sent += count;
        }
        Poll::Ready(Ok(if held.sent == held.bytes.len() {
            this.end(Ok(()))
        } else {
            StreamResult::Completed
        }))
    }
}
