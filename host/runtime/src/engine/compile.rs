//! Compilation that can be given up.
//!
//! wasmtime 48 has no way to stop its compiler. But the compiler tells a profiler, of which each thread has its own, when
//! one of its passes over a function begins. Ours says nothing and unwinds where nobody waits for the result any more.
//!
//! # Protocol
//!
//! 1. Each compilation has threads of its own, whose profilers know it. Whoever wants the result waits in
//!    [`Patience::wait`].
//! 2. When it has waited long enough, or is cancelled, it says so to the compilation and goes away.
//! 3. Each thread unwinds when it comes to its next pass, which takes a minute at the very most: larger functions are
//!    refused before. The threads and all that was compiled go.
//! 4. Of compilations that were given up and still run there are a few at most. Whoever comes meanwhile waits.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use cranelift_codegen::timing::{Pass, Profiler, set_thread_profiler};

use crate::base::histogram::Buckets;
use crate::base::sync::lock;
use crate::engine::error::LoadError;
use crate::sched::priority;

/// Compilations that were given up and still run, in the whole process. A count only.
static ABANDONED: AtomicUsize = AtomicUsize::new(0);
/// How many those may be before the next one begins.
const MOST_ABANDONED: usize = 4;

/// Cancels the loads of one [`Loader`](crate::Loader), from any thread.
#[derive(Clone, Debug, Default)]
pub struct LoadCanceller {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    cancelled: Mutex<bool>,
    /// Notified when that, or whether a compilation is done, has changed.
    changed: Condvar,
}

impl LoadCanceller {
    /// Ends what is being loaded, and all that is loaded later, with [`LoadError::Cancelled`]. The caller of `load` gets
    /// that at once; the compiler's threads end a little later, between two passes over a function.
    pub fn cancel(&self) {
        *lock(&self.shared.cancelled) = true;
        self.shared.changed.notify_all();
    }
}

/// How long somebody waits for a component.
pub(crate) struct Patience {
    pub(crate) canceller: LoadCanceller,
    pub(crate) timeout: Option<Duration>,
    pub(crate) until: Option<Instant>,
    /// Where it is counted how long compilations took.
    pub(crate) took: Option<Arc<Buckets>>,
}

impl Patience {
    pub(crate) fn new(canceller: &LoadCanceller, timeout: Option<Duration>) -> Self {
        Self {
            canceller: canceller.clone(),
            timeout,
            // One that no clock reaches is none.
            until: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
            took: None,
        }
    }

    /// Counts in `took` how long compilations take.
    pub(crate) fn counts(mut self, took: Option<Arc<Buckets>>) -> Self {
        self.took = took;
        self
    }

    /// Whether to go on.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        self.is_over(*lock(&self.canceller.shared.cancelled))
    }

    fn is_over(&self, cancelled: bool) -> Result<(), LoadError> {
        if cancelled {
            return Err(LoadError::Cancelled);
        }
        match (self.until, self.timeout) {
            (Some(until), Some(timeout)) if Instant::now() >= until => {
                Err(LoadError::TimedOut(timeout))
            }
            _ => Ok(()),
        }
    }

    /// Does `compile` on so many threads, in the background or not, and waits for it.
    pub(crate) fn wait<T: Send + 'static>(
        &self,
        threads: usize,
        background: bool,
        compile: impl FnOnce() -> wasmtime::Result<T> + Send + 'static,
    ) -> Result<wasmtime::Result<T>, LoadError> {
        self.wait_for_others()?;
        let started = Instant::now();
        let job = Arc::new(Job {
            shared: self.canceller.shared.clone(),
            state: Mutex::new(State {
                done: None,
                abandoned: false,
            }),
        });
        let give_up = Arc::new(AtomicBool::new(false));
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|_| "hart-compile".into())
            .start_handler({
                let give_up = give_up.clone();
                move |_| {
                    if background {
                        priority::lower();
                    }
                    watch(GiveUp(give_up.clone()));
                }
            })
            .build()
            .map_err(|error| LoadError::Thread(std::io::Error::other(error)))?;
        let theirs = job.clone();
        // The pool's threads end when it is dropped and this is done.
        pool.spawn(move || theirs.finish(catch_unwind(AssertUnwindSafe(compile))));
        let mut cancelled = lock(&self.canceller.shared.cancelled);
        loop {
            let mut state = lock(&job.state);
            if let Some(done) = state.done.take() {
                if let Some(took) = &self.took {
                    took.add_time(started.elapsed());
                }
                return done.map_err(|_| {
                    LoadError::Invalid("the compiler failed on it; please report this".into())
                });
            }
            if let Err(over) = self.is_over(*cancelled) {
                state.abandoned = true;
                ABANDONED.fetch_add(1, Ordering::Relaxed);
                // Nothing else is published by this: it is only a hint to end early.
                give_up.store(true, Ordering::Relaxed);
                return Err(over);
            }
            drop(state);
            cancelled = self.sleep(cancelled);
        }
    }

    /// Step 4.
    fn wait_for_others(&self) -> Result<(), LoadError> {
        /// Nobody tells who waits for this, so it looks again.
        const AGAIN: Duration = Duration::from_millis(20);

        while ABANDONED.load(Ordering::Relaxed) >= MOST_ABANDONED {
            self.check()?;
            std::thread::sleep(AGAIN);
        }
        self.check()
    }

    fn sleep<'a>(
        &self,
        cancelled: std::sync::MutexGuard<'a, bool>,
    ) -> std::sync::MutexGuard<'a, bool> {
        use std::sync::PoisonError;

        let changed = &self.canceller.shared.changed;
        match self.until {
            None => changed
                .wait(cancelled)
                .unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                let rest = until.saturating_duration_since(Instant::now());
                let waited = changed.wait_timeout(cancelled, rest);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }
}

/// A compilation and whoever waits for it.
struct Job<T> {
    shared: Arc<Shared>,
    /// Locked after the canceller's.
    state: Mutex<State<T>>,
}

struct State<T> {
    /// What came of it, or what it panicked with.
    done: Option<Result<wasmtime::Result<T>, Box<dyn Any + Send>>>,
    abandoned: bool,
}

impl<T> Job<T> {
    fn finish(&self, done: Result<wasmtime::Result<T>, Box<dyn Any + Send>>) {
        let mut state = lock(&self.state);
        if state.abandoned {
            ABANDONED.fetch_sub(1, Ordering::Relaxed);
            drop(state);
            drop(done);
            return;
        }
        state.done = Some(done);
        drop(state);
        // Whoever looked before this and is about to sleep holds this lock until then.
        let _cancelled = lock(&self.shared.cancelled);
        self.shared.changed.notify_all();
    }
}

/// The profiler of a compiling thread.
struct GiveUp(Arc<AtomicBool>);

/// What such a thread unwinds with.
struct GivenUp;

impl Profiler for GiveUp {
    fn start_pass(&self, _: Pass) -> Box<dyn Any> {
        if self.0.load(Ordering::Relaxed) {
            // No panic, about which a hook would have something to say.
            resume_unwind(Box::new(GivenUp));
        }
        Box::new(())
    }
}

fn watch(profiler: GiveUp) {
    // Where unwinding is aborting, what was given up is compiled to its end.
    if cfg!(panic = "unwind") {
        drop(set_thread_profiler(Box::new(profiler)));
    }
}
