//! Several lanes: where tasks go, who takes them, and that a group is one for the whole machine.
#![cfg(not(any(loom, shuttle)))]

mod common;

use common::CountingAllocator;
use hart_executor::{CurrentWorker, Executor, Group, Platform, Step, Verdict, Worker, WorkerId};
use std::{
    cell::Cell,
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Poll, Waker},
    time::Duration,
};

const SLICE: u64 = 1_000_000;

/// Under Miri, for which each step takes long, a few: enough for everything to run, and not for shares to be seen.
const fn long(steps: u64) -> u64 {
    if cfg!(miri) { steps / 20 } else { steps }
}

/// Cores of which each is a domain, stepped by hand, with one clock, which tasks move.
struct Machine {
    domains: usize,
    now: AtomicU64,
    unparks: AtomicUsize,
    unparked: AtomicUsize,
}

thread_local! {
    static CORE: Cell<Option<CurrentWorker>> = const { Cell::new(None) };
}

// SAFETY: the cell is a variable of the calling thread, which nothing but `set_current_worker` writes.
unsafe impl Platform for Machine {
    fn park(&self, _: WorkerId, _: Option<u64>) {
        panic!("the workers are stepped by hand");
    }
    fn unpark(&self, worker: WorkerId) {
        self.unparked.store(worker, Relaxed);
        self.unparks.fetch_add(1, Relaxed);
    }
    fn now(&self) -> u64 {
        self.now.load(Relaxed)
    }
    fn cpu_time(&self) -> u64 {
        self.now()
    }
    fn domains(&self, _: usize) -> usize {
        self.domains
    }
    fn domain_of(&self, worker: WorkerId) -> usize {
        worker
    }
    fn current_worker(&self) -> Option<CurrentWorker> {
        CORE.get()
    }
    unsafe fn set_current_worker(&self, worker: Option<CurrentWorker>) -> Option<CurrentWorker> {
        CORE.replace(worker)
    }
}

/// A machine of two domains with a worker each.
struct Bed {
    machine: Arc<Machine>,
    executor: Executor,
    workers: [Worker; 2],
    /// Which worker polled, task by task, in order.
    log: Log,
}

