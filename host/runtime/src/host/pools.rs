//! A site's pools of instances: one, or, where it is to grow, a small one that is there from the start and a whole one
//! that is made when the small one is full.
//!
//! The pool of an engine cannot grow, and making one of many places takes milliseconds, which a program that spawns
//! nothing would pay for nothing. So it grows by an engine, on which everything that is loaded is loaded once more.
//!
//! # Protocol
//!
//! 1. [`Admission`](super::admission) fills no more places than the small pool has. Whoever is held back because of
//!    that has it call [`begin`], once: a worker makes the whole pool, between two tasks.
//! 2. Under the lock of `small_only`, each component that is only in the small pool gets a copy for the whole one, then
//!    that is published. A component is loaded for the newest pool that there is; if that was the small one,
//!    [`adopt`](Pools::adopt) looks again under this lock. So once a pool is published, everything loaded is in it.
//! 3. Admission is told, and fills all places from then on.
//! 4. A store takes its [`Seat`] in the small pool while that has one, else in the whole one. That has as many places
//!    as admission fills in all, whatever is in the small one: nobody who was admitted finds no room. The small pool may
//!    be fuller than seats say, for a seat is given back before its place is, and an embedder's own stores have none:
//!    whom it refuses goes to the whole one, which is asked for if it is not there.
//! 5. If the whole pool cannot be made, those that wait for nothing else are refused. Whoever comes later tries again,
//!    once in a second.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};

use wasmtime::Engine;
use wasmtime::component::Linker;

use super::component::{Component, WeakComponent};
use super::engine::{Kind, Rest};
use super::site::{Blueprint, Site};
use super::state::GuestState;
use crate::runtime::Inner;
use crate::sync::lock;
use crate::{BuildError, Preemption};

/// An engine with its pool, and a linker.
pub(super) struct Pool {
    pub(super) engine: Engine,
    pub(super) linker: Linker<GuestState>,
}

/// Which of a site's pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// The one that is there from the start.
    First,
    /// The one that has all places, where the first has not.
    Whole,
}

pub(super) struct Pools {
    first: Pool,
    /// Where the first one is small.
    growth: Option<Growth>,
}

/// How the whole pool is made.
pub(super) struct Recipe {
    pub(super) rest: Rest,
    pub(super) kind: Kind,
    pub(super) blueprint: Arc<Blueprint>,
    pub(super) runtime: Arc<Inner>,
    pub(super) preemption: Preemption,
}

struct Growth {
    recipe: Recipe,
    /// Places of the first pool.
    places: u64,
    /// How many of them have a seat. What is in a place is the pool's to guard, so this is a count only, and
    /// `Relaxed` is enough.
    taken: AtomicU64,
    whole: OnceLock<Pool>,
    /// Held by whoever makes the whole pool.
    making: Mutex<()>,
    /// Components that are in the first pool and not in the whole one.
    small_only: Mutex<Vec<WeakComponent>>,
}

/// A store's place in a pool.
pub(super) struct Seat {
    which: Which,
    /// Places that are counted in the first pool.
    counted: Option<(Arc<Site>, u64)>,
}

// === impl Pools ===

impl Pools {
    /// A single pool.
    pub(super) fn one(pool: Pool) -> Self {
        Self {
            first: pool,
            growth: None,
        }
    }

    /// A pool of so many places, and how the whole one is made.
    pub(super) fn growing(first: Pool, places: u64, recipe: Recipe) -> Self {
        let growth = Growth {
            recipe,
            places,
            taken: AtomicU64::new(0),
            whole: OnceLock::new(),
            making: Mutex::new(()),
            small_only: Mutex::default(),
        };
        Self {
            first,
            growth: Some(growth),
        }
    }

    pub(super) fn first(&self) -> &Pool {
        &self.first
    }

    fn whole(&self) -> Option<&Pool> {
        self.growth.as_ref()?.whole.get()
    }

