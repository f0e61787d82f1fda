//! The code of a component that was looked at: kept, compiled, or compiled for now and optimized later.

use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use super::{How, LONG, Unloaded, invalid, unlinkable};
use crate::engine::baseline;
use crate::engine::cache::{Digest, Key};
use crate::engine::component::Linked;
use crate::engine::config::Pool;
use crate::engine::cost::{self, Cost};
use crate::engine::error::LoadError;
use crate::engine::optimize::{Job, kept};
use crate::engine::skeleton;
use crate::engine::tier::Tier;

/// Bytes of code from which on baseline code is worth it. Cranelift takes about a second for so many on one core, which
/// people notice; below, a second compiler would take from the first what it saves.
const WORTH: u64 = 1 << 20;

/// A component with its code.
struct Compiled {
    component: Component,
    is_baseline: bool,
    /// What compiling it takes, where that was looked at.
    cost: Option<Cost>,
}

impl Unloaded<'_> {
    /// Steps 4 to 6.
    pub(super) fn linked<S: 'static>(
        &self,
        pool: &Pool,
        how: How<'_>,
        linker: &Linker<S>,
    ) -> Result<Linked<S>, LoadError> {
        let digest = how.cache.map(|_| Digest::of(&self.binary));
        let Compiled {
            component,
            is_baseline,
            cost,
        } = self.compiled(pool, how, linker, digest.as_ref())?;
        let (kind, needs) = (pool.kind, self.needs());
        let mut linked =
            Linked::new(&component, linker, kind, needs, is_baseline).map_err(unlinkable)?;
        if is_baseline && how.tier == Tier::Auto {
            let cost = cost.map_or_else(|| Cost::of(&self.binary), Ok)?;
            let job = Job {
                engine: pool.engine.clone(),
                linker: linker.clone(),
                kind,
                needs,
                binary: self.binary.to_vec(),
                threads: self.threads(
                    &cost,
                    How {
                        background: true,
                        ..how
                    },
                )?,
                kept: how
                    .cache
                    .zip(digest)
                    .map(|(cache, digest)| (cache.clone(), Key::new(&pool.engine, &digest))),
            };
            job.start(linked.improves());
        }
        Ok(linked)
    }

    fn compiled<S: 'static>(
        &self,
        pool: &Pool,
        how: How<'_>,
        linker: &Linker<S>,
        digest: Option<&Digest>,
    ) -> Result<Compiled, LoadError> {
        let key = |engine: &Engine| {
            how.cache
                .zip(digest)
                .map(|(cache, digest)| (cache, Key::new(engine, digest)))
        };
        let find = |by: &Engine| {
            let (cache, key) = key(by)?;
            kept(&pool.engine, cache, &key)
        };
        let optimized = |component| Compiled {
            component,
            is_baseline: false,
            cost: None,
        };
        let for_now = |component, cost| Compiled {
            component,
            is_baseline: true,
            cost,
        };
        if how.tier != Tier::Baseline
            && let Some(component) = find(&pool.engine)
        {
            return Ok(optimized(component));
        }
        let baseline = self.baseline(pool, how.tier);
        if let Some(component) = baseline.and_then(find) {
            return Ok(for_now(component, None));
        }
        let cost = Cost::of(&self.binary)?;
        let threads = self.threads(&cost, how)?;
        if cost.code() >= LONG {
            self.check_imports(&pool.engine, how, linker)?;
        }
        if let Some(engine) = baseline
            && (how.tier == Tier::Baseline || cost.code() >= WORTH)
            && let Some((code, component)) = self.baseline_code(pool, engine, how, threads)?
        {
            if let Some((cache, key)) = key(engine) {
                cache.keep(&key, &code);
            }
            return Ok(for_now(component, Some(cost)));
        }
        let engine = &pool.engine;
        let Some((cache, key)) = key(engine) else {
            let (theirs, binary) = (engine.clone(), self.binary.to_vec());
            let compile = move || Component::from_binary(&theirs, &binary);
            let component = how.patience.wait(threads, how.background, compile)?;
            return component.map(optimized).map_err(|error| invalid(&error));
        };
        let code = self.code_by(engine, how, threads)?;
        cache.keep(&key, &code);
        // SAFETY: compiled just now, by this engine.
        let component = unsafe { Component::deserialize(engine, &code) };
        component.map(optimized).map_err(|error| invalid(&error))
    }

    /// Compiles it, for nobody in particular. Says whether that is baseline code.
    pub(super) fn code(&self, pool: &Pool, how: How<'_>) -> Result<(Vec<u8>, bool), LoadError> {
        let threads = self.threads(&Cost::of(&self.binary)?, how)?;
        if how.tier == Tier::Baseline
            && let Some(engine) = self.baseline(pool, how.tier)
            && let Some((code, _)) = self.baseline_code(pool, engine, how, threads)?
        {
            return Ok((code, true));
        }
        let code = self.code_by(&pool.engine, how, threads)?;
        Ok((code, false))
    }

    /// What compiles baseline code for it, if it may have some.
    fn baseline<'p>(&self, pool: &'p Pool, tier: Tier) -> Option<&'p Engine> {
        let wanted = match tier {
            Tier::Optimized => false,
            Tier::Baseline => true,
            Tier::Auto => self.binary.len() as u64 >= WORTH && pool.baseline.may_improve,
        };
        wanted.then(|| pool.baseline.engine()).flatten()
    }

    /// Has `engine` compile it for that of the pool; `None` where it cannot be compiled so.
    fn baseline_code(
        &self,
        pool: &Pool,
        engine: &Engine,
        how: How<'_>,
        threads: usize,
    ) -> Result<Option<(Vec<u8>, Component)>, LoadError> {
        let mut code = match self.code_by(engine, how, threads) {
            Ok(code) => code,
            Err(error) => {
                tracing::debug!("no baseline code: {error}");
                return how.patience.check().map(|()| None);
            }
        };
        if baseline::adopt(&mut code).is_none() {
            tracing::debug!("baseline code is not for this host's settings");
            return Ok(None);
        }
        // SAFETY: compiled just now, for the pool's settings but for the compiler. That the pool's engine may run it all the
        // same are steps 1 to 3 of `baseline`: `adopt` has seen to step 3, and what is not closed (step 2) is dropped unused.
        match unsafe { Component::deserialize(&pool.engine, &code) } {
            Ok(component) if baseline::is_closed(&component) => Ok(Some((code, component))),
            Ok(_) => Ok(None),
            Err(error) => {
                tracing::debug!("baseline code is not used: {error:#}");
                Ok(None)
            }
        }
    }

    fn code_by(&self, engine: &Engine, how: How<'_>, threads: usize) -> Result<Vec<u8>, LoadError> {
        let (theirs, binary) = (engine.clone(), self.binary.to_vec());
        let compile = move || theirs.precompile_component(&binary);
        let code = how.patience.wait(threads, how.background, compile)?;
        code.map_err(|error| invalid(&error))
    }

    /// On how many threads it may be compiled.
    fn threads(&self, cost: &Cost, how: How<'_>) -> Result<usize, LoadError> {
        let length = self.binary.len() as u64;
        let threads = cost.threads(length, self.footprint.steps, how.max_memory)?;
        let most = if how.background {
            cost::cores().div_ceil(2)
        } else {
            threads
        };
        Ok(threads.min(most))
    }

    /// Refuses what has imports that nobody provides.
    fn check_imports<S: 'static>(
        &self,
        engine: &Engine,
        how: How<'_>,
        linker: &Linker<S>,
    ) -> Result<(), LoadError> {
        let Some(skeleton) = skeleton::of(&self.binary) else {
            return Ok(());
        };
        let engine = engine.clone();
        let compile = move || Component::from_binary(&engine, &skeleton);
        match how.patience.wait(1, how.background, compile)? {
            Ok(skeleton) => linker
                .instantiate_pre(&skeleton)
                .map(drop)
                .map_err(unlinkable),
            // It may be the skeleton's own fault.
            Err(error) => {
                tracing::debug!("imports cannot be looked at first: {error:#}");
                Ok(())
            }
        }
    }
}
