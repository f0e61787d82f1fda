//! The thread that increments epochs.
//!
//! # Protocol
//!
//! 1. Whoever polls a guest counts itself in `polling`, and then looks whether the thread sleeps. If so it wakes it.
//! 2. The thread says that it sleeps, and then looks at `polling`. Between the two steps of either side is a fence, so that one
//!    of them sees the other.
//! 3. It sleeps only after some ticks without anybody, so that short polls do not wake it each time.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize, fence};
use std::sync::{Mutex, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

use crate::base::sync::lock;

/// How far ticks are apart.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// Ticks without a guest before the thread sleeps.
const QUIET: u32 = 20;

#[derive(Default)]
struct Ticker {
    engines: Mutex<Vec<EngineWeak>>,
    /// Polls of guests that are going on.
    polling: AtomicUsize,
    sleeps: AtomicBool,
    thread: OnceLock<Thread>,
}

static TICKER: OnceLock<&'static Ticker> = OnceLock::new();

/// The thread, which is started by whoever asks first. Without one, no guest is ended: that is told, and nothing else can be
/// done.
fn ticker() -> &'static Ticker {
    TICKER.get_or_init(|| {
        let ticker: &'static Ticker = Box::leak(Box::default());
        let started = thread::Builder::new()
            .name("hart-budget".into())
            .spawn(move || ticker.run());
        match started {
            Ok(thread) => drop(ticker.thread.set(thread.thread().clone())),
            Err(error) => tracing::error!("budgets do not hold, for there is no thread: {error}"),
        }
        ticker
    })
}

/// Has an engine tick.
pub(super) fn register(engine: &Engine) {
    let mut engines = lock(&ticker().engines);
    engines.retain(|other| other.upgrade().is_some());
    let is_there = |other: &EngineWeak| {
        other
            .upgrade()
            .is_some_and(|other| Engine::same(&other, engine))
    };
    if !engines.iter().any(is_there) {
        engines.push(engine.weak());
    }
}

/// A poll of a guest, from when it is made to when it is dropped.
pub(super) struct Polling(());

impl Polling {
    pub(super) fn begin() -> Self {
        let ticker = ticker();
        ticker.polling.fetch_add(1, Relaxed);
        // Pairs with the one in `run`.
        fence(SeqCst);
        if ticker.sleeps.load(Relaxed)
            && let Some(thread) = ticker.thread.get()
        {
            thread.unpark();
        }
        Self(())
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        ticker().polling.fetch_sub(1, Relaxed);
    }
}

impl Ticker {
    fn run(&self) {
        crate::sched::kernel_slice::shorten();
        let mut quiet = 0;
        loop {
            if self.polling.load(Relaxed) > 0 {
                quiet = 0;
            } else {
                quiet += 1;
            }
            if quiet < QUIET {
                thread::sleep(TICK);
                self.tick();
                continue;
            }
            self.sleeps.store(true, Relaxed);
            // Pairs with the one in `begin`.
            fence(SeqCst);
            while self.polling.load(Relaxed) == 0 {
                thread::park();
            }
            self.sleeps.store(false, Relaxed);
            quiet = 0;
        }
    }

    fn tick(&self) {
        for engine in lock(&self.engines).iter() {
            if let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
            }
        }
    }
}
