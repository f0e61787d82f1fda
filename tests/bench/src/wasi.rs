//! What a peer's store has for a guest of WASI 0.2.

use hart_host::{
    wasmtime::component::ResourceTable,
    wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView},
};

pub(crate) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl State {
    pub(crate) fn new(wasi: WasiCtx) -> Self {
        Self {
            wasi,
            table: ResourceTable::new(),
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}
