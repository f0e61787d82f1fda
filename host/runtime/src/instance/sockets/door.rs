//! Connections that a listener of WASI 0.3 accepts, counted before they are.
//!
//! wasmtime-wasi accepts them in a stream of its own, which goes on as it is read. That stream is read by a [`Porter`], and
//! the guest is given another one, the [`Queue`]. The porter takes a connection only where the guest reads and has room for
//! one more descriptor: the others stay where they are, in the system's own queue.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use wasmtime::StoreContextMut;
use wasmtime::component::{
    Destination, Resource, Source, StreamConsumer, StreamProducer, StreamReader, StreamResult,
};
use wasmtime_wasi::p3::bindings::sockets::types::TcpSocket;

use crate::base::sync::lock;
use crate::instance::store::GuestState;
use crate::quota::account::HostFiles;
use crate::quota::account::files::HeldFile;

type State<'a, T> = StoreContextMut<'a, GuestState<T>>;
type Connection = Resource<TcpSocket>;

/// Between the two streams. Both are polled by the store that they are in.
#[derive(Default)]
struct Door {
    /// The guest reads.
    open: bool,
    connection: Option<Connection>,
    /// The guest's stream is gone.
    shut: bool,
    /// The listener is gone.
    ended: bool,
    porter: Option<Waker>,
    guest: Option<Waker>,
}

/// The listener, and the connection that it accepts ahead.
pub(super) type Held = (Option<Arc<HeldFile>>, Arc<HeldFile>);

/// The stream for the guest of what comes from `accepted`.
pub(super) fn counted<T: Send + 'static>(
    store: &mut State<'_, T>,
    accepted: StreamReader<Connection>,
    held: Held,
) -> wasmtime::Result<StreamReader<Connection>> {
    let door = Arc::new(Mutex::new(Door::default()));
    accepted.pipe(
        &mut *store,
        Porter {
            door: door.clone(),
            _held: held,
        },
    )?;
    StreamReader::new(
        store,
        Queue {
            door,
            held: None,
            key: None,
            freed: None,
        },
    )
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

// === impl Porter ===

struct Porter {
    door: Arc<Mutex<Door>>,
    _held: Held,
}

impl<T: Send + 'static> StreamConsumer<GuestState<T>> for Porter {
    type Item = Connection;

    fn poll_consume(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: State<'_, T>,
        mut source: Source<'_, Connection>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut door = lock(&self.door);
        if door.shut {
            if let Some(connection) = door.connection.take() {
                store.data_mut().table().delete(connection)?;
            }
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        if !door.open || door.connection.is_some() {
            door.porter = Some(cx.waker().clone());
            return match finish {
                true => Poll::Ready(Ok(StreamResult::Cancelled)),
                false => Poll::Pending,
            };
        }
        source.read(&mut store, &mut door.connection)?;
        if door.connection.is_some() {
            door.open = false;
            let guest = door.guest.take();
            drop(door);
            wake(guest);
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

impl Drop for Porter {
    fn drop(&mut self) {
        let mut door = lock(&self.door);
        door.ended = true;
        let guest = door.guest.take();
        drop(door);
        wake(guest);
    }
}

// === impl Queue ===

struct Queue {
    door: Arc<Mutex<Door>>,
    /// For the next connection.
    held: Option<Arc<HeldFile>>,
    /// Where it waits for a descriptor.
    key: Option<u64>,
    freed: Option<Arc<HostFiles>>,
}

impl<T: Send + 'static> StreamProducer<GuestState<T>> for Queue {
    type Item = Connection;
    type Buffer = Option<Connection>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: State<'a, T>,
        mut destination: Destination<'a, Connection, Option<Connection>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(&mut store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let this = &mut *self;
        let state = store.data_mut();
        if this.held.is_none() && !this.finds_room(state, cx) {
            return match finish {
                true => Poll::Ready(Ok(StreamResult::Cancelled)),
                false => Poll::Pending,
            };
        }
        let mut door = lock(&this.door);
        if let Some(connection) = door.connection.take() {
            if let Some(held) = this.held.take() {
                state.files.keep(connection.rep(), held);
            }
            destination.set_buffer(Some(connection));
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        if door.ended {
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        door.open = !finish;
        if finish {
            return Poll::Ready(Ok(StreamResult::Cancelled));
        }
        door.guest = Some(cx.waker().clone());
        let porter = door.porter.take();
        drop(door);
        wake(porter);
        Poll::Pending
    }
}

impl Queue {
    /// Counts the next connection; `false` where there is no room, and it will be polled when there may be.
    fn finds_room<T>(&mut self, state: &GuestState<T>, cx: &mut Context<'_>) -> bool {
        let files = &state.guest().run.runtime.files;
        for registered in [false, true] {
            if let Ok(held) = state.new_file() {
                self.held = Some(held);
                files.freed().remove(self.key.take());
                return true;
            }
            if !registered {
                files.freed().register(&mut self.key, cx.waker());
                self.freed = Some(files.clone());
            }
        }
        false
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if let Some(files) = &self.freed {
            files.freed().remove(self.key.take());
        }
        let mut door = lock(&self.door);
        door.shut = true;
        let porter = door.porter.take();
        drop(door);
        wake(porter);
    }
}
