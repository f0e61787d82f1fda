//! Models of the executor's races, checked by loom: every interleaving within the preemption bound, and the
//! weak orderings too.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=2 \
//!     cargo test -p hart-executor --test loom --release --target-dir target/loom
//! ```
//!
//! A lost wake-up shows as a deadlock: a worker is parked for good, and loom says so. A value that is dropped
//! twice or never shows in its count.
//!
//! The models of the state word, of the run queue and of the idle word (the last searcher) are beside their
//! code, because the public interface would make them too big: the same command with `--lib` runs them.
#![cfg(loom)]

use hart_executor::{
    CurrentWorker, Executor, Group, Platform, Step, TaskRef, Worker, WorkerId, yield_now,
};
use loom::{
    sync::{Condvar, Mutex},
    thread,
};
use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};

// === the machine ===

loom::thread_local! {
    static CORE: Cell<Option<CurrentWorker>> = Cell::new(None);
}

/// loom's threads as cores.
struct LoomPlatform {
    parkers: Vec<(Mutex<bool>, Condvar)>,
    /// Nanoseconds that every look at a clock takes. The clock is not loom's: it orders nothing.
    tick: u64,
    clock: AtomicU64,
}

// SAFETY: the cell is a variable of the calling thread, loom's, which nothing but `set_current_worker` writes.
unsafe impl Platform for LoomPlatform {
    fn park(&self, worker: WorkerId, _: Option<u64>) {
        let (token, unparked) = &self.parkers[worker];
        let mut token = token.lock().unwrap();
        while !*token {
            token = unparked.wait(token).unwrap();
        }
        *token = false;
    }

    fn unpark(&self, worker: WorkerId) {
        let Some((token, unparked)) = self.parkers.get(worker) else {
            return;
        };
        *token.lock().unwrap() = true;
        unparked.notify_one();
    }

    fn now(&self) -> u64 {
        self.clock.fetch_add(self.tick, SeqCst)
    }

    fn cpu_time(&self) -> u64 {
        self.now()
    }

    fn current_worker(&self) -> Option<CurrentWorker> {
        CORE.try_with(Cell::get).unwrap_or(None)
    }

    unsafe fn set_current_worker(&self, worker: Option<CurrentWorker>) -> Option<CurrentWorker> {
        CORE.try_with(|cell| cell.replace(worker)).unwrap_or(None)
    }
}

fn executor(workers: usize) -> Executor {
    executor_with_clock(workers, 0)
}

fn executor_with_clock(workers: usize, tick: u64) -> Executor {
    let parkers = (0..workers)
        .map(|_| (Mutex::new(false), Condvar::new()))
        .collect();
    let platform = LoomPlatform {
        parkers,
        tick,
        clock: AtomicU64::new(0),
    };
    Executor::with_platform(workers, Arc::new(platform))
}

fn model(f: impl Fn() + Sync + Send + 'static) {
    builder().check(f);
}

/// With at most one preemption: for models that would take too long with two.
fn large_model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = builder();
    builder.preemption_bound = Some(1);
    builder.check(f);
}

fn builder() -> loom::model::Builder {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 20_000;
    builder
}

// === what the models are made of ===

/// Counts drops of the values it gives out. Its own atomics are not loom's: they order nothing.
#[derive(Clone, Default)]
struct Drops(Arc<AtomicUsize>);

struct Counted(Arc<AtomicUsize>);

impl Drops {
    fn value(&self) -> Counted {
        Counted(self.0.clone())
    }

    fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Something that is set once. Tasks wait for it without their thread; `block` keeps the thread.
#[derive(Clone)]
struct Event(Arc<EventState>);

struct EventState {
    set: Mutex<bool>,
    changed: Condvar,
    wakers: Mutex<Vec<Waker>>,
}

impl Event {
    fn new() -> Self {
        Self(Arc::new(EventState {
            set: Mutex::new(false),
            changed: Condvar::new(),
            wakers: Mutex::new(Vec::new()),
        }))
    }

    fn set(&self) {
        *self.0.set.lock().unwrap() = true;
        self.0.changed.notify_all();
        let wakers = std::mem::take(&mut *self.0.wakers.lock().unwrap());
        wakers.into_iter().for_each(Waker::wake);
    }

    fn block(&self) {
        let mut set = self.0.set.lock().unwrap();
        while !*set {
            set = self.0.changed.wait(set).unwrap();
        }
    }

