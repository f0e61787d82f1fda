//! Tasks on a few threads of this process, so that `cargo test` runs a guest as it is.
//!
//! Made to be plain rather than fast. One lock guards everything; `ended` is notified whenever a
//! task ends for whatever reason, `queued` whenever one is put into the queue.
//!
//! 1. A task is `Queued`, then `Running`, then `Ended`; cancelling, closing and timeouts take it to
//!    `Ended` from any state, and what a function returns after that is dropped.
//! 2. At most [`threads_max`] threads run tasks. A thread that waits for a queued task while no
//!    other is free for it runs it itself. So waiting never deadlocks: parents wait for children only, and the
//!    lowest of them either runs or is in the queue, from which the one that waits for it takes it.
//! 3. A function cannot be stopped from outside. Every call into this crate from a task that has
//!    been ended unwinds out of it ([`stop_if_ended`]), without the message of a panic.
//! 4. A thread that is no task has a scope of its own, so that tests do not close each other's.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{JoinError, Outcome, SpawnError, panic_text};
use crate::local;
use crate::native::{Scope, current, on_thread, stop_if_ended, within};
use crate::options::{Options, Rights};
use crate::registry::Entry;

/// Tasks that may wait or run at the same time: a stop for programs that spawn without end. A guess.
const TASKS_MAX: usize = 100_000;
/// Tasks may spawn tasks that spawn tasks so many times: a stop for programs that do so without end,
/// before they have used up the stacks of threads on which tasks run inside one another. A guess.
const DEPTH_MAX: u32 = 500;
/// Tasks may run inside one another (2 above), and each should have what a thread usually has.
const STACK_BYTES: usize = 16 << 20;

static POOL: Mutex<Pool> = Mutex::new(Pool {
    queue: VecDeque::new(),
    queued: 0,
    tasks: 0,
    threads: 0,
    idle: 0,
    next_id: 1,
});
static QUEUED: Condvar = Condvar::new();
static ENDED: Condvar = Condvar::new();

struct Pool {
    /// Those to be run, and among them some that are no longer `Queued`.
    queue: VecDeque<Arc<Task>>,
    /// How many are `Queued`.
    queued: usize,
    /// Queued and running ones.
    tasks: usize,
    threads: usize,
    /// Threads that wait for a task, or are about to.
    idle: usize,
    next_id: u64,
}

impl Pool {
    fn lock() -> MutexGuard<'static, Pool> {
        POOL.lock().expect("no code that can panic holds this lock")
    }

    /// Whether a thread will get round to every queued task without anybody's help.
    fn keeps_up(&self) -> bool {
        self.queued <= self.idle
    }
}

/// At least 4, so that a test with a task or two that never end goes on where there is one core.
fn threads_max() -> usize {
    parallelism().get().max(4)
}

struct Task {
    id: u64,
    entry: &'static Entry,
    scope: Arc<Scope>,
    /// Only touched under the pool's lock.
    state: Mutex<State>,
}

enum State {
    Queued(Vec<u8>),
    Running,
    Ended(Outcome),
}

impl Task {
    fn state(&self, _pool: &MutexGuard<'_, Pool>) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no code that can panic holds this lock")
    }

    /// Whether it has ended; ends it if it has to.
    fn poll(&self, pool: &mut MutexGuard<'_, Pool>) -> bool {
        let mut state = self.state(pool);
        if matches!(*state, State::Ended(_)) {
            return true;
        }
        let Some(why) = self.scope.ended_early() else {
            return false;
        };
        let before = std::mem::replace(&mut *state, State::Ended(Err(why)));
        drop(state);
        if matches!(before, State::Queued(_)) {
            pool.queued -= 1;
        }
        pool.tasks -= 1;
        ENDED.notify_all();
        true
    }

    /// Takes a queued task to `Running`.
    fn start(&self, pool: &mut MutexGuard<'_, Pool>) -> Option<Vec<u8>> {
        if self.poll(pool) {
            return None;
        }
        let mut state = self.state(pool);
        match std::mem::replace(&mut *state, State::Running) {
            State::Queued(input) => {
                drop(state);
                pool.queued -= 1;
                Some(input)
            }
            other => {
                *state = other;
                None
            }
        }
    }

    /// Runs a task that was started, on this thread.
    fn run(&self, input: &[u8]) {
        let returned = within(&self.scope, || {
            panic::catch_unwind(AssertUnwindSafe(|| {
                local::apart(|| self.entry.task.run(input).wait())
            }))
        });
        let outcome = match returned {
            Ok(returned) => returned.map_err(JoinError::Failed),
            Err(payload) => Err(JoinError::Trapped(panic_text(&*payload))),
        };
        let mut pool = Pool::lock();
        // A task that was stopped has ended, and keeps what it ended with.
        if !self.poll(&mut pool) {
            *self.state(&pool) = State::Ended(outcome);
            pool.tasks -= 1;
            ENDED.notify_all();
        }
    }
}

