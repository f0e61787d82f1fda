//! The worker threads, and those that are stuck.
//!
//! A guest that cannot be preempted, or a host function that blocks, keeps its thread. So that its neighbours
//! are served all the same, another thread takes the worker's place, and the stuck one goes on in the
//! background until it comes back.
//!
//! 1. Every worker has a [`Post`], by its number. A guest's poll makes its `beat` odd when it begins and even
//!    when it ends; a preemption point adds two. Only the worker writes it.
//! 2. The clock looks ([`Crew::look`]) while guests run and somebody waits. A beat that is odd, and has been
//!    the same for [`STUCK`], is that of a stuck worker.
//! 3. A stuck worker is told to retire, and a new one starts: one more thread, of at most [`Crew::most`] more.
//! 4. Whoever was told to retire returns from `Worker::run` when its poll ends, gives its queue to the others
//!    and its number back, and only then counts as stuck no more: so there are never more numbers in use than
//!    there are posts.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::task::AtomicWaker;
use hart_executor::{Executor, Worker};

use crate::base::sync::lock;
use crate::sched::kernel_slice;
use crate::sched::this_worker::{set_this_worker, this_worker};

/// How long a poll may last without a preemption point before its worker counts as stuck, if somebody waits.
/// Guessed: longer than any slice and than filling 64 MiB of memory, and short for whoever waits.
const STUCK: Duration = Duration::from_millis(20);

/// Threads that may be stuck, however few workers there are. Guessed.
const LEAST_SPARE: usize = 16;

/// The worker threads of a runtime.
pub(crate) struct Crew {
    executor: Executor,
    /// None where there are no threads, on a simulated machine.
    tokio: Option<tokio::runtime::Handle>,
    workers: usize,
    posts: Box<[Post]>,
    /// Workers that were told to retire and have not done so.
    stuck: AtomicUsize,
    threads: Mutex<Vec<Thread>>,
    left: Arc<Left>,
}

/// What is known of a worker.
#[derive(Default)]
struct Post {
    beat: AtomicU64,
    retire: AtomicBool,
    /// Of the future that ends the worker's `run`.
    waker: AtomicWaker,
}

/// The beats as the clock saw them, and since when.
#[derive(Default)]
pub(crate) struct Seen(Vec<(u64, Option<Instant>)>);

/// A worker's thread.
struct Thread {
    handle: JoinHandle<()>,
    /// Set, under the lock of [`Left`], as its last act.
    has_left: Arc<AtomicBool>,
}

/// Tells that a thread has left.
#[derive(Default)]
struct Left {
    lock: Mutex<()>,
    changed: Condvar,
}

impl Crew {
    pub(crate) fn new(
        workers: usize,
        executor: Executor,
        tokio: Option<tokio::runtime::Handle>,
    ) -> Self {
        Self {
            executor,
            tokio,
            workers,
            posts: (0..Self::most_numbers(workers))
                .map(|_| Post::default())
                .collect(),
            stuck: AtomicUsize::new(0),
            threads: Mutex::default(),
            left: Arc::default(),
        }
    }

    /// Numbers that a worker may have where there are so many workers: others may be stuck.
    pub(crate) fn most_numbers(workers: usize) -> usize {
        workers + workers.max(LEAST_SPARE)
    }

    /// Whose drivers I/O uses.
    pub(crate) fn tokio(&self) -> Option<&tokio::runtime::Handle> {
        self.tokio.as_ref()
    }

    pub(crate) fn executor(&self) -> &Executor {
        &self.executor
    }

    /// Workers that are not stuck.
    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// Numbers that a worker may have.
    pub(crate) fn numbers(&self) -> usize {
        self.posts.len()
    }

    /// The most workers that may be stuck at once.
    fn most(&self) -> usize {
        self.posts.len() - self.workers
    }

    /// Starts a worker.
    pub(crate) fn start(self: &Arc<Self>) -> std::io::Result<()> {
        /// Says so however the thread ends.
        struct Leaves {
            has_left: Arc<AtomicBool>,
            left: Arc<Left>,
        }
        impl Drop for Leaves {
            fn drop(&mut self) {
                let _lock = lock(&self.left.lock);
                self.has_left.store(true, Ordering::Relaxed);
                self.left.changed.notify_all();
            }
        }

        let crew = self.clone();
        let has_left = Arc::new(AtomicBool::new(false));
        let leaves = Leaves {
            has_left: has_left.clone(),
            left: self.left.clone(),
        };
        let mut threads = lock(&self.threads);
        forget_finished(&mut threads);
        let handle = std::thread::Builder::new()
            .name("hart-worker".into())
            .spawn(move || {
                let _leaves = leaves;
                kernel_slice::shorten();
                crew.work();
            })?;
        threads.push(Thread { handle, has_left });
        Ok(())
    }

