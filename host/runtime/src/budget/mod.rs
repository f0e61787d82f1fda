//! Budgets of CPU time for embedders who stay on tokio: no host, no workers of hart's.
//!
//! A timeout ends a guest that waits for others as soon as one that spins, and a spinner holds up everything on its thread
//! until then. A [`Budget`] counts the CPU time that the guest itself has used, ends it when that is used up, and has it yield
//! to tokio meanwhile.
//!
//! ```
//! use hart_host::budget::{Budget, Exceeded};
//! use hart_host::wasmtime::{Config, Engine, Store, component::{Component, Linker}};
//! use std::time::Duration;
//!
//! let mut config = Config::new();
//! config.epoch_interruption(true);
//! let engine = Engine::new(&config)?;
//! let component = Component::new(&engine, br#"(component
//!     (core module $m (func (export "spin") (loop (br 0))))
//!     (core instance $i (instantiate $m))
//!     (func (export "spin") (canon lift (core func $i "spin"))))"#)?;
//! let linker = Linker::<()>::new(&engine);
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
//! # runtime.block_on(async {
//! let mut store = Store::new(&engine, ());
//! let instance = linker.instantiate_async(&mut store, &component).await?;
//! let spin = instance.get_typed_func::<(), ()>(&mut store, "spin")?;
//!
//! let budget = Budget::new(&engine).cpu(Duration::from_millis(50)).wall(Duration::from_secs(60));
//! budget.arm(&mut store);
//! let ended = budget.guard(spin.call_async(&mut store, ())).await;
//!
//! assert!(matches!(ended.unwrap_err().downcast_ref(), Some(Exceeded::Cpu(_))));
//! # hart_host::wasmtime::Result::<()>::Ok(())
//! # })?;
//! # hart_host::wasmtime::Result::<()>::Ok(())
//! ```
//!
//! # How
//!
//! One thread of the process increments the epochs of all engines that have a budget, each millisecond while a guarded guest
//! is polled, and sleeps otherwise. At each such tick a guest looks at what it has used, by the CPU clock of its thread: what
//! other tasks, other threads and other processes use meanwhile is not its own, and neither is what it waits for. Then it
//! yields, with tokio's `yield_now`, if its slice is over.

mod meter;
mod ticker;

pub use meter::{Budget, Exceeded};
