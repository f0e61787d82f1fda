#![expect(
    missing_docs,
    unused_variables,
    clippy::todo,
    reason = "the API's skeleton, to compile against"
)]

use std::any::Any;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use wasmtime::component::{Linker, Val};
use wasmtime_wasi::WasiCtxBuilder;

use crate::*;

/// Where compiled code is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cache {
    /// Nowhere.
    Off,
    /// In `~/.cache/hart` (or `$XDG_CACHE_HOME/hart`), mode 0700.
    #[default]
    Default,
    /// In a directory of the embedder's choice.
    Directory(PathBuf),
}

/// A standard stream of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stdio {
    /// Standard input is empty; output is dropped.
    #[default]
    Null,
    /// The process's own.
    Inherit,
    /// Output is kept for [`Outcome`]. Not for standard input.
    Capture,
    /// Standard input has these bytes. Not for output.
    Bytes(Vec<u8>),
}

/// What a guest may do in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirAccess {
    ReadOnly,
    ReadWrite,
}

/// What a guest's store holds.
pub struct GuestState {}
impl GuestState {
    /// The embedder's own data (see [`HostBuilder::data`]).
    pub fn data<D: Any>(&mut self) -> Option<&mut D> {
        todo!()
    }
}

#[derive(Debug, Default)]
pub struct HostBuilder {}
impl HostBuilder {
    pub fn workers(mut self, workers: usize) -> Self {
        todo!()
    }
    pub fn preemption(mut self, preemption: Preemption) -> Self {
        todo!()
    }
    /// Defaults for every run.
    pub fn limits(mut self, limits: Limits) -> Self {
        todo!()
    }
    pub fn tokio(mut self, handle: tokio::runtime::Handle) -> Self {
        todo!()
    }
    pub fn instances(mut self, instances: u32) -> Self {
        todo!()
    }
    pub fn cache(mut self, cache: Cache) -> Self {
        todo!()
    }
    pub fn imports<F>(mut self, imports: F) -> Self
    where
        F: Fn(&mut Linker<GuestState>) -> wasmtime::Result<()> + Send + Sync + 'static,
    {
        todo!()
    }
    pub fn data<F, D>(mut self, data: F) -> Self
    where
        F: Fn() -> D + Send + Sync + 'static,
        D: Any + Send,
    {
        todo!()
    }
    pub fn build(self) -> Result<Host, BuildError> {
        todo!()
    }
}

#[derive(Clone, Debug)]
pub struct Host {}
impl Host {
    pub fn builder() -> HostBuilder {
        todo!()
    }
    pub fn load(&self, bytes: &[u8]) -> Result<Component, LoadError> {
        todo!()
    }
    pub fn load_file(&self, path: impl AsRef<Path>) -> Result<Component, LoadError> {
        todo!()
    }
    /// # Safety
    /// The bytes must come from [`Host::precompile`] (or `hart compile`), unchanged: they are native code.
    pub unsafe fn load_precompiled(&self, bytes: &[u8]) -> Result<Component, LoadError> {
        todo!()
    }
    pub fn precompile(&self, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
        todo!()
    }
    pub fn command(&self, component: &Component) -> RunBuilder {
        todo!()
    }
    pub fn invoke(&self, component: &Component, wave: &str) -> Result<RunBuilder, CallError> {
        todo!()
    }
    pub fn call(&self, component: &Component, export: &str, args: Vec<Val>) -> RunBuilder {
        todo!()
    }
    pub fn tenant(&self) -> TenantBuilder {
        todo!()
    }
    pub fn close(&self) {
        todo!()
    }
    /// Waits for runs to end for at most `grace`, then closes. The future resolves when nothing is
    /// left; `wait()` on it blocks.
    pub fn shutdown(&self, grace: Duration) -> Shutdown {
        todo!()
    }
    pub fn stats(&self) -> HostStats {
        todo!()
    }
    /// Statistics of the runs that are not over.
    pub fn runs(&self) -> Vec<RunStats> {
        todo!()
    }
    pub fn pool(&self) -> PoolStats {
        todo!()
    }
    pub fn live_guests(&self) -> u64 {
        todo!()
    }
    pub fn queued_spawns(&self) -> u64 {
        todo!()
    }
    pub fn workers(&self) -> usize {
        todo!()
    }
    pub fn preemption(&self) -> Preemption {
        todo!()
    }
    pub fn engine(&self) -> &wasmtime::Engine {
        todo!()
    }
}

