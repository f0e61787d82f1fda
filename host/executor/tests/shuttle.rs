//! The whole executor under shuttle: random schedules, and schedules with few preemptions at the worst places (PCT),
//! over trees of tasks with cancels, panics, workers that come and go, and a close at any moment. In both lanes.
//!
//! ```text
//! RUSTFLAGS="--cfg shuttle" cargo test --release -p hart-executor --test shuttle --target-dir target/shuttle
//! ```
//!
//! `HART_SHUTTLE_SCHEDULES` says how many schedules each test tries (1,000 where it is not set). A failure prints a
//! schedule that `shuttle::replay` runs again. Rings and lists are as small as under loom, so that they overflow.
#![cfg(shuttle)]

use hart_executor::{
    CurrentWorker, Executor, Group, JoinHandle, Platform, Worker, WorkerId, yield_now,
};
use shuttle::{
    Config, Runner,
    rand::{Rng, thread_rng},
    scheduler::{PctScheduler, RandomScheduler},
    sync::{Condvar, Mutex},
    thread,
};
use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
};

shuttle::thread_local! {
    static CORE: Cell<Option<CurrentWorker>> = Cell::new(None);
}

/// Threads are cores; the clock moves on by 10 us at every look. All are coroutines of one thread, so a lock may be poisoned
/// by a task that panics elsewhere meanwhile.
struct Machine {
    domains: usize,
    parkers: Vec<(Mutex<bool>, Condvar)>,
    clock: AtomicU64,
}

impl Machine {
    fn new(domains: usize) -> Arc<Self> {
        Arc::new(Self {
            domains,
            parkers: (0..9)
                .map(|_| (Mutex::new(false), Condvar::new()))
                .collect(),
            clock: AtomicU64::new(0),
        })
    }
}

// SAFETY: the cell is a variable of the calling thread, shuttle's, which nothing but `set_current_worker` writes.
unsafe impl Platform for Machine {
    fn park(&self, worker: WorkerId, until: Option<u64>) {
        let (token, unparked) = &self.parkers[worker];
        let mut token = token.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody moves the clock while all sleep: a park until some time ends at once.
        while !*token && until.is_none() {
            let woken = unparked.wait(token);
            token = woken.unwrap_or_else(PoisonError::into_inner);
        }
        *token = false;
    }

    fn unpark(&self, worker: WorkerId) {
        let (token, unparked) = &self.parkers[worker];
        *token.lock().unwrap_or_else(PoisonError::into_inner) = true;
        unparked.notify_one();
    }

    fn now(&self) -> u64 {
        self.clock.fetch_add(10_000, SeqCst)
    }

    fn cpu_time(&self) -> u64 {
        self.clock.load(SeqCst)
    }

    fn domains(&self, _: usize) -> usize {
        self.domains
    }

    fn domain_of(&self, worker: WorkerId) -> usize {
        worker / 2
    }

    fn current_worker(&self) -> Option<CurrentWorker> {
        CORE.with(Cell::get)
    }

    unsafe fn set_current_worker(&self, worker: Option<CurrentWorker>) -> Option<CurrentWorker> {
        CORE.with(|cell| cell.replace(worker))
    }
}

/// Values that count their drops.
#[derive(Clone, Default)]
struct Drops(Arc<(AtomicUsize, AtomicUsize)>);

struct Counted(Drops);

impl Drops {
    fn value(&self) -> Counted {
        self.0.0.fetch_add(1, SeqCst);
        Counted(self.clone())
    }

    fn assert_all_once(&self) {
        let (given, dropped) = (self.0.0.load(SeqCst), self.0.1.load(SeqCst));
        assert_eq!(dropped, given, "drops against values");
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.1.fetch_add(1, SeqCst);
    }
}

#[derive(Clone)]
struct Scene {
    executor: Executor,
    groups: Vec<Group>,
    drops: Drops,
}

impl Scene {
    fn new(groups: usize, domains: usize) -> Self {
        let executor = Executor::with_platform(2 * domains, Machine::new(domains));
        let groups = (0..groups)
            .map(|i| executor.group().weight(50 + 100 * i as u32).build())
            .collect();
        Self {
            executor,
            groups,
            drops: Drops::default(),
        }
    }

    fn worker(&self) -> thread::JoinHandle<()> {
        let executor = self.executor.clone();
        thread::spawn(move || {
            if let Ok(mut worker) = Worker::new(&executor) {
                assert!(worker.run(std::future::pending::<()>()).is_err());
            }
        })
    }

    /// A worker that polls a few tasks and goes.
    fn visitor(&self) -> thread::JoinHandle<()> {
        let executor = self.executor.clone();
        thread::spawn(move || {
            if let Ok(mut worker) = Worker::new(&executor) {
                worker.tick_n(2);
            }
        })
    }

