//! Name look-ups of WASI 0.2.
//!
//! wasmtime-wasi begins one when the guest asks for it. Here it waits for a thread first, which the guest sees as a look-up
//! that takes longer, and one whose guest is gone meanwhile never begins. So the resource is our own.

use std::task::{Context, Poll, Waker};
use std::vec::IntoIter;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use wasmtime::component::{Linker, Resource, ResourceTable, ResourceType};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::sockets::instance_network::Host as _;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{
    Host as _, HostResolveAddressStream as _,
};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, Host as _, IpAddress, Network};
use wasmtime_wasi::p2::{DynPollable, Pollable, SocketError, subscribe};
use wasmtime_wasi::sockets::{WasiSocketsCtx, WasiSocketsCtxView, WasiSocketsView};

use crate::instance::store::GuestState;
use crate::instance::streams::Buffer;
use crate::sched::io_threads::Lend;

/// A look-up: the stream of addresses that it comes to.
enum LookUp {
    Goes(BoxFuture<'static, Result<Vec<IpAddress>, ErrorCode>>),
    Came(Result<IntoIter<IpAddress>, ErrorCode>),
}

impl LookUp {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<&mut Result<IntoIter<IpAddress>, ErrorCode>> {
        if let Self::Goes(goes) = self {
            let came = std::task::ready!(goes.poll_unpin(cx));
            *self = Self::Came(came.map(Vec::into_iter));
        }
        match self {
            Self::Came(came) => Poll::Ready(came),
            Self::Goes(_) => Poll::Pending,
        }
    }

    /// A look that wakes nobody.
    fn look(&mut self) -> Poll<&mut Result<IntoIter<IpAddress>, ErrorCode>> {
        self.poll(&mut Context::from_waker(Waker::noop()))
    }
}

#[async_trait]
impl Pollable for LookUp {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll(cx).map(drop)).await;
    }
}

pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<GuestState<T>>,
) -> wasmtime::Result<()> {
    let mut names = linker.instance("wasi:sockets/ip-name-lookup@0.2.12")?;
    names.resource(
        "resolve-address-stream",
        ResourceType::host::<LookUp>(),
        |mut store, handle| {
            let look_up = Resource::<LookUp>::new_own(handle);
            store.data_mut().table().delete(look_up)?;
            Ok(())
        },
    )?;
    names.func_wrap(
        "resolve-addresses",
        |mut store, (network, name): (Resource<Network>, String)| {
            let state = store.data_mut();
            let sockets = state.sockets();
            // It is the right to do this.
            sockets.table.get(&network)?;
            let sockets = sockets.ctx.clone();
            // Until a thread has it, which may be never.
            let held = state.held(name.len())?;
            let run = &state.guest().run;
            let lend = run.io.names.lend(run.id, &run.account);
            let looks = look_up(lend, sockets, name, held);
            let mut look_up = LookUp::Goes(looks.boxed());
            // What needs no look is answered at once.
            if let Poll::Ready(Err(error)) = look_up.look() {
                return Ok((Err(*error),));
            }
            Ok((Ok(state.table().push(look_up)?),))
        },
    )?;
    names.func_wrap(
        "[method]resolve-address-stream.resolve-next-address",
        |mut store, (look_up,): (Resource<LookUp>,)| {
            let next = match store.data_mut().table().get_mut(&look_up)?.look() {
                Poll::Pending => Err(ErrorCode::WouldBlock),
                Poll::Ready(Ok(addresses)) => Ok(addresses.next()),
                Poll::Ready(Err(error)) => Err(*error),
            };
            Ok((next,))
        },
    )?;
    names.func_wrap(
        "[method]resolve-address-stream.subscribe",
        |mut store,
         (look_up,): (Resource<LookUp>,)|
         -> wasmtime::Result<(Resource<DynPollable>,)> {
            Ok((subscribe(store.data_mut().table(), look_up)?,))
        },
    )
}

async fn look_up(
    lend: Lend,
    mut sockets: WasiSocketsCtx,
    name: String,
    _held: Buffer,
) -> Result<Vec<IpAddress>, ErrorCode> {
    let loan = lend.await;
    let looks = async {
        let mut table = ResourceTable::new();
        let mut sockets = WasiSocketsCtxView {
            ctx: &mut sockets,
            table: &mut table,
        };
        match addresses(&mut sockets, name).await {
            Ok(addresses) => Ok(addresses),
            Err(error) => Err(sockets
                .convert_error_code(error)
                .unwrap_or(ErrorCode::Unknown)),
        }
    };
    loan.within(looks).await
}

/// What wasmtime-wasi's own look-up comes to.
async fn addresses(
    sockets: &mut WasiSocketsCtxView<'_>,
    name: String,
) -> Result<Vec<IpAddress>, SocketError> {
    let network = sockets.instance_network().map_err(SocketError::trap)?;
    let stream = sockets.resolve_addresses(network, name)?;
    sockets.table.get_mut(&stream)?.ready().await;
    let mut addresses = Vec::new();
    while let Some(address) = sockets.resolve_next_address(Resource::new_borrow(stream.rep()))? {
        addresses.push(address);
    }
    Ok(addresses)
}