#[derive(Debug)]
pub struct Shutdown {}
impl Shutdown {
    pub fn wait(self) {
        todo!()
    }
}
impl Future for Shutdown {
    type Output = ();
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        todo!()
    }
}

#[derive(Clone, Debug)]
pub struct Component {}
impl Component {
    /// Whether it can be run as a command: it exports `wasi:cli/run`.
    pub fn is_command(&self) -> bool {
        todo!()
    }
    /// Whether it can spawn tasks of itself: it exports `hart:exec/entry`.
    pub fn has_entry(&self) -> bool {
        todo!()
    }
    /// The functions it exports, by the names that [`Host::call`] takes.
    pub fn exports(&self) -> Vec<String> {
        todo!()
    }
    pub fn as_wasmtime(&self) -> &wasmtime::component::Component {
        todo!()
    }
}

#[derive(Clone, Debug)]
pub struct Tenant {}
#[derive(Debug)]
pub struct TenantBuilder {}
impl TenantBuilder {
    pub fn name(mut self, name: impl Into<String>) -> Self {
        todo!()
    }
    pub fn weight(mut self, weight: u32) -> Self {
        todo!()
    }
    pub fn limits(mut self, limits: Limits) -> Self {
        todo!()
    }
    pub fn build(self) -> Tenant {
        todo!()
    }
}

#[derive(Debug)]
pub struct RunBuilder {}
impl RunBuilder {
    pub fn name(mut self, name: impl Into<String>) -> Self {
        todo!()
    }
    /// Adds one argument; the first is the program's name.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        todo!()
    }
    pub fn args<I>(mut self, args: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        todo!()
    }
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        todo!()
    }
    pub fn inherit_env(mut self) -> Self {
        todo!()
    }
    pub fn dir(
        mut self,
        host: impl Into<PathBuf>,
        guest: impl Into<String>,
        access: DirAccess,
    ) -> Self {
        todo!()
    }
    pub fn stdin(mut self, stdin: Stdio) -> Self {
        todo!()
    }
    pub fn stdout(mut self, stdout: Stdio) -> Self {
        todo!()
    }
    pub fn stderr(mut self, stderr: Stdio) -> Self {
        todo!()
    }
    pub fn allow_network(mut self, allow: bool) -> Self {
        todo!()
    }
    pub fn limits(mut self, limits: Limits) -> Self {
        todo!()
    }
    pub fn weight(mut self, weight: u32) -> Self {
        todo!()
    }
    pub fn tenant(mut self, tenant: &Tenant) -> Self {
        todo!()
    }
    /// Called for the context of every task of the run.
    pub fn wasi<F>(mut self, wasi: F) -> Self
    where
        F: Fn(&mut WasiCtxBuilder) + Send + Sync + 'static,
    {
        todo!()
    }
    pub fn start(self) -> Result<Run, RunError> {
        todo!()
    }
}

/// A run: a future of its outcome. Dropping it detaches.
#[derive(Debug)]
pub struct Run {}
impl Run {
    /// Blocks the thread until the run is over.
    pub fn wait(self) -> Result<Outcome, RunError> {
        todo!()
    }
    pub fn cancel(&self) {
        todo!()
    }
    /// Something that cancels the run from elsewhere.
    pub fn canceller(&self) -> Canceller {
        todo!()
    }
    pub fn id(&self) -> u64 {
        todo!()
    }
    pub fn name(&self) -> String {
        todo!()
    }
    pub fn is_finished(&self) -> bool {
        todo!()
    }
    pub fn stats(&self) -> RunStats {
        todo!()
    }
}
impl Future for Run {
    type Output = Result<Outcome, RunError>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        todo!()
    }
}

#[derive(Clone, Debug)]
pub struct Canceller {}
impl Canceller {
    pub fn cancel(&self) {
        todo!()
    }
    /// Still works after the run is over.
    pub fn stats(&self) -> RunStats {
        todo!()
    }
}

#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The guest's own exit code: 0, what it passed to `exit`, or 1 where `run` returned an error.
    pub exit_code: i32,
    /// What the called export returned.
    pub results: Vec<Val>,
    /// Captured standard output.
    pub stdout: Vec<u8>,
    /// Captured standard error.
    pub stderr: Vec<u8>,
    pub stats: RunStats,
}
impl Outcome {
    /// The results in WAVE, one per line.
    pub fn to_wave(&self) -> Result<String, wasmtime::Error> {
        todo!()
    }
}
