//! Optimized code, compiled while baseline code runs.
//!
//! # Protocol
//!
//! 1. Each component has a thread of the lowest priority for it. They compile one after the other: the compiler's memory
//!    is counted nowhere, and many may be loaded at once.
//! 2. With a cache, who compiles holds a lock on the entry's name, in whatever process. Others wait for it and then find
//!    the entry.
//! 3. The component is referred to weakly: where it has gone, nobody compiles for it, or goes on with that
//!    ([`Later`](super::component::Later)).
//! 4. What cannot be optimized stays as it is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Weak};

use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::base::sync::lock;
use crate::engine::cache::{Entries, Key};
use crate::engine::compile::{LoadCanceller, Patience};
use crate::engine::component::{Later, Linked};
use crate::engine::slots::{Kind, Needs};
use crate::sched::priority;

/// Held by the thread that compiles. Step 1.
static ONE: Mutex<()> = Mutex::new(());

/// What is to be optimized, and for whom.
pub(crate) struct Job<S: 'static> {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<S>,
    pub(crate) kind: Kind,
    pub(crate) needs: Needs,
    pub(crate) binary: Vec<u8>,
    /// At most half of the cores.
    pub(crate) threads: usize,
    /// Where the code is kept.
    pub(crate) kept: Option<(Entries, Key)>,
}

impl<S: 'static> Job<S> {
    /// Begins, in the background.
    pub(crate) fn start(self, later: &Arc<Later<S>>) {
        let canceller = later.canceller.clone();
        let waits = later;
        let later = Arc::downgrade(later);
        let optimize = move || {
            priority::lower();
            // Whatever panics: those who wait are told.
            let made = catch_unwind(AssertUnwindSafe(|| self.linked(&later, &canceller)));
            if let Some(later) = later.upgrade() {
                later.finish(made.ok().flatten());
            }
        };
        let started = std::thread::Builder::new()
            .name("hart-optimize".into())
            .spawn(optimize);
        if let Err(error) = started {
            tracing::debug!("baseline code stays: {error}");
            waits.finish(None);
        }
    }

    fn linked(self, later: &Weak<Later<S>>, canceller: &LoadCanceller) -> Option<Linked<S>> {
        let (kind, needs, linker) = (self.kind, self.needs, self.linker.clone());
        let component = self.compiled(later, canceller)?;
        Linked::new(&component, &linker, kind, needs, false)
            .inspect_err(|error| tracing::debug!("baseline code stays: {error:#}"))
            .ok()
    }

    fn compiled(self, later: &Weak<Later<S>>, canceller: &LoadCanceller) -> Option<Component> {
        let _locked = self.kept.as_ref().map(|(cache, key)| cache.lock(key));
        if let Some((cache, key)) = &self.kept
            && let Some(component) = kept(&self.engine, cache, key)
        {
            return Some(component);
        }
        let _one = lock(&ONE);
        if later.strong_count() == 0 {
            return None;
        }
        let engine = self.engine.clone();
        let compile = move || self.engine.precompile_component(&self.binary);
        let compiled = Patience::new(canceller, None).wait(self.threads, true, compile);
        let code = compiled
            .inspect_err(|error| tracing::debug!("baseline code stays: {error}"))
            .ok()?
            .inspect_err(|error| tracing::debug!("baseline code stays: {error:#}"))
            .ok()?;
        if let Some((cache, key)) = &self.kept {
            cache.keep(key, &code);
        }
        // SAFETY: compiled just now, by this engine.
        unsafe { Component::deserialize(&engine, &code) }.ok()
    }
}

/// What the cache has, if that can be used.
pub(crate) fn kept(engine: &Engine, cache: &Entries, key: &Key) -> Option<Component> {
    let code = cache.find(key)?;
    // SAFETY: the entry is what `precompile_component` has made of these bytes with these settings: it says so, and
    // nobody but us can write to the directory, or has written the file. The checksum finds accidents. Baseline code has
    // keys of its own, and is kept only once it was adopted and found closed.
    match unsafe { Component::deserialize(engine, &code) } {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::warn!("what the cache has cannot be used: {error:#}");
            None
        }
    }
}