    /// Spawns a task that spawns others, `depth` deep, and now and then panics; `None` once it is closed.
    fn spawn(&self, depth: usize) -> Option<JoinHandle<Counted>> {
        let (scene, value, output) = (self.clone(), self.drops.value(), self.drops.value());
        let what = thread_rng().gen_range(0..6);
        let task: Pin<Box<dyn Future<Output = Counted> + Send>> = Box::pin(async move {
            let _value = value;
            if depth > 0 {
                let children = [(); 2].map(|()| scene.spawn(depth - 1));
                yield_now().await;
                for (i, child) in children.into_iter().flatten().enumerate() {
                    match (what, i) {
                        (0, _) => drop(child),
                        (1, 0) => child.cancel(),
                        _ => drop(child.await),
                    }
                }
            } else if what == 2 {
                // A wake of itself by value, during the poll.
                let mut woken = false;
                poll_fn(|cx| {
                    if std::mem::replace(&mut woken, true) {
                        return Poll::Ready(());
                    }
                    cx.waker().clone().wake();
                    Poll::Pending
                })
                .await;
            } else if what == 3 {
                std::panic::resume_unwind(Box::new(scene.drops.value()));
            }
            output
        });
        let group = match self.groups.len() {
            0 => None,
            n => Some(&self.groups[thread_rng().gen_range(0..n)]),
        };
        self.executor.build_task().group(group).try_spawn(task).ok()
    }
}

/// Everything ends, whatever the schedule: nobody sleeps beside queued work (shuttle reports that as a deadlock).
fn all_end(groups: usize, domains: usize) {
    let scene = Scene::new(groups, domains);
    let workers: Vec<_> = (0..2 * domains).map(|_| scene.worker()).collect();
    let visitor = scene.visitor();
    let roots: Vec<_> = (0..2).filter_map(|_| scene.spawn(2)).collect();
    let cancelled = scene.spawn(1).expect("nobody closes it yet");
    cancelled.cancel();
    for root in roots {
        drop(shuttle::future::block_on(root));
    }
    if let Err(error) = shuttle::future::block_on(cancelled) {
        assert!(error.is_cancelled() || error.is_panic());
    }
    visitor.join().unwrap();
    scene.executor.close();
    for worker in workers {
        worker.join().unwrap();
    }
    assert_eq!(scene.executor.pending_tasks(), 0);
    let drops = scene.drops.clone();
    drop(scene);
    drops.assert_all_once();
}

/// A close at any moment: every handle resolves, every `run` returns, everything is dropped once.
fn close_at_any_moment(groups: usize, domains: usize) {
    let scene = Scene::new(groups, domains);
    let workers: Vec<_> = (0..2 * domains).map(|_| scene.worker()).collect();
    let executor = scene.executor.clone();
    let closer = thread::spawn(move || executor.close());
    let visitor = scene.visitor();
    let roots: Vec<_> = (0..2).filter_map(|_| scene.spawn(1)).collect();
    for root in roots {
        if let Err(error) = shuttle::future::block_on(root) {
            assert!(error.is_closed() || error.is_panic() || error.is_cancelled());
        }
    }
    closer.join().unwrap();
    visitor.join().unwrap();
    for worker in workers {
        worker.join().unwrap();
    }
    assert!(scene.spawn(0).is_none());
    assert_eq!(scene.executor.pending_tasks(), 0);
    let drops = scene.drops.clone();
    drop(scene);
    drops.assert_all_once();
}

fn check(model: impl Fn() + Send + Sync + Copy + 'static) {
    let schedules = std::env::var("HART_SHUTTLE_SCHEDULES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_000);
    let mut config = Config::new();
    // A closed executor drops trees of tasks on the closer's stack.
    config.stack_size = 1 << 20;
    Runner::new(RandomScheduler::new(schedules), config.clone()).run(model);
    Runner::new(PctScheduler::new(3, schedules), config).run(model);
}

/// Hunts: a lost wake, a task that is polled twice at once or dropped twice, in the fast lane.
#[test]
fn fast_lane_all_end() {
    check(|| all_end(0, 1));
}

/// Hunts: the same in the fair lane, with two groups.
#[test]
fn fair_lane_all_end() {
    check(|| all_end(2, 1));
}

/// Hunts: the same where tasks go from lane to lane: six workers, two in each domain.
#[test]
fn three_domains_all_end() {
    check(|| all_end(3, 3));
}

/// Hunts: what a close meets on its way from lane to lane.
#[test]
fn three_domains_close_at_any_moment() {
    check(|| close_at_any_moment(3, 3));
}

/// Hunts: whatever a close may meet half done.
#[test]
fn fast_lane_close_at_any_moment() {
    check(|| close_at_any_moment(0, 1));
}

/// Hunts: the same in the fair lane.
#[test]
fn fair_lane_close_at_any_moment() {
    check(|| close_at_any_moment(2, 1));
}
