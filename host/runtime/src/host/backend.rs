//! An engine with what belongs to it: its [pool](crate::engine::config::Pool), the queue in front of that, and a linker.
//!
//! A host has up to two. Components that use component-model async need an engine whose calls go through an
//! event loop, which costs every call about as much again; all others run on an engine without. The second
//! one is made when the first component that needs it is loaded.
//!
//! Each has slots and an admission of its own, and all tasks of a run are of one component: the argument why
//! admission never deadlocks is about one pool, and holds for each.

use std::any::TypeId;
use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi_config::WasiConfig;

use crate::base::error::BuildError;
use crate::base::setting::Setting;
use crate::base::stats::PoolStats;
use crate::engine::config::{Pool, Wanted};
use crate::engine::slots::Kind;
use crate::instance::admission::Admission;
use crate::instance::exec;
use crate::instance::exec::bindings::{tasks, tasks_async, tasks_poll};
use crate::instance::guest::Guest;
use crate::instance::store::GuestState;
use crate::instance::{clocks, files, http, keyvalue, sockets};
use crate::quota::memory_pressure::Pressure;
use crate::sched::core::Core;
use crate::sched::preemption::Preemption;

/// A hook that adds imports of the embedder's own.
pub(crate) type Imports<T> =
    Box<dyn Fn(&mut Linker<GuestState<T>>) -> wasmtime::Result<()> + Send + Sync>;

/// From which a host's engines are made.
pub(crate) struct Blueprint<T: 'static> {
    pub(crate) wanted: Wanted,
    pub(crate) imports: Vec<Imports<T>>,
    /// The same, for components that use component-model async.
    pub(crate) async_imports: Vec<Imports<T>>,
    /// Which of the embedder's capabilities are among the imports.
    pub(crate) capabilities: Vec<TypeId>,
}

/// An engine with its pool and its linker, and a queue.
pub(crate) struct Backend<T: 'static> {
    pub(crate) pool: Pool,
    pub(crate) linker: Linker<GuestState<T>>,
    pub(crate) admission: Arc<Admission<Guest>>,
}

/// An engine and a linker that belong to no runtime yet.
pub(crate) struct Parts<T: 'static> {
    pool: Pool,
    linker: Linker<GuestState<T>>,
}

// === impl Blueprint ===

impl<T: Send + 'static> Blueprint<T> {
    pub(crate) fn parts(&self, kind: Kind) -> Result<Parts<T>, BuildError> {
        let pool = Pool::new(&self.wanted, kind)?;
        let linker = self
            .linker(&pool.engine, kind)
            .map_err(BuildError::Imports)?;
        Ok(Parts { pool, linker })
    }

    fn linker(&self, engine: &Engine, kind: Kind) -> wasmtime::Result<Linker<GuestState<T>>> {
        let mut linker = Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        linker.allow_shadowing(true);
        clocks::add_to_linker(&mut linker)?;
        files::add_to_linker(&mut linker)?;
        sockets::add_to_linker(&mut linker)?;
        linker.allow_shadowing(false);
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        linker.allow_shadowing(true);
        http::add_to_linker(&mut linker)?;
        linker.allow_shadowing(false);
        wasmtime_wasi_config::add_to_linker(&mut linker, |state: &mut GuestState<T>| {
            WasiConfig::new(state.config())
        })?;
        keyvalue::add_to_linker(&mut linker)?;
        tasks::add_to_linker::<_, HasSelf<GuestState<T>>>(&mut linker, |state| state)?;
        linker.allow_shadowing(true);
        exec::tasks::add_to_linker(&mut linker)?;
        linker.allow_shadowing(false);
        tasks_poll::add_to_linker::<_, HasSelf<GuestState<T>>>(&mut linker, |state| state)?;
        if kind == Kind::Concurrent {
            wasmtime_wasi::p3::add_to_linker(&mut linker)?;
            linker.allow_shadowing(true);
            clocks::add_to_linker_async(&mut linker)?;
            files::add_to_linker_async(&mut linker)?;
            sockets::add_to_linker_async(&mut linker)?;
            linker.allow_shadowing(false);
            wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
            linker.allow_shadowing(true);
            http::add_to_linker_async(&mut linker)?;
            linker.allow_shadowing(false);
            tasks_async::add_to_linker::<_, HasSelf<GuestState<T>>>(&mut linker, |state| state)?;
        }
        // The embedder's own replace hart's.
        linker.allow_shadowing(true);
        for import in &self.imports {
            import(&mut linker)?;
        }
        if kind == Kind::Concurrent {
            for import in &self.async_imports {
                import(&mut linker)?;
            }
        }
        Ok(linker)
    }
}

// === impl Backend ===

impl<T: 'static> Backend<T> {
    /// Puts `parts` on a runtime, whose clock interrupts the engine's guests from now on.
    pub(crate) fn new(
        parts: Parts<T>,
        runtime: &Arc<Core>,
        preemption: Preemption,
        pressure: &Arc<Pressure>,
    ) -> Result<Self, BuildError> {
        let Parts { pool, linker } = parts;
        runtime.attach(&pool.engine, preemption)?;
        Ok(Self {
            admission: Admission::new(pool.slots, runtime.clone(), pressure.clone()),
            pool,
            linker,
        })
    }

    /// Adds what its pool holds.
    pub(crate) fn count(&self, stats: &mut PoolStats) {
        stats.instances += self.admission.slots();
        stats.in_use += self.admission.in_use();
        self.pool.count(stats);
    }
}

/// What the settings of a host say about its engines.
pub(crate) fn settings(
    plain: &Pool,
    concurrent: Option<&Pool>,
    pressure: &Pressure,
) -> Vec<Setting> {
    let mut settings = plain.settings.clone();
    settings.push(pressure.setting());
    let Some(concurrent) = concurrent else {
        settings.push(Setting::new(
            "component-model-async",
            "off",
            "no component that was loaded uses it, and calls are twice as fast without",
        ));
        return settings;
    };
    settings.push(Setting::new(
        "component-model-async",
        "on",
        "for the components that use it, on an engine and in a pool of their own; calls of all others are twice as fast without",
    ));
    let renamed = [
        ("instances", "async-instances"),
        ("memory-reservation", "async-memory-reservation"),
    ];
    for (name, renamed) in renamed {
        let found = concurrent.settings.iter().find(|other| other.name == name);
        settings.extend(found.map(|found| Setting {
            name: renamed,
            ..found.clone()
        }));
    }
    settings
}