fn work() {
    let mut pool = Pool::lock();
    loop {
        // This thread counts as idle here.
        match pool.queue.pop_front() {
            Some(task) => {
                if let Some(input) = task.start(&mut pool) {
                    pool.idle -= 1;
                    drop(pool);
                    task.run(&input);
                    pool = Pool::lock();
                    pool.idle += 1;
                }
            }
            None => {
                pool = QUEUED
                    .wait(pool)
                    .expect("no code that can panic holds this lock");
            }
        }
    }
}

pub(crate) struct RawTask(Arc<Task>);

impl RawTask {
    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }

    pub(crate) fn is_finished(&self) -> bool {
        stop_if_ended();
        self.0.poll(&mut Pool::lock())
    }

    pub(crate) fn join(self) -> Outcome {
        wait_any(&[&self]);
        let pool = Pool::lock();
        let mut state = self.0.state(&pool);
        match std::mem::replace(&mut *state, State::Ended(Err(JoinError::AlreadyJoined))) {
            State::Ended(outcome) => outcome,
            State::Queued(_) | State::Running => unreachable!("it was waited for"),
        }
    }

    /// Waits on a thread of its own.
    pub(crate) async fn join_async(self) -> Outcome {
        on_thread({
            let task = Self(Arc::clone(&self.0));
            move || {
                wait_any(&[&task]);
            }
        })
        .await;
        self.join()
    }

    pub(crate) fn cancel(&self) {
        let mut pool = Pool::lock();
        if !self.0.poll(&mut pool) {
            self.0.scope.cancelled.store(true, Ordering::Relaxed);
            self.0.poll(&mut pool);
        }
    }
}

#[derive(Default)]
pub(crate) struct Prepared {
    timeout: Option<Duration>,
    denied: Rights,
}

impl From<&Options> for Prepared {
    fn from(options: &Options) -> Self {
        Self {
            timeout: options.timeout,
            denied: options.denied,
        }
    }
}

pub(crate) fn spawn(
    entry: &'static Entry,
    input: Vec<u8>,
    options: &Prepared,
) -> Result<RawTask, SpawnError> {
    stop_if_ended();
    let parent = current();
    if parent.closed.load(Ordering::Relaxed) {
        return Err(SpawnError::Closed);
    }
    if !parent.may_spawn {
        return Err(SpawnError::Denied("this task may not spawn".to_string()));
    }
    if parent.depth == DEPTH_MAX {
        return Err(SpawnError::Limit(format!(
            "the limit of {DEPTH_MAX} levels of tasks was reached"
        )));
    }
    let mut pool = Pool::lock();
    if pool.tasks == TASKS_MAX {
        return Err(SpawnError::Limit(format!(
            "the limit of {TASKS_MAX} tasks in this process was reached"
        )));
    }
    let task = Arc::new(Task {
        id: pool.next_id,
        entry,
        scope: Arc::new(Scope {
            may_spawn: !options.denied.contains(Rights::SPAWN),
            // A time too far away to be counted is no limit.
            deadline: options
                .timeout
                .and_then(|timeout| Instant::now().checked_add(timeout)),
            depth: parent.depth + 1,
            parent: Some(parent),
            ..Scope::root()
        }),
        state: Mutex::new(State::Queued(input)),
    });
    pool.next_id += 1;
    pool.queued += 1;
    pool.tasks += 1;
    pool.queue.push_back(Arc::clone(&task));
    if !pool.keeps_up() && pool.threads < threads_max() {
        let started = thread::Builder::new()
            .name("hart task".to_string())
            .stack_size(STACK_BYTES)
            .spawn(work);
        // Without a thread, the task runs on a thread that waits for it.
        if started.is_ok() {
            pool.threads += 1;
            pool.idle += 1;
        }
    }
    QUEUED.notify_one();
    Ok(RawTask(task))
}

pub(crate) fn wait_any(tasks: &[&RawTask]) -> usize {
    let caller = current();
    let mut pool = Pool::lock();
    loop {
        if let Some(ended) = tasks.iter().position(|task| task.0.poll(&mut pool)) {
            return ended;
        }
        if caller.ended_early().is_some() && !thread::panicking() {
            drop(pool);
            stop_if_ended();
            pool = Pool::lock();
        }
        if !pool.keeps_up() {
            let started = tasks
                .iter()
                .find_map(|task| Some((task, task.0.start(&mut pool)?)));
            if let Some((task, input)) = started {
                drop(pool);
                task.0.run(&input);
                pool = Pool::lock();
                continue;
            }
        }
        let deadline = tasks
            .iter()
            .filter_map(|task| task.0.scope.next_deadline())
            .min();
        pool = match deadline {
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                ENDED.wait_timeout(pool, left).map(|(pool, _)| pool).ok()
            }
            None => ENDED.wait(pool).ok(),
        }
        .expect("no code that can panic holds this lock");
    }
}

pub(crate) fn yield_now() {
    stop_if_ended();
    thread::yield_now();
}

pub(crate) fn close() {
    let _pool = Pool::lock();
    current().closed.store(true, Ordering::Relaxed);
    ENDED.notify_all();
}

pub(crate) fn parallelism() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
