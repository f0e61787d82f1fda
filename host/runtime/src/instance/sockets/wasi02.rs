//! Sockets of WASI 0.2.

use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, Host as _, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::tcp::{HostTcpSocket, TcpSocket};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as _;
use wasmtime_wasi::p2::bindings::sockets::udp::{HostUdpSocket, UdpSocket};
use wasmtime_wasi::p2::bindings::sockets::udp_create_socket::Host as _;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, SocketResult};
use wasmtime_wasi::sockets::WasiSocketsView;

use super::drops::socket;
use super::names;
use crate::instance::store::GuestState;

type Made<T> = wasmtime::Result<(Result<T, ErrorCode>,)>;
type Streams = (Resource<DynInputStream>, Resource<DynOutputStream>);
type Accepted = (
    Resource<TcpSocket>,
    Resource<DynInputStream>,
    Resource<DynOutputStream>,
);

/// Replaces what makes sockets and streams, and what looks up names. The linker must allow shadowing.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<GuestState<T>>,
) -> wasmtime::Result<()> {
    linker
        .instance("wasi:sockets/tcp-create-socket@0.2.12")?
        .func_wrap(
            "create-tcp-socket",
            |mut store, (family,): (IpAddressFamily,)| -> Made<Resource<TcpSocket>> {
                let state = store.data_mut();
                counted(
                    state,
                    |state| state.sockets().create_tcp_socket(family),
                    |made| made,
                )
            },
        )?;
    linker
        .instance("wasi:sockets/udp-create-socket@0.2.12")?
        .func_wrap_async(
            "create-udp-socket",
            |mut store, (family,): (IpAddressFamily,)| {
                Box::new(async move {
                    let state = store.data_mut();
                    let Ok(held) = state.new_file() else {
                        return Ok((Err(ErrorCode::NewSocketLimit),));
                    };
                    let created = state.sockets().create_udp_socket(family).await;
                    if let Ok(socket) = &created {
                        state.files.keep(socket.rep(), held);
                    }
                    returned(state, created)
                })
            },
        )?;
    let mut udp = linker.instance("wasi:sockets/udp@0.2.12")?;
    socket::<_, UdpSocket>(&mut udp, "udp-socket", |sockets, socket| {
        HostUdpSocket::drop(sockets, socket)
    })?;
    let mut tcp = linker.instance("wasi:sockets/tcp@0.2.12")?;
    socket::<_, TcpSocket>(&mut tcp, "tcp-socket", |sockets, socket| {
        HostTcpSocket::drop(sockets, socket)
    })?;
    tcp.func_wrap_async(
        "[method]tcp-socket.start-listen",
        |mut store, (socket,): (Resource<TcpSocket>,)| {
            Box::new(async move {
                let state = store.data_mut();
                let handle = socket.rep();
                // For the connection that is accepted when the guest waits for one.
                let Ok(ahead) = state.new_file() else {
                    return Ok((Err(ErrorCode::NewSocketLimit),));
                };
                let listens = state.sockets().start_listen(socket).await;
                if listens.is_ok() {
                    state.files.keep_ahead(handle, ahead);
                }
                returned(state, listens)
            })
        },
    )?;
    tcp.func_wrap(
        "[method]tcp-socket.finish-connect",
        |mut store, (socket,): (Resource<TcpSocket>,)| -> Made<Streams> {
            let state = store.data_mut();
            let connected = state.sockets().finish_connect(socket);
            if let Ok((input, output)) = &connected {
                state.count_input(input, |stream| stream)?;
                state.count_output(output, |stream| stream)?;
            }
            returned(state, connected)
        },
    )?;
    tcp.func_wrap(
        "[method]tcp-socket.accept",
        |mut store, (socket,): (Resource<TcpSocket>,)| -> Made<Accepted> {
            let state = store.data_mut();
            let accepted = counted(
                state,
                |state| state.sockets().accept(socket),
                |(socket, ..)| socket,
            )?;
            if let (Ok((_, input, output)),) = &accepted {
                state.count_input(input, |stream| stream)?;
                state.count_output(output, |stream| stream)?;
            }
            Ok(accepted)
        },
    )?;
    names::add_to_linker(linker)
}

/// Counts the socket that `make` makes.
fn counted<T: Send + 'static, R, S: 'static>(
    state: &mut GuestState<T>,
    make: impl FnOnce(&mut GuestState<T>) -> SocketResult<R>,
    socket: impl FnOnce(&R) -> &Resource<S>,
) -> Made<R> {
    let Ok(held) = state.new_file() else {
        return Ok((Err(ErrorCode::NewSocketLimit),));
    };
    let made = make(state);
    if let Ok(made) = &made {
        state.files.keep(socket(made).rep(), held);
    }
    returned(state, made)
}

/// What the guest is given.
pub(super) fn returned<T: Send + 'static, R>(
    state: &mut GuestState<T>,
    result: SocketResult<R>,
) -> Made<R> {
    Ok((match result {
        Ok(made) => Ok(made),
        Err(error) => Err(state.sockets().convert_error_code(error)?),
    },))
}
