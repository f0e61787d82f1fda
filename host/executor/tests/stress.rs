//! Everything at once on real threads: spawns, wakes and cancels from outside, workers that come and go, both
//! lanes. In the end every count has to add up.
//!
//! ```text
//! HART_STRESS_SECONDS=60 cargo test -p hart-executor --release --test stress -- --ignored
//! ```
#![cfg(not(loom))]

mod common;

use common::{Counted, CountingAllocator, Drops, Wakers, block_on};
use hart_executor::{
    CurrentWorker, Executor, Group, JoinHandle, Platform, StdPlatform, Worker, WorkerId, yield_now,
};
use std::{
    future::{pending, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    thread,
    time::{Duration, Instant},
};

/// Threads, of which two are a domain.
struct Pairs(StdPlatform);

// SAFETY: the cell is that of `StdPlatform`.
unsafe impl Platform for Pairs {
    fn park(&self, worker: WorkerId, until: Option<u64>) {
        self.0.park(worker, until);
    }
    fn unpark(&self, worker: WorkerId) {
        self.0.unpark(worker);
    }
    fn now(&self) -> u64 {
        self.0.now()
    }
    fn cpu_time(&self) -> u64 {
        self.0.cpu_time()
    }
    fn domains(&self, workers: usize) -> usize {
        workers / 2
    }
    fn domain_of(&self, worker: WorkerId) -> usize {
        worker / 2
    }
    fn current_worker(&self) -> Option<CurrentWorker> {
        self.0.current_worker()
    }
    unsafe fn set_current_worker(&self, worker: Option<CurrentWorker>) -> Option<CurrentWorker> {
        // SAFETY: the caller's.
        unsafe { self.0.set_current_worker(worker) }
    }
}

/// What all threads of the test share.
struct Stress {
    executor: Executor,
    groups: Vec<Group>,
    memory: CountingAllocator,
    futures: Drops,
    outputs: Drops,
    wakers: Wakers,
    stop: AtomicBool,
    spawned: AtomicUsize,
    joined: AtomicUsize,
    cancelled: AtomicUsize,
    detached: AtomicUsize,
}

impl Stress {
    /// A task that yields, waits for a wake, spawns a child, or all of it.
    fn spawn(&self, random: &mut fastrand::Rng) -> JoinHandle<Counted> {
        let (value, outputs) = (self.futures.value(), self.outputs.clone());
        let group = self.groups.get(random.usize(..self.groups.len() * 2));
        let (yields, waits) = (random.usize(..4), random.bool());
        let child = random.u8(..4) == 0;
        let (wakers, inside, memory) = (
            self.wakers.clone(),
            self.executor.clone(),
            self.memory.clone(),
        );
        self.spawned.fetch_add(1, SeqCst);
        let builder = self.executor.build_task().group(group);
        let task = async move {
            let _value = value;
            for _ in 0..yields {
                yield_now().await;
            }
            if child {
                let child = inside.try_spawn_in(yield_now(), memory);
                if let Ok(child) = child {
                    let _ = child.await;
                }
            }
            if waits {
                let mut woken = false;
                poll_fn(|cx| {
                    if std::mem::replace(&mut woken, true) {
                        return Poll::Ready(());
                    }
                    wakers.keep(cx);
                    Poll::Pending
                })
                .await;
            }
            outputs.value()
        };
        // In memory of an allocator of its own, or from the pool.
        if random.bool() {
            builder.try_spawn_in(task, self.memory.clone()).unwrap()
        } else {
            builder.spawn(task)
        }
    }

    /// Spawns from outside, and joins, cancels, detaches what it spawned.
    fn spawner(&self, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut handles = Vec::new();
        while !self.stop.load(SeqCst) {
            for _ in 0..random.usize(1..40) {
                handles.push(self.spawn(&mut random));
            }
            while handles.len() > 20 {
                let mut handle = handles.swap_remove(random.usize(..handles.len()));
                match random.u8(..6) {
                    0 => {
                        handle.cancel();
                        let result = block_on(handle);
                        assert!(result.is_ok() || result.is_err_and(|error| error.is_cancelled()));
                        self.cancelled.fetch_add(1, SeqCst);
                    }
                    1 => {
                        let _ = common::poll_once(&mut handle).map(drop);
                        drop(handle);
                        self.detached.fetch_add(1, SeqCst);
                    }
                    _ => {
                        drop(block_on(handle).unwrap());
                        self.joined.fetch_add(1, SeqCst);
                    }
                }
            }
        }
        for handle in handles {
            drop(block_on(handle).unwrap());
            self.joined.fetch_add(1, SeqCst);
        }
    }

    /// Wakes whoever waits: by value, by reference, twice.
    fn waker(&self, done: &AtomicBool) {
        while !done.load(SeqCst) {
            for (i, waker) in self.wakers.take().into_iter().enumerate() {
                match i % 3 {
                    0 => waker.wake(),
                    1 => waker.wake_by_ref(),
                    _ => {
                        waker.wake_by_ref();
                        waker.wake();
                    }
                }
            }
            thread::yield_now();
        }
    }

    /// A worker that is retired and replaced again and again.
    fn comes_and_goes(&self, done: &AtomicBool) {
        let mut random = fastrand::Rng::with_seed(7);
        while !done.load(SeqCst) {
            let Ok(mut worker) = Worker::new(&self.executor) else {
                return;
            };
            let mut yields = random.usize(1..50);
            match random.u8(..3) {
                0 => {
                    let _ = worker.tick();
                }
                1 => {
                    for _ in 0..yields {
                        let _ = worker.step();
                    }
                }
                _ => {
                    let mut yielding = pin!(poll_fn(|cx| {
                        yields -= 1;
                        cx.waker().wake_by_ref();
                        if yields == 0 {
                            Poll::Ready(())
                        } else {
                            Poll::Pending
                        }
                    }));
                    let _ = worker.run(yielding.as_mut());
                }
            }
        }
    }
}

/// Hunts: whatever nobody thought of. A lost wake-up shows as a hang, which is guarded by progress, not by time:
/// a joiner that waits for a whole minute while nothing is spawned or joined anywhere.
///
/// Fails if `notify` is removed from `enqueue`, or `FinishPoll::Requeue` is taken for `Idle`.
#[test]
#[ignore = "runs for HART_STRESS_SECONDS, 10 by default"]
fn everything_at_once() {
    run(Executor::with_capacity(2), 2);
}

/// Hunts: the same where there are three lanes, with two workers each.
#[test]
#[ignore = "runs for HART_STRESS_SECONDS, 10 by default"]
fn everything_at_once_in_three_domains() {
    let pairs = Pairs(StdPlatform::new());
    run(Executor::with_platform(6, Arc::new(pairs)), 5);
}

/// With so many workers that stay, and one that comes and goes.
fn run(executor: Executor, workers: usize) {
    let seconds = std::env::var("HART_STRESS_SECONDS")
        .ok()
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(10);
    let tenant = executor.tenant().build();
    let stress = Stress {
        groups: (0..4)
            .map(|i| {
                let group = executor.group().weight(1 + i * 50);
                if i < 2 { group.tenant(&tenant) } else { group }.build()
            })
            .collect(),
        executor,
        memory: CountingAllocator::default(),
        futures: Drops::new(),
        outputs: Drops::new(),
        wakers: Wakers::default(),
        stop: AtomicBool::new(false),
        spawned: AtomicUsize::new(0),
        joined: AtomicUsize::new(0),
        cancelled: AtomicUsize::new(0),
        detached: AtomicUsize::new(0),
    };
    let done = AtomicBool::new(false);
    let last_progress = Mutex::new((0, Instant::now()));
    thread::scope(|threads| {
        for _ in 0..workers {
            threads.spawn(|| {
                let mut worker = Worker::new(&stress.executor).unwrap();
                assert!(worker.run(pending::<()>()).is_err());
            });
        }
        threads.spawn(|| stress.comes_and_goes(&done));
        threads.spawn(|| stress.waker(&done));
        let spawners: Vec<_> = (0..2)
            .map(|seed| {
                let stress = &stress;
                threads.spawn(move || stress.spawner(seed))
            })
            .collect();
        let end = Instant::now() + Duration::from_secs(seconds);
        while !spawners.iter().all(|spawner| spawner.is_finished()) {
            thread::sleep(Duration::from_millis(10));
            if Instant::now() >= end {
                stress.stop.store(true, SeqCst);
            }
            let now = stress.spawned.load(SeqCst) + stress.joined.load(SeqCst);
            let mut last = last_progress.lock().unwrap();
            if now != last.0 {
                *last = (now, Instant::now());
            } else if last.1.elapsed() > Duration::from_secs(60) {
                eprintln!("no progress for a minute: a wake-up was lost");
                std::process::abort();
            }
        }
        for spawner in spawners {
            spawner.join().unwrap();
        }
        // What was detached still runs.
        while stress.executor.pending_tasks() > 0 {
            thread::sleep(Duration::from_millis(1));
        }
        done.store(true, SeqCst);
        stress.executor.close();
    });
    let count = |count: &AtomicUsize| count.load(SeqCst);
    assert_eq!(
        count(&stress.spawned),
        count(&stress.joined) + count(&stress.cancelled) + count(&stress.detached)
    );
    for group in &stress.groups {
        let stats = group.stats();
        assert_eq!(stats.live_tasks, 0);
        assert!(stats.spawns > 0 && stats.polls >= stats.spawns / 2);
    }
    drop((stress.wakers.take(), tenant));
    stress.futures.assert_all_once();
    stress.outputs.assert_all_once();
    drop((stress.executor, stress.groups));
    assert_eq!(stress.memory.out(), 0);
    eprintln!("{} tasks", count(&stress.spawned));
}