    fn work(&self) {
        // Everything in WASI that looks for a reactor finds this one; no guest runs on its scheduler.
        let _entered = self.tokio.as_ref().map(tokio::runtime::Handle::enter);
        wasmtime::Engine::tls_eager_initialize();
        let Ok(mut worker) = Worker::new(&self.executor) else {
            return;
        };
        let post = &self.posts[worker.id()];
        post.retire.store(false, Ordering::Relaxed);
        set_this_worker(Some(worker.id()));
        let retired = worker.run(poll_fn(|cx| {
            post.waker.register(cx.waker());
            // Acquire: pairs with the Release in `replace`; the waker is registered before the look.
            match post.retire.load(Ordering::Acquire) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }));
        set_this_worker(None);
        drop(worker);
        if retired.is_ok() {
            self.stuck.fetch_sub(1, Ordering::Release);
        }
    }

    // === impl Crew: the beat ===

    /// A guest's poll begins or ends on this thread.
    pub(crate) fn beat(&self) {
        self.beats(1);
    }

    /// A guest came to a preemption point on this thread.
    pub(crate) fn passes_point(&self) {
        self.beats(2);
    }

    fn beats(&self, by: u64) {
        if let Some(post) = this_worker().and_then(|worker| self.posts.get(worker)) {
            // Nobody else writes it.
            let beat = post.beat.load(Ordering::Relaxed);
            post.beat.store(beat.wrapping_add(by), Ordering::Relaxed);
        }
    }

    /// Looks for workers that are stuck, and has them replaced. Step 2.
    pub(crate) fn look(self: &Arc<Self>, seen: &mut Seen) {
        let now = Instant::now();
        seen.0.resize(self.posts.len(), (0, None));
        for (worker, (post, seen)) in self.posts.iter().zip(&mut seen.0).enumerate() {
            let beat = post.beat.load(Ordering::Relaxed);
            let since = match *seen {
                (before, Some(since)) if before == beat => since,
                _ => now,
            };
            *seen = (beat, Some(since));
            let stuck = beat % 2 == 1 && now - since >= STUCK;
            if stuck && !post.retire.load(Ordering::Relaxed) {
                self.replace(worker);
            }
        }
    }

    /// Step 3.
    fn replace(self: &Arc<Self>, worker: usize) {
        let most = self.most();
        // Acquire: pairs with the Release of whoever has retired; its number is free.
        let counted = self
            .stuck
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |stuck| {
                (stuck < most).then_some(stuck + 1)
            });
        if counted.is_err() {
            tracing::debug!(
                "worker {worker} is stuck, and so are {most} others: nobody takes its place"
            );
            return;
        }
        let post = &self.posts[worker];
        // Release: pairs with the Acquire in `work`.
        post.retire.store(true, Ordering::Release);
        post.waker.wake();
        tracing::warn!(
            "worker {worker} is stuck in a guest that cannot be preempted, or in a host function that blocks: another thread takes its place"
        );
        if let Err(error) = self.start() {
            tracing::error!("no thread can take its place: {error}");
        }
    }

    // === impl Crew: the end ===

    /// Waits at most `patience` for the threads that there are now, except this one; says whether all of them have
    /// left. One that takes the place of a stuck one meanwhile is nobody's to wait for: it finds the executor closed.
    pub(crate) fn join(&self, patience: Duration) -> bool {
        let me = std::thread::current().id();
        let mut threads = std::mem::take(&mut *lock(&self.threads));
        threads.retain(|thread| thread.handle.thread().id() != me);
        let all_left = self.left.wait_for(&threads, patience);
        forget_finished(&mut threads);
        all_left
    }
}

/// Joins the threads that have left: that takes no longer than a thread takes to end.
fn forget_finished(threads: &mut Vec<Thread>) {
    for thread in threads.extract_if(.., |thread| thread.has_left.load(Ordering::Relaxed)) {
        if thread.handle.join().is_err() {
            tracing::error!("a worker thread panicked");
        }
    }
}

impl Left {
    /// Waits until all of these have left; `false` if `patience` ran out.
    fn wait_for(&self, threads: &[Thread], patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let has_left = |thread: &Thread| thread.has_left.load(Ordering::Relaxed);
        let mut guard = lock(&self.lock);
        while !threads.iter().all(has_left) {
            let Some(rest) = until.checked_duration_since(Instant::now()) else {
                return false;
            };
            let waited = self.changed.wait_timeout(guard, rest);
            guard = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        true
    }
}