type Log = Arc<Mutex<Vec<(&'static str, WorkerId)>>>;

impl Bed {
    fn new() -> Self {
        let machine = Arc::new(Machine {
            domains: 2,
            now: AtomicU64::new(1),
            unparks: AtomicUsize::new(0),
            unparked: AtomicUsize::new(0),
        });
        let executor = Executor::with_platform(2, machine.clone());
        let workers = [(); 2].map(|()| Worker::new(&executor).unwrap());
        Self {
            machine,
            executor,
            workers,
            log: Log::default(),
        }
    }

    /// A task that works for `work` at each poll, for ever, and makes way after it.
    fn spin(&self, group: &Group, name: &'static str, work: u64) {
        let (machine, log) = (self.machine.clone(), self.log.clone());
        let spinner = poll_fn(move |cx| {
            log.lock().unwrap().push((name, polling()));
            machine.now.fetch_add(work, Relaxed);
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        drop(self.executor.build_task().group(group).spawn(spinner));
    }

    /// A task that works for `work` whenever its waker is called.
    fn wait(&self, group: &Group, name: &'static str, work: u64) -> Arc<Mutex<Option<Waker>>> {
        let waker = Arc::new(Mutex::new(None));
        let (machine, log, to) = (self.machine.clone(), self.log.clone(), waker.clone());
        let waiter = poll_fn(move |cx| {
            *to.lock().unwrap() = Some(cx.waker().clone());
            log.lock().unwrap().push((name, polling()));
            machine.now.fetch_add(work, Relaxed);
            Poll::<()>::Pending
        });
        drop(self.executor.build_task().group(group).spawn(waiter));
        waker
    }

    /// Polls so many tasks on one of the workers.
    fn polls(&mut self, worker: usize, polls: usize) {
        let mut polled = 0;
        while polled < polls {
            match self.workers[worker].step() {
                Step::Polled => polled += 1,
                Step::Sleep { .. } | Step::Closed => panic!("it has {polled} of {polls} to poll"),
                _ => {}
            }
        }
    }

    fn took(&self) -> Vec<(&'static str, WorkerId)> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.executor.close();
    }
}

fn polling() -> WorkerId {
    CORE.get().expect("a worker polls").worker()
}

fn wake(waker: &Mutex<Option<Waker>>) {
    let waker = waker.lock().unwrap().take();
    waker.expect("it was polled").wake();
}

/// Hunts a worker that sleeps beside tasks of another domain's lane.
#[test]
fn a_worker_without_tasks_pulls_from_another_domain() {
    let mut bed = Bed::new();
    let groups = [(); 4].map(|()| bed.executor.group().build());
    let tasks = groups.each_ref().map(|group| {
        let task = bed.executor.build_task().group(group);
        task.spawn(async { polling() })
    });
    // The homes are both; one worker does it all.
    bed.polls(0, 4);
    assert!(tasks.iter().all(hart_executor::JoinHandle::is_complete));
    while !matches!(bed.workers[0].step(), Step::Sleep { until: None }) {}
}

/// Hunts a task that comes back to another domain than the one whose caches have its data.
#[test]
fn a_task_that_wakes_returns_to_its_domain() {
    let mut bed = Bed::new();
    let group = bed.executor.group().build();
    let wakers = ["a", "b"].map(|name| bed.wait(&group, name, SLICE / 100));
    bed.polls(0, 1);
    bed.polls(1, 1);
    assert_eq!(bed.took(), [("a", 0), ("b", 1)]);
    for _ in 0..10 {
        wakers.iter().for_each(|waker| wake(waker));
        bed.polls(1, 1);
        bed.polls(0, 1);
        assert_eq!(bed.took(), [("b", 1), ("a", 0)]);
    }
}

/// Hunts a wake that wakes a worker of another domain, although one of the task's own sleeps: the task would go there.
#[test]
fn a_wake_wakes_a_worker_of_the_tasks_domain() {
    let mut bed = Bed::new();
    let group = bed.executor.group().build();
    let wakers = ["a", "b"].map(|name| bed.wait(&group, name, SLICE / 100));
    bed.polls(0, 1);
    bed.polls(1, 1);
    for at in [0, 1, 0] {
        for worker in &mut bed.workers {
            while !matches!(worker.step(), Step::Sleep { .. }) {}
        }
        bed.took();
        wake(&wakers[at]);
        assert_eq!(bed.machine.unparked.load(Relaxed), at);
        bed.polls(at, 1);
    }
}

/// Hunts a group that gets a share in each domain, although it is one for the machine: what it uses in one is not seen in
/// the other.
#[test]
fn a_group_is_one_for_all_domains() {
    let mut bed = Bed::new();
    let (wide, narrow) = (bed.executor.group().build(), bed.executor.group().build());
    // One of each in the lane of worker 1, and one of the wide group in that of worker 0.
    bed.spin(&wide, "wide", SLICE);
    bed.polls(0, 1);
    bed.spin(&wide, "wide", SLICE);
    bed.spin(&narrow, "narrow", SLICE);
    bed.polls(1, 20);
    bed.took();
    let before = [&wide, &narrow].map(|group| group.stats().cpu_time);
    for _ in 0..long(400) {
        bed.polls(0, 1);
        bed.polls(1, 1);
    }
    let [wide, narrow] = [(&wide, before[0]), (&narrow, before[1])]
        .map(|(group, before)| (group.stats().cpu_time - before).as_millis());
    // Half of the machine each: that is all that one domain has.
    assert!(
        cfg!(miri) || narrow.abs_diff(wide) <= 16,
        "{narrow} ms against {wide} ms"
    );
}

/// Hunts a lane that lags: its group has a tenth of what the same weight has in the other domain.
#[test]
fn a_lane_that_lags_is_helped() {
    let mut bed = Bed::new();
    let groups: Vec<_> = (0..11).map(|_| bed.executor.group().build()).collect();
    // Worker 0 has one, worker 1 ten of them, as they are taken there first.
    bed.spin(&groups[0], "alone", SLICE);
    bed.polls(0, 1);
    for group in &groups[1..] {
        bed.spin(group, "other", SLICE);
    }
    bed.polls(1, 10);
    bed.took();
    let before: Vec<_> = groups.iter().map(|group| group.stats().cpu_time).collect();
    for _ in 0..long(1_100) {
        bed.polls(0, 1);
        bed.polls(1, 1);
    }
    for (group, before) in groups.iter().zip(before) {
        let used = (group.stats().cpu_time - before).as_millis();
        assert!(cfg!(miri) || used.abs_diff(200) <= 8, "{used} ms of 200");
    }
}

/// Hunts tasks of one group that share a domain, while one of them has another to itself.
#[test]
fn tasks_of_a_group_spread_over_the_domains() {
    let mut bed = Bed::new();
    let group = bed.executor.group().build();
    const NAMES: [&str; 6] = ["0", "1", "2", "3", "4", "5"];
    bed.spin(&group, NAMES[0], SLICE);
    bed.polls(0, 1);
    for name in &NAMES[1..] {
        bed.spin(&group, name, SLICE);
    }
    bed.polls(1, 5);
    for _ in 0..long(100) {
        bed.polls(0, 1);
        bed.polls(1, 1);
    }
    bed.took();
    for _ in 0..long(300) {
        bed.polls(0, 1);
        bed.polls(1, 1);
    }
    let took = bed.took();
    for name in NAMES {
        let polls = took.iter().filter(|(polled, _)| *polled == name).count();
        assert!(
            cfg!(miri) || (70..=130).contains(&polls),
            "{name} had {polls} of 600"
        );
    }
}

/// Hunts a guest that goes on at its preemption points while another domain's groups wait.
#[test]
fn a_preemption_point_makes_way_for_another_domain() {
    let mut bed = Bed::new();
    let group = bed.executor.group().build();
    let (machine, its, log) = (bed.machine.clone(), group.clone(), bed.log.clone());
    let executor = bed.executor.clone();
    let hog = poll_fn(move |cx| {
        // It has its core to itself, and goes on for as long as it may.
        for slice in 1..=100 {
            machine.now.fetch_add(SLICE, Relaxed);
            if slice == 50 {
                // From outside, to the lane that has less to do.
                let (executor, log) = (executor.clone(), log.clone());
                std::thread::spawn(move || {
                    let other = executor.group().build();
                    let task = executor.build_task().group(&other);
                    drop(task.spawn(async move {
                        log.lock().unwrap().push(("other", polling()));
                    }));
                })
                .join()
                .unwrap();
            }
            if its.preemption_point() == Verdict::Yield {
                let when = if slice < 50 { "early" } else { "in time" };
                log.lock().unwrap().push((when, polling()));
                cx.waker().wake_by_ref();
                return Poll::<()>::Pending;
            }
        }
        panic!("it was not told to make way");
    });
    drop(bed.executor.build_task().group(&group).spawn(hog));
    bed.polls(0, 2);
    assert_eq!(bed.took(), [("in time", 0), ("other", 0)]);
}

/// Hunts tasks that were pulled together and of which nobody is told: the others sleep beside them.
#[test]
fn a_worker_that_pulls_several_tells_of_them() {
    let mut bed = Bed::new();
    let group = bed.executor.group().build();
    let wakers: Vec<_> = (0..40)
        .map(|_| bed.wait(&group, "t", SLICE / 1_000))
        .collect();
    bed.polls(0, 40);
    bed.took();
    // One of them is in the domain of worker 1, so that its polls are known to be short there.
    while !matches!(bed.workers[0].step(), Step::Sleep { .. }) {}
    while !matches!(bed.workers[1].step(), Step::Sleep { .. }) {}
    wakers.iter().for_each(|waker| wake(waker));
    // Worker 0 was told of them. Worker 1 comes by itself.
    assert_eq!(bed.machine.unparks.swap(0, Relaxed), 1);
    bed.polls(1, 1);
    let others = bed.executor.workers()[1].polls;
    assert!(others > 0);
    bed.polls(0, 1);
    assert!(bed.machine.unparks.load(Relaxed) <= 1);
}

/// Hunts a close that forgets the tasks of a lane, parked ones too.
#[test]
fn a_close_empties_every_lane() {
    let mut bed = Bed::new();
    let memory = CountingAllocator::default();
    let groups: Vec<_> = (0..8).map(|_| bed.executor.group().build()).collect();
    for group in &groups {
        let task = bed.executor.build_task().group(group);
        let task = task.try_spawn_in(std::future::pending::<()>(), memory.clone());
        drop(task.unwrap());
    }
    bed.polls(1, 3);
    bed.executor.close();
    assert_eq!(bed.executor.pending_tasks(), 0);
    assert_eq!(memory.copies(), 1, "no queue has a task");
    for worker in &mut bed.workers {
        assert_eq!(worker.step(), Step::Closed);
    }
}

/// Hunts a rate that is kept in each domain for itself, or time that counts as throttled once for each; and a worker that
/// sleeps longer than until the first lane's group may go on.
#[test]
fn a_rate_is_one_for_all_domains() {
    let mut bed = Bed::new();
    let group = bed.executor.group().cpu_rate(500).build();
    bed.spin(&group, "a", SLICE);
    bed.polls(0, 1);
    bed.spin(&group, "b", SLICE);
    bed.polls(1, 1);
    let began = bed.machine.now();
    let mut slept = 0;
    while bed.machine.now() - began < long(4_000) * SLICE {
        let mut next = u64::MAX;
        for worker in &mut bed.workers {
            match worker.step() {
                Step::Sleep { until } => next = next.min(until.expect("it waits for its rate")),
                _ => next = 0,
            }
        }
        let now = bed.machine.now();
        if next > now {
            slept += next - now;
            bed.machine.now.store(next, Relaxed);
        }
    }
    let stats = group.stats();
    let passed = Duration::from_nanos(bed.machine.now());
    let share = stats.cpu_time.as_secs_f64() / passed.as_secs_f64();
    assert!(
        cfg!(miri) || (0.49..0.51).contains(&share),
        "{share} of a core"
    );
    // One clock for both: while one worker polls, the other waits.
    let throttled = stats.throttled_time.as_nanos() as f64;
    assert!(
        cfg!(miri) || (0.9..1.1).contains(&(throttled / slept as f64)),
        "{throttled} of {slept}"
    );
    group.set_cpu_rate(None);
    bed.polls(0, 1);
    bed.polls(1, 1);
}

/// Hunts a worker that sleeps for good while the only group that may go on later is parked in another domain.
#[test]
fn a_worker_sleeps_until_any_domain_has_something() {
    let mut bed = Bed::new();
    let group = bed.executor.group().cpu_rate(500).build();
    bed.spin(&group, "a", 100 * SLICE);
    bed.polls(1, 1);
    let until = loop {
        match bed.workers[0].step() {
            Step::Sleep { until } => break until,
            Step::Polled => panic!("its rate is used up"),
            _ => {}
        }
    };
    bed.machine
        .now
        .store(until.expect("there is something later"), Relaxed);
    bed.polls(0, 1);
}
