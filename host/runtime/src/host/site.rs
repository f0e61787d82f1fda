//! An engine with what belongs to it: its [pool](super::pools), the queue in front of that, and a linker.
//!
//! A host has up to two. Components that use component-model async need an engine whose calls go through an
//! event loop, which costs every call about as much again; all others run on an engine without. The second
//! one is made when the first component that needs it is loaded.
//!
//! Each has places and an admission of its own, and all tasks of a run are of one component: the argument why
//! admission never deadlocks is about one pool, and holds for each.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

use super::admission::{Admission, More};
use super::bindings::{tasks, tasks_async, tasks_poll};
use super::dense::Dense;
use super::engine::{self, Kind, Wanted};
use super::files;
use super::outcome::Ended;
use super::pool::Bounds;
use super::pools::{self, Pool, Pools, Recipe, Which};
use super::pressure::Pressure;
use super::room::Promise;
use super::settings::Setting;
use super::state::GuestState;
use crate::runtime::Inner;
use crate::{BuildError, PoolStats, Preemption, text};

/// A hook that adds imports of the embedder's own.
pub(super) type Imports =
    Box<dyn Fn(&mut Linker<GuestState>) -> wasmtime::Result<()> + Send + Sync>;

/// From which a host's engines are made.
pub(super) struct Blueprint {
    pub(super) wanted: Wanted,
    pub(super) imports: Vec<Imports>,
    /// The same, for components that use component-model async.
    pub(super) async_imports: Vec<Imports>,
}

/// Pools with their engines and linkers, and a queue.
pub(super) struct Site {
    pub(super) kind: Kind,
    pub(super) pools: Pools,
    pub(super) admission: Arc<Admission>,
    /// How large what is loaded may be.
    pub(super) bounds: Bounds,
    /// Where memories and stacks are, in the dense profile.
    dense: Option<Dense>,
    pub(super) settings: Vec<Setting>,
    /// What the pool may come to use, out of the process's budget.
    _promise: Promise,
}

/// An engine and a linker that belong to no runtime yet.
pub(super) struct Parts {
    kind: Kind,
    made: engine::Made,
    linker: Linker<GuestState>,
}

// === impl Blueprint ===

impl Blueprint {
    pub(super) fn parts(&self, kind: Kind) -> Result<Parts, BuildError> {
        let made = engine::engine(&self.wanted, kind)?;
        let linker = self
            .linker(&made.engine, kind)
            .map_err(BuildError::Imports)?;
        Ok(Parts { kind, made, linker })
    }

    pub(super) fn linker(
        &self,
        engine: &Engine,
        kind: Kind,
    ) -> wasmtime::Result<Linker<GuestState>> {
        let mut linker = Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        linker.allow_shadowing(true);
        files::add_to_linker(&mut linker)?;
        linker.allow_shadowing(false);
        tasks::add_to_linker::<_, HasSelf<GuestState>>(&mut linker, |state| state)?;
        tasks_poll::add_to_linker::<_, HasSelf<GuestState>>(&mut linker, |state| state)?;
        if kind == Kind::Concurrent {
            wasmtime_wasi::p3::add_to_linker(&mut linker)?;
            linker.allow_shadowing(true);
            files::add_to_linker_async(&mut linker)?;
            linker.allow_shadowing(false);
            tasks_async::add_to_linker::<_, HasSelf<GuestState>>(&mut linker, |state| state)?;
        }
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

// === impl Site ===

impl Site {
    /// Puts `parts`, which are made from `blueprint`, on a runtime, whose clock interrupts the engine's guests from now
    /// on.
    pub(super) fn new(
        parts: Parts,
        blueprint: &Arc<Blueprint>,
        runtime: &Arc<Inner>,
        preemption: Preemption,
        pressure: &Arc<Pressure>,
    ) -> Result<Arc<Self>, BuildError> {
        let Parts { kind, made, linker } = parts;
        let engine::Made {
            engine,
            plan,
            promise,
            dense,
            rest,
        } = made;
        runtime.attach(&engine, preemption)?;
        let places = u64::from(plan.places);
        let first = Pool { engine, linker };
        let (pools, ready) = match rest {
            None => (Pools::one(first), places),
            Some(rest) => {
                let recipe = Recipe {
                    rest,
                    kind,
                    blueprint: blueprint.clone(),
                    runtime: runtime.clone(),
                    preemption,
                };
                let ready = u64::from(plan.first);
                (Pools::growing(first, ready, recipe), ready)
            }
        };
        Ok(Arc::new_cyclic(|this: &Weak<Self>| {
            let this = this.clone();
            let more: More = Box::new(move || {
                if let Some(site) = this.upgrade() {
                    pools::begin(site);
                }
            });
            let (runtime, pressure) = (runtime.clone(), pressure.clone());
            Self {
                kind,
                pools,
                admission: Admission::new(places, ready, more, runtime, pressure),
                bounds: plan.bounds,
                dense,
                settings: plan.settings,
                _promise: promise,
            }
        }))
    }

    /// Whether this is one of its engines.
    pub(super) fn has(&self, engine: &Engine) -> bool {
        self.pools
            .all()
            .any(|pool| Engine::same(&pool.engine, engine))
    }

    /// The pool that has all places; made now if there is none.
    pub(super) fn with_all_places(&self) -> Result<(Which, &Pool), BuildError> {
        let pool = self.pools.with_all_places()?;
        self.admission.grown();
        Ok(pool)
    }

    /// Makes the pool that has all places for those that wait for it, or refuses them.
    pub(super) fn grow(&self) {
        // Hooks of the embedder's are called.
        let grown = catch_unwind(AssertUnwindSafe(|| self.with_all_places().map(drop)));
        let error = match grown {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "a hook that adds imports panicked".to_owned(),
        };
        tracing::warn!("the pool of instances cannot grow: {error}");
        let text = text::line(&format!(
            "the host's pool of instances cannot grow: {error}"
        ));
        for guest in self.admission.refuse() {
            guest.finish(Ended::Other(text.clone()));
        }
    }

    /// Adds what its pool holds.
    pub(super) fn count(&self, stats: &mut PoolStats) {
        stats.instances += self.admission.places();
        stats.ready += self.admission.ready();
        stats.in_use += self.admission.in_use();
        let metrics = self
            .pools
            .all()
            .filter_map(|pool| pool.engine.pooling_allocator_metrics());
        for metrics in metrics {
            stats.component_instances += metrics.component_instances();
            stats.core_instances += metrics.core_instances();
            stats.memories += metrics.memories() as u64;
            stats.tables += metrics.tables() as u64;
            stats.stacks += metrics.stacks() as u64;
        }
        if let Some(dense) = &self.dense {
            dense.count(stats);
        }
    }
}

/// What the settings of a host say about its engines.
pub(super) fn settings(
    plain: &Site,
    concurrent: Option<&Site>,
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
