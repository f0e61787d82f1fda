//! Hosts without data of the embedder's own, compiled in this crate: at low optimization rustc has crates that use them take
//! their functions from here. Each type of data takes minutes, for the bindings of WASI above all, and most are `()`.
//!
//! Not where that would be for nobody: optimized crates share no functions, and the simulated machine has data of its own.
#![cfg(all(debug_assertions, not(test), not(feature = "planted-faults")))]

use crate::base::error::BuildError;
use crate::engine::error::LoadError;
use crate::host::builder::HostBuilder;
use crate::host::handle::Host;
use crate::host::run::builder::RunBuilder;
use crate::host::run::handle::Run;
use crate::instance::error::RunError;
use crate::instance::store::Component;

#[used]
static BUILD: fn(HostBuilder) -> Result<Host, BuildError> = HostBuilder::build;
#[used]
static LOAD: fn(&Host, &[u8]) -> Result<Component, LoadError> = Host::load;
#[used]
static START: fn(RunBuilder) -> Result<Run, RunError> = RunBuilder::start;