    /// Those that there are.
    pub(super) fn all(&self) -> impl Iterator<Item = &Pool> {
        std::iter::once(&self.first).chain(self.whole())
    }

    /// The one for what is loaded now.
    pub(super) fn newest(&self) -> (Which, &Pool) {
        match self.whole() {
            Some(whole) => (Which::Whole, whole),
            None => (Which::First, &self.first),
        }
    }

    /// One that has all places; made now if there is none. To be called by the site, which tells admission.
    pub(super) fn with_all_places(&self) -> Result<(Which, &Pool), BuildError> {
        match &self.growth {
            None => Ok((Which::First, &self.first)),
            Some(growth) => Ok((Which::Whole, growth.grow()?)),
        }
    }

    /// Puts a component that was loaded for the pool `which` into one that has come meanwhile. Step 2.
    pub(super) fn adopt(&self, component: &Component, which: Which) -> wasmtime::Result<()> {
        let Some(growth) = self.growth.as_ref().filter(|_| which == Which::First) else {
            return Ok(());
        };
        let mut small_only = lock(&growth.small_only);
        if let Some(whole) = growth.whole.get() {
            component.put(Which::Whole, component.copy_for(whole)?);
        } else {
            small_only.retain(WeakComponent::is_alive);
            small_only.push(component.downgrade());
        }
        Ok(())
    }
}

// === impl Growth ===

impl Growth {
    fn grow(&self) -> Result<&Pool, BuildError> {
        let _making = lock(&self.making);
        if let Some(whole) = self.whole.get() {
            return Ok(whole);
        }
        let recipe = &self.recipe;
        let engine = recipe.rest.make()?;
        let linker = recipe.blueprint.linker(&engine, recipe.kind);
        let linker = linker.map_err(BuildError::Imports)?;
        recipe.runtime.attach(&engine, recipe.preemption)?;
        let whole = Pool { engine, linker };
        let mut small_only = lock(&self.small_only);
        // All of them before any is put: a pool that fails leaves no copies.
        let copies = small_only
            .iter()
            .filter_map(WeakComponent::upgrade)
            .map(|component| Ok((component.copy_for(&whole)?, component)))
            .collect::<wasmtime::Result<Vec<_>>>()
            .map_err(BuildError::Engine)?;
        for (copy, component) in copies {
            component.put(Which::Whole, copy);
        }
        *small_only = Vec::new();
        Ok(self.whole.get_or_init(|| whole))
    }

    /// Counts so many more places of the first pool as taken, if they are free.
    fn take(&self, places: u64) -> bool {
        let more = |taken: u64| Some(taken + places).filter(|taken| *taken <= self.places);
        self.taken.fetch_update(Relaxed, Relaxed, more).is_ok()
    }
}

/// Has the whole pool of a site made. Step 1.
pub(super) fn begin(site: Arc<Site>) {
    if let Some(growth) = &site.pools.growth {
        let runtime = growth.recipe.runtime.clone();
        runtime.spawn_aside("pool", async move { site.grow() });
    }
}

// === impl Seat ===

impl Seat {
    /// Step 4. None where there is no room yet; `refused` says that the small pool has just refused a place.
    pub(super) fn take(site: &Arc<Site>, component: &Component, refused: bool) -> Option<Self> {
        let which = |which| Self {
            which,
            counted: None,
        };
        let Some(growth) = &site.pools.growth else {
            return Some(which(Which::First));
        };
        let places = component.slots();
        if !refused && component.is_in(Which::First) && growth.take(places) {
            return Some(Self {
                which: Which::First,
                counted: Some((site.clone(), places)),
            });
        }
        growth.whole.get().map(|_| which(Which::Whole))
    }

    pub(super) fn which(&self) -> Which {
        self.which
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some((site, places)) = &self.counted
            && let Some(growth) = &site.pools.growth
        {
            growth.taken.fetch_sub(*places, Relaxed);
        }
    }
}