    async fn wait(&self) {
        poll_fn(|cx| {
            // First the waker, then the look.
            self.0.wakers.lock().unwrap().push(cx.waker().clone());
            if *self.0.set.lock().unwrap() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// A task that has been polled once and waits; a waker of it; and the worker that polled it.
fn idle_task(
    executor: &Executor,
    drops: &Drops,
) -> (Worker, hart_executor::JoinHandle<Counted>, Waker) {
    let value = drops.value();
    let slot: Arc<std::sync::Mutex<Option<Waker>>> = Arc::default();
    let theirs = slot.clone();
    let mut polls = 0;
    let mut value = Some(value);
    let handle = executor.spawn(poll_fn(move |cx| {
        polls += 1;
        if polls > 1 {
            return Poll::Ready(value.take().unwrap());
        }
        *theirs.lock().unwrap() = Some(cx.waker().clone());
        Poll::Pending
    }));
    let mut worker = Worker::new(executor).unwrap();
    assert_eq!(worker.step(), Step::Stole(1));
    assert_eq!(worker.step(), Step::Polled);
    let waker = slot.lock().unwrap().take().unwrap();
    (worker, handle, waker)
}

// === wakes ===

/// Hunts: a wake between a future's last look at its condition and the end of the poll, and between that and
/// the worker's sleep.
#[test]
fn wake_against_poll() {
    model(|| {
        let executor = executor(1);
        let event = Event::new();
        let theirs = event.clone();
        let task = executor.spawn(async move { theirs.wait().await });
        let waker = thread::spawn(move || event.set());
        let mut worker = Worker::new(&executor).unwrap();
        worker.run(task).unwrap().unwrap();
        waker.join().unwrap();
    });
}

/// Hunts: a wake of an idle task while the only worker announces, looks once more and parks.
#[test]
fn wake_against_park() {
    model(|| {
        let executor = executor(1);
        let drops = Drops::default();
        let (mut worker, handle, waker) = idle_task(&executor, &drops);
        let waking = thread::spawn(move || waker.wake());
        drop(worker.run(handle).unwrap().unwrap());
        waking.join().unwrap();
        assert_eq!(drops.count(), 1);
    });
}

/// Hunts: a wake, whose reference is the last, against the completion that frees the task.
#[test]
fn wake_against_completion() {
    model(|| {
        let executor = executor(1);
        let drops = Drops::default();
        let value = drops.value();
        let slot: Arc<std::sync::Mutex<Option<Waker>>> = Arc::default();
        let theirs = slot.clone();
        let handle = executor.spawn(poll_fn(move |cx| {
            let _ = &value;
            *theirs.lock().unwrap() = Some(cx.waker().clone());
            Poll::Pending::<()>
        }));
        let mut worker = Worker::new(&executor).unwrap();
        worker.tick();
        let first = slot.lock().unwrap().take().unwrap();
        let task = handle.task();
        drop(handle);
        let waking = thread::spawn(move || first.wake());
        task.cancel();
        drop(task);
        worker.tick();
        waking.join().unwrap();
        drop((worker, executor));
        drop(slot);
        assert_eq!(drops.count(), 1);
    });
}

/// Hunts: a wake that takes its reference along against one that keeps it, both of the same idle task: one
/// of them queues it, once, and the references add up.
#[test]
fn wake_by_value_against_wake_by_ref() {
    model(|| {
        let executor = executor(1);
        let drops = Drops::default();
        let (mut worker, handle, waker) = idle_task(&executor, &drops);
        let other = waker.clone();
        let by_value = thread::spawn(move || waker.wake());
        let by_ref = thread::spawn(move || other.wake_by_ref());
        drop(worker.run(handle).unwrap().unwrap());
        by_value.join().unwrap();
        by_ref.join().unwrap();
        drop((worker, executor));
        assert_eq!(drops.count(), 1);
    });
}

// === close ===

/// Hunts: a task that is spawned while the executor closes: it enters the list of live tasks after the walk,
/// or its queue after that was emptied.
#[test]
fn spawn_against_close() {
    model(|| {
        let executor = executor(1);
        let drops = Drops::default();
        let value = drops.value();
        let theirs = executor.clone();
        let spawning = thread::spawn(move || {
            theirs.try_spawn(async move {
                let _value = value;
                std::future::pending::<()>().await;
            })
        });
        executor.close();
        let spawned = spawning.join().unwrap();
        assert_eq!(drops.count(), 1);
        assert_eq!(executor.pending_tasks(), 0);
        assert!(executor.injector().is_empty());
        if let Ok(mut handle) = spawned {
            let Poll::Ready(Err(error)) = poll_once(&mut handle) else {
                panic!("the handle of a closed executor's task does not resolve")
            };
            assert!(error.is_closed());
        }
    });
}

/// Hunts: a wake that queues a task while the executor closes and empties the queues.
#[test]
fn wake_against_close() {
    model(|| {
        let executor = executor(1);
        let drops = Drops::default();
        let (worker, handle, waker) = idle_task(&executor, &drops);
        drop(handle);
        let waking = thread::spawn(move || waker.wake());
        executor.close();
        waking.join().unwrap();
        assert_eq!(drops.count(), 1);
        assert!(executor.injector().is_empty());
        assert_eq!(worker.scheduler().queue_len(), 0);
    });
}

/// Hunts: a worker that announces and parks while another thread closes.
#[test]
fn park_against_close() {
    model(|| {
        let executor = executor(1);
        let theirs = executor.clone();
        let closing = thread::spawn(move || theirs.close());
        if let Ok(mut worker) = Worker::new(&executor) {
            assert!(worker.run(std::future::pending::<()>()).is_err());
        }
        closing.join().unwrap();
    });
}

/// Hunts: the last handle goes while a waker is used elsewhere: the close that this implies against the
/// wake, and who frees what.
#[test]
fn last_handle_against_waker() {
    model(|| {
        let executor = executor(1);
        let drops = Drops::default();
        let (worker, handle, waker) = idle_task(&executor, &drops);
        drop(executor);
        let waking = thread::spawn(move || {
            waker.wake_by_ref();
            drop(waker);
        });
        drop(worker);
        drop(handle);
        waking.join().unwrap();
        assert_eq!(drops.count(), 1);
    });
}

// === cancel ===

/// Hunts: a cancel that finds the task queued, running, to be polled again or idle: one of the two sides drops
/// the future, and the joiner is told.
#[test]
fn cancel_against_poll() {
    model(|| {
        let executor = executor(1);
        let drops = Drops::default();
        let value = drops.value();
        let handle = executor.spawn(async move {
            let _value = value;
            yield_now().await;
            std::future::pending::<()>().await;
        });
        let task = handle.task();
        let canceling = thread::spawn(move || task.cancel());
        let mut worker = Worker::new(&executor).unwrap();
        let joined = worker.run(handle).unwrap();
        canceling.join().unwrap();
        assert!(joined.is_err_and(|error| error.is_cancelled()));
        assert_eq!(drops.count(), 1);
    });
}

/// Hunts: a cancel of a task that is idle or just being woken by another thread.
#[test]
fn cancel_against_wake() {
    model(|| {
        let executor = executor(1);
        let drops = Drops::default();
        let (mut worker, handle, waker) = idle_task(&executor, &drops);
        let waking = thread::spawn(move || waker.wake());
        handle.cancel();
        let joined = worker.run(handle).unwrap();
        assert!(joined.is_err_and(|error| error.is_cancelled()));
        waking.join().unwrap();
        drop((worker, executor));
        assert_eq!(drops.count(), 1);
    });
}

/// Hunts: a cancel against the completion: the joiner has the output or is told of the cancel, and whatever it has not
/// is dropped once.
#[test]
fn cancel_against_completion() {
    model(|| {
        let executor = executor(1);
        let drops = Drops::default();
        let (held, value) = (drops.value(), drops.value());
        let handle = executor.spawn(async move {
            let _held = held;
            value
        });
        let task = handle.task();
        let canceling = thread::spawn(move || task.cancel());
        let mut worker = Worker::new(&executor).unwrap();
        let joined = worker.run(handle).unwrap();
        assert!(
            joined
                .as_ref()
                .map_or_else(|error| error.is_cancelled(), |_| true)
        );
        drop(joined);
        canceling.join().unwrap();
        assert_eq!(drops.count(), 2);
        assert_eq!(executor.pending_tasks(), 0);
    });
}

/// Hunts: two cancels of one task: one drops the future.
#[test]
fn cancel_against_cancel() {
    model(|| {
        let executor = executor(1);
        let drops = Drops::default();
        let (worker, handle, waker) = idle_task(&executor, &drops);
        let task: TaskRef = handle.task();
        let canceling = thread::spawn(move || task.cancel());
        handle.cancel();
        drop(handle);
        drop(waker);
        canceling.join().unwrap();
        assert_eq!(drops.count(), 1);
        drop(worker);
    });
}

// === join ===

/// Hunts: a joiner that polls, polls with another waker and waits, against the completion: who reads the
/// waker field, who writes it, who drops it.
#[test]
fn join_poll_against_completion() {
    model(|| {
        let executor = executor(1);
        let drops = Drops::default();
        let value = drops.value();
        let mut handle = executor.spawn(async move { value });
        let running = thread::spawn(move || {
            let mut worker = Worker::new(&executor).unwrap();
            worker.tick();
        });
        match poll_once(&mut handle) {
            Poll::Ready(output) => drop(output),
            Poll::Pending => drop(loom::future::block_on(handle)),
        }
        running.join().unwrap();
        assert_eq!(drops.count(), 1);
    });
}

/// Hunts: a handle that was polled once and is dropped, against the completion: the waker and the output are
/// dropped once each.
#[test]
fn join_drop_against_completion() {
    model(|| {
        let executor = executor(1);
        let drops = Drops::default();
        let wakers = Drops::default();
        let value = drops.value();
        let mut handle = executor.spawn(async move { value });
        let running = thread::spawn(move || {
            let mut worker = Worker::new(&executor).unwrap();
            worker.tick();
        });
        let waker = Waker::from(Arc::new(DropWaker(wakers.value())));
        let polled = pin!(&mut handle).poll(&mut Context::from_waker(&waker));
        drop(waker);
        drop(handle);
        drop(polled);
        running.join().unwrap();
        assert_eq!(drops.count(), 1);
        assert_eq!(wakers.count(), 1);
    });
}

struct DropWaker(#[expect(dead_code, reason = "dropped, not read")] Counted);

impl std::task::Wake for DropWaker {
    fn wake(self: Arc<Self>) {}
}

/// Hunts: a handle that was polled here and is joined on another thread, against the completion.
#[test]
fn join_move_against_completion() {
    model(|| {
        let executor = executor(1);
        let drops = Drops::default();
        let value = drops.value();
        let mut handle = executor.spawn(async move { value });
        let first = poll_once(&mut handle);
        assert!(first.is_pending());
        let joining = thread::spawn(move || drop(loom::future::block_on(handle)));
        let mut worker = Worker::new(&executor).unwrap();
        worker.tick();
        joining.join().unwrap();
        assert_eq!(drops.count(), 1);
    });
}

// === queues ===

/// Hunts: a thief and the owner at one queue: every task is polled once, whoever has it.
#[test]
fn steal_against_pop() {
    model(|| {
        let executor = executor(2);
        let drops = Drops::default();
        let mut worker = Worker::new(&executor).unwrap();
        for _ in 0..2 {
            let value = drops.value();
            drop(executor.spawn(async move { drop(value) }));
        }
        assert_eq!(
            executor
                .injector()
                .try_steal()
                .unwrap()
                .spawn_n(&worker.scheduler(), 2),
            2
        );
        let theirs = executor.clone();
        let thief = thread::spawn(move || {
            let mut worker = Worker::new(&theirs).unwrap();
            while worker.tick().polled > 0 {}
        });
        while worker.tick().polled > 0 {}
        thief.join().unwrap();
        // What the owner found busy may be left; the thief has given the queue back.
        while worker.tick().polled > 0 {}
        assert_eq!(drops.count(), 2);
        assert_eq!(executor.pending_tasks(), 0);
    });
}

/// Hunts: a push to the injector while a worker drains it: the worker sees the task, or is woken.
#[test]
fn push_against_drain() {
    model(|| {
        let executor = executor(1);
        let event = Event::new();
        let theirs = executor.clone();
        let done = event.clone();
        let pushing = thread::spawn(move || {
            drop(theirs.spawn(async {}));
            drop(theirs.spawn(async move { done.set() }));
        });
        let mut worker = Worker::new(&executor).unwrap();
        worker.run(event.wait()).unwrap();
        pushing.join().unwrap();
    });
}

// === sleeping ===

/// Hunts: a task that is queued on a busy worker while the other sleeps. The first task keeps its worker until
/// the second has run, so the other worker has to come.
#[test]
fn nobody_sleeps_beside_queued_work() {
    model(|| {
        let executor = executor(2);
        let theirs = executor.clone();
        let other = thread::spawn(move || {
            if let Ok(mut worker) = Worker::new(&theirs) {
                assert!(worker.run(std::future::pending::<()>()).is_err());
            }
        });
        let event = Event::new();
        let waiting = event.clone();
        let mut worker = Worker::new(&executor).unwrap();
        let inside = executor.clone();
        worker
            .run(async move {
                drop(inside.spawn(async move { event.set() }));
                // Keeps the thread: whoever is left has to run the task.
                waiting.block();
            })
            .unwrap();
        executor.close();
        other.join().unwrap();
    });
}

/// Hunts: tasks that a worker takes from the injector without being a searcher, and that nobody else sees while
/// they are on their way to its queue: the other, which looked meanwhile and fell asleep, has to be woken for
/// the surplus.
#[test]
fn surplus_of_a_tick() {
    large_model(|| {
        let executor = executor(2);
        let event = Event::new();
        let (waiting, done) = (event.clone(), event.clone());
        drop(executor.spawn(async move { waiting.block() }));
        drop(executor.spawn(async move { event.set() }));
        let mut worker = Worker::new(&executor).unwrap();
        let theirs = executor.clone();
        let other = thread::spawn(move || {
            if let Ok(mut worker) = Worker::new(&theirs) {
                assert!(worker.run(std::future::pending::<()>()).is_err());
            }
        });
        // Whoever has the first is stuck until the other has run the second.
        worker.tick();
        worker.run(done.wait()).unwrap();
        executor.close();
        other.join().unwrap();
    });
}

// === the fair lane ===

/// Hunts: a push into the fair lane while the only worker falls asleep.
#[test]
fn fair_lane_push_against_park() {
    model(|| {
        let executor = executor(1);
        let drops = Drops::default();
        let group = executor.group().build();
        let theirs = executor.clone();
        let other = thread::spawn(move || {
            if let Ok(mut worker) = Worker::new(&theirs) {
                assert!(worker.run(std::future::pending::<()>()).is_err());
            }
        });
        let value = drops.value();
        let task = executor
            .build_task()
            .group(&group)
            .spawn(async move { drop(value) });
        loom::future::block_on(task).unwrap();
        executor.close();
        other.join().unwrap();
        assert_eq!(drops.count(), 1);
        assert_eq!(group.stats().live_tasks, 0);
    });
}

/// Hunts: two workers at the fair lane, with a task that goes back into it: each task is polled as often as it
/// was queued, by one worker at a time, whoever has it.
#[test]
fn fair_lane_with_two_workers() {
    model(|| {
        let executor = executor(2);
        let drops = Drops::default();
        let group = executor.group().build();
        for _ in 0..2 {
            let value = drops.value();
            let spawned = executor.build_task().group(&group).spawn(async move {
                let _value = value;
                yield_now().await;
            });
            drop(spawned);
        }
        let mut worker = Worker::new(&executor).unwrap();
        let theirs = executor.clone();
        let other = thread::spawn(move || {
            let mut worker = Worker::new(&theirs).unwrap();
            while worker.tick().polled > 0 {}
        });
        while worker.tick().polled > 0 {}
        other.join().unwrap();
        while worker.tick().polled > 0 {}
        assert_eq!(drops.count(), 2);
        assert_eq!(group.stats().polls, 4);
        assert_eq!(group.stats().live_tasks, 0);
    });
}

/// Hunts: a push from outside, two workers that pull, and charges at preemption points and at the ends of polls, all of
/// two groups at the same time: a task that is lost or polled twice, a poll that is charged to another group, a
/// group that competes for ever or not any more.
#[test]
fn fair_lane_push_pull_and_charge() {
    large_model(|| {
        let executor = executor_with_clock(2, 1_000);
        let drops = Drops::default();
        let groups = [50, 100].map(|weight| executor.group().weight(weight).build());
        let spawn = |executor: &Executor, group: &Group| {
            let (value, its) = (drops.value(), group.clone());
            let task = async move {
                let _value = value;
                let _ = its.preemption_point();
                yield_now().await;
            };
            drop(executor.build_task().group(group).spawn(task));
        };
        spawn(&executor, &groups[0]);
        spawn(&executor, &groups[1]);
        let mut worker = Worker::new(&executor).unwrap();
        let theirs = executor.clone();
        let other = thread::spawn(move || {
            let mut worker = Worker::new(&theirs).unwrap();
            while worker.tick().polled > 0 {}
        });
        spawn(&executor, &groups[0]);
        while worker.tick().polled > 0 {}
        other.join().unwrap();
        while worker.tick().polled > 0 {}
        assert_eq!(drops.count(), 3);
        for (group, polls) in groups.iter().zip([4, 2]) {
            let stats = group.stats();
            assert_eq!((stats.polls, stats.live_tasks), (polls, 0));
            // Each poll looks at the clock a few times.
            assert!(stats.cpu_time.as_nanos() >= 1_000 * u128::from(polls));
        }
        assert!(!executor.has_waiting());
        assert_eq!(executor.shortest_slice(), None, "nobody competes");
    });
}

/// Hunts: a close while one worker polls a group's task that goes back into the lane, and another task waits there.
#[test]
fn fair_lane_close_against_pull() {
    model(|| {
        let executor = executor(1);
        let drops = Drops::default();
        let group = executor.group().build();
        for _ in 0..2 {
            let value = drops.value();
            let task = async move {
                let _value = value;
                yield_now().await;
            };
            drop(executor.build_task().group(&group).spawn(task));
        }
        let theirs = executor.clone();
        let closing = thread::spawn(move || theirs.close());
        if let Ok(mut worker) = Worker::new(&executor) {
            worker.tick_n(2);
        }
        closing.join().unwrap();
        assert_eq!(drops.count(), 2);
        assert_eq!(group.stats().live_tasks, 0);
        assert_eq!(executor.shortest_slice(), None, "nobody competes");
    });
}

// === whole executors ===

/// Hunts: one worker whose tasks spawn, yield and join each other.
#[test]
fn single_threaded() {
    model(|| {
        let executor = executor(1);
        let drops = Drops::default();
        let (inside, its) = (executor.clone(), drops.clone());
        let task = executor.spawn(async move {
            let values = [its.value(), its.value()];
            let children = values.map(|value| {
                inside.spawn(async move {
                    yield_now().await;
                    value
                })
            });
            for child in children {
                drop(child.await.unwrap());
            }
        });
        let mut worker = Worker::new(&executor).unwrap();
        worker.run(task).unwrap().unwrap();
        assert_eq!(drops.count(), 2);
        assert_eq!(executor.pending_tasks(), 0);
    });
}

/// Hunts: three workers, of which one polls a task that closes the executor: each of them returns, whatever it was
/// about, and each task is dropped once.
#[test]
fn multi_threaded() {
    large_model(|| {
        let executor = executor(3);
        let drops = Drops::default();
        for _ in 0..2 {
            let value = drops.value();
            drop(executor.spawn(async move {
                let _value = value;
                yield_now().await;
            }));
        }
        let (value, theirs) = (drops.value(), executor.clone());
        drop(executor.spawn(async move {
            let _value = value;
            theirs.close();
        }));
        let workers = [(); 2].map(|()| {
            let executor = executor.clone();
            thread::spawn(move || {
                if let Ok(mut worker) = Worker::new(&executor) {
                    assert!(worker.run(std::future::pending::<()>()).is_err());
                }
            })
        });
        if let Ok(mut worker) = Worker::new(&executor) {
            assert!(worker.run(std::future::pending::<()>()).is_err());
        }
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(drops.count(), 3);
        assert_eq!(executor.pending_tasks(), 0);
    });
}

/// Hunts: a join handle that another thread waits for, against the worker that completes the task.
#[test]
fn join_handle_cross_thread() {
    model(|| {
        let executor = executor(1);
        let drops = Drops::default();
        let value = drops.value();
        let handle = executor.spawn(async move {
            yield_now().await;
            value
        });
        let joining = thread::spawn(move || drop(loom::future::block_on(handle).unwrap()));
        let mut worker = Worker::new(&executor).unwrap();
        while executor.pending_tasks() > 0 {
            worker.tick();
        }
        joining.join().unwrap();
        assert_eq!(drops.count(), 1);
    });
}

/// Hunts: a wake from another thread while a worker that another executor polls falls asleep.
#[test]
fn awaited_worker_against_wake() {
    model(|| {
        let executor = executor(1);
        let drops = Drops::default();
        let (mut worker, handle, waker) = idle_task(&executor, &drops);
        let waking = thread::spawn(move || waker.wake());
        drop(
            loom::future::block_on(worker.run_async(handle))
                .unwrap()
                .unwrap(),
        );
        waking.join().unwrap();
        assert_eq!(drops.count(), 1);
    });
}
