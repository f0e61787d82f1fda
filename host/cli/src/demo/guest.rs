//! The guest of the demonstration, what it imports, and how fast it is here.

use hart_host::Preemption;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Engine, Store, StoreContextMut};

const GUEST: &str = include_str!("guest.wat");

/// What is noted about the guests of one side.
#[derive(Default)]
pub(super) struct Notes {
    responses: Mutex<Vec<Duration>>,
    pieces: AtomicU64,
}

impl Notes {
    /// All responses so far.
    pub(super) fn responses(&self) -> Vec<Duration> {
        let responses = self.responses.lock();
        responses.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Pieces of work that spinners have done.
    pub(super) fn pieces(&self) -> u64 {
        self.pieces.load(Ordering::Relaxed)
    }
}

/// What a guest's store holds.
pub(super) struct State {
    pub(super) notes: Arc<Notes>,
    pub(super) rest: Duration,
    pub(super) due: Instant,
}

/// The guest, ready to be instantiated on `engine`.
pub(super) fn prepare(engine: &Engine) -> wasmtime::Result<InstancePre<State>> {
    let mut linker = Linker::<State>::new(engine);
    let mut root = linker.root();
    root.func_wrap_async("rest", |mut store: StoreContextMut<'_, State>, ()| {
        Box::new(async move {
            let state = store.data_mut();
            state.due = Instant::now() + state.rest;
            tokio::time::sleep_until(state.due.into()).await;
            Ok(())
        })
    })?;
    root.func_wrap("done", |store: StoreContextMut<'_, State>, ()| {
        let State { notes, due, .. } = store.data();
        let responses = notes.responses.lock();
        let mut responses = responses.unwrap_or_else(PoisonError::into_inner);
        responses.push(due.elapsed());
        Ok(())
    })?;
    root.func_wrap("progress", |store: StoreContextMut<'_, State>, ()| {
        store.data().notes.pieces.fetch_add(1, Ordering::Relaxed);
        Ok(())
    })?;
    linker.instantiate_pre(&Component::new(engine, GUEST)?)
}

/// How fast a guest works on this machine.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    per_second: f64,
}

impl Pace {
    /// Measures it, with nothing else running. Takes some 20 ms.
    pub(super) fn measure() -> wasmtime::Result<Self> {
        const ITERATIONS: u64 = 1 << 20;
        let mut config = Config::new();
        hart_host::configure(&mut config, Preemption::None);
        let engine = Engine::new(&config)?;
        let pre = prepare(&engine)?;
        let state = State {
            notes: Arc::default(),
            rest: Duration::ZERO,
            due: Instant::now(),
        };
        let mut store = Store::new(&engine, state);
        let best = futures::executor::block_on(async {
            let instance = pre.instantiate_async(&mut store).await?;
            let work = instance.get_typed_func::<(u64,), ()>(&mut store, "work")?;
            let mut best = Duration::MAX;
            for _ in 0..10 {
                let began = Instant::now();
                work.call_async(&mut store, (ITERATIONS,)).await?;
                best = best.min(began.elapsed());
            }
            Ok::<_, wasmtime::Error>(best)
        })?;
        Ok(Self {
            per_second: ITERATIONS as f64 / best.as_secs_f64(),
        })
    }

    /// What takes this long on a core of one's own.
    pub(super) fn iterations(self, work: Duration) -> u64 {
        (work.as_secs_f64() * self.per_second) as u64
    }
}
