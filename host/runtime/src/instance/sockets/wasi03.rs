//! Sockets of WASI 0.3.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::channel::oneshot;
use wasmtime::component::{
    Access, FutureConsumer, FutureReader, Linker, Resource, Source, StreamReader,
};
use wasmtime::{AsContextMut as _, StoreContextMut};
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup::HostWithStore as Names;
use wasmtime_wasi::p3::bindings::sockets::types::{
    ErrorCode, Host as _, HostTcpSocket, HostTcpSocketWithStore as Tcp, HostUdpSocket,
    IpAddressFamily, TcpSocket, UdpSocket,
};
use wasmtime_wasi::p3::sockets::SocketResult;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};

use super::door;
use super::drops::socket;
use crate::instance::store::GuestState;
use crate::quota::account::files::HeldFile;

type Made<T> = wasmtime::Result<(Result<T, ErrorCode>,)>;
type Ends = FutureReader<Result<(), ErrorCode>>;
type State<'a, T> = StoreContextMut<'a, GuestState<T>>;

/// Replaces what makes sockets and streams, and what looks up names. The linker must allow shadowing.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<GuestState<T>>,
) -> wasmtime::Result<()> {
    linker
        .instance("wasi:sockets/ip-name-lookup@0.3.0")?
        .func_wrap_concurrent("resolve-addresses", |store, (name,): (String,)| {
            Box::pin(async move {
                let (held, lend) = store.with(|mut store| {
                    let state = store.data_mut();
                    let run = &state.guest().run;
                    let lend = run.io.names.lend(run.id, &run.account);
                    (state.held(name.len()), lend)
                });
                // While it waits for a thread: the guest goes on, and may look up very many.
                let _held = held?;
                let sockets = store.with_getter::<WasiSockets>(WasiSocketsView::sockets);
                let looked =
                    <WasiSockets as Names<GuestState<T>>>::resolve_addresses(&sockets, name);
                Ok((lend.await.within(looked).await?,))
            })
        })?;
    let mut types = linker.instance("wasi:sockets/types@0.3.0")?;
    socket::<_, TcpSocket>(&mut types, "tcp-socket", |sockets, socket| {
        HostTcpSocket::drop(sockets, socket)
    })?;
    socket::<_, UdpSocket>(&mut types, "udp-socket", |sockets, socket| {
        HostUdpSocket::drop(sockets, socket)
    })?;
    types.func_wrap(
        "[static]tcp-socket.create",
        |mut store, (family,): (IpAddressFamily,)| -> Made<Resource<TcpSocket>> {
            let state = store.data_mut();
            let Ok(held) = state.new_file() else {
                return Ok((Err(ErrorCode::OutOfMemory),));
            };
            let created = HostTcpSocket::create(&mut state.sockets(), family);
            if let Ok(socket) = &created {
                state.files.keep(socket.rep(), held);
            }
            returned(state, created)
        },
    )?;
    types.func_wrap_async(
        "[static]udp-socket.create",
        |mut store, (family,): (IpAddressFamily,)| {
            Box::new(async move {
                let state = store.data_mut();
                let Ok(held) = state.new_file() else {
                    return Ok((Err(ErrorCode::OutOfMemory),));
                };
                let created = HostUdpSocket::create(&mut state.sockets(), family).await;
                if let Ok(socket) = &created {
                    state.files.keep(socket.rep(), held);
                }
                returned(state, created)
            })
        },
    )?;
    types.func_wrap_async(
        "[method]tcp-socket.listen",
        |store, (socket,): (Resource<TcpSocket>,)| Box::new(listen(store, socket)),
    )?;
    types.func_wrap(
        "[method]tcp-socket.send",
        |mut store, (socket, data): (Resource<TcpSocket>, StreamReader<u8>)| {
            let held = store.data_mut().files.of(socket.rep());
            let ends = <WasiSockets as Tcp<GuestState<T>>>::send(access(&mut store), socket, data)?;
            Ok((watched(store, ends, held)?,))
        },
    )?;
    types.func_wrap(
        "[method]tcp-socket.receive",
        |mut store, (socket,): (Resource<TcpSocket>,)| {
            let held = store.data_mut().files.of(socket.rep());
            let (data, ends) =
                <WasiSockets as Tcp<GuestState<T>>>::receive(access(&mut store), socket)?;
            Ok(((data, watched(store, ends, held)?),))
        },
    )
}

fn access<'a, T: Send + 'static>(
    store: &'a mut State<'_, T>,
) -> Access<'a, GuestState<T>, WasiSockets> {
    Access::new(store.as_context_mut(), |state| state.sockets())
}

/// What the guest is given.
fn returned<T: Send + 'static, R>(state: &mut GuestState<T>, result: SocketResult<R>) -> Made<R> {
    Ok((match result {
        Ok(made) => Ok(made),
        Err(error) => Err(state.sockets().convert_error_code(error)?),
    },))
}

async fn listen<T: Send + 'static>(
    mut store: State<'_, T>,
    socket: Resource<TcpSocket>,
) -> Made<StreamReader<Resource<TcpSocket>>> {
    let state = store.data_mut();
    let handle = socket.rep();
    let Ok(ahead) = state.new_file() else {
        return Ok((Err(ErrorCode::OutOfMemory),));
    };
    let listens = <WasiSockets as Tcp<GuestState<T>>>::listen(access(&mut store), socket).await;
    let accepted = match listens {
        Ok(accepted) => accepted,
        Err(error) => return returned(store.data_mut(), Err(error)),
    };
    let held = store.data_mut().files.of(handle);
    let counted = door::counted(&mut store, accepted, (held, ahead))?;
    Ok((Ok(counted),))
}

/// The future that says how a stream of a socket ends: as long as it does not, the socket is held.
fn watched<T: Send + 'static>(
    mut store: State<'_, T>,
    ends: Ends,
    held: Option<Arc<HeldFile>>,
) -> wasmtime::Result<Ends> {
    let (sender, receiver) = oneshot::channel();
    let watch = Watch {
        guest: Some(sender),
        held,
    };
    ends.pipe(&mut store, watch)?;
    FutureReader::new(&mut store, receiver)
}

/// Passes on how a stream ended.
struct Watch {
    guest: Option<oneshot::Sender<Result<(), ErrorCode>>>,
    held: Option<Arc<HeldFile>>,
}

impl<T: Send + 'static> FutureConsumer<GuestState<T>> for Watch {
    type Item = Result<(), ErrorCode>;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        store: State<'_, T>,
        mut source: Source<'_, Self::Item>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut ended = None;
        source.read(store, &mut ended)?;
        self.held = None;
        if let (Some(ended), Some(guest)) = (ended, self.guest.take()) {
            // It may not want to know.
            let _ = guest.send(ended);
        }
        Poll::Ready(Ok(()))
    }
}
