//! Without memory: every allocation of the process may be refused, one after the other. What the executor cannot do
//! without is a process that aborts, and so a failed test.
#![cfg(not(any(loom, shuttle)))]

mod common;

use common::{Drops, Wakers};
use hart_executor::{CurrentWorker, Executor, Group, Platform, SpawnError, Step, Worker, WorkerId};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    future::{Future, poll_fn},
    ptr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

/// The system's allocator, which gives nothing to a thread that has had as much as it may.
struct Refusing;

thread_local! {
    /// How many more allocations succeed here.
    static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    static CORE: Cell<Option<CurrentWorker>> = const { Cell::new(None) };
}

fn may_allocate() -> bool {
    match LEFT.get() {
        None => true,
        Some(0) => false,
        Some(left) => {
            LEFT.set(Some(left - 1));
            true
        }
    }
}

// SAFETY: passes everything on to the system's, or gives nothing.
unsafe impl GlobalAlloc for Refusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !may_allocate() {
            return ptr::null_mut();
        }
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !may_allocate() {
            return ptr::null_mut();
        }
        // SAFETY: the caller's.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Refusing = Refusing;

/// Runs `f`, in which so many allocations succeed.
fn with_allocations<R>(allocations: usize, f: impl FnOnce() -> R) -> R {
    LEFT.set(Some(allocations));
    let result = f();
    LEFT.set(None);
    result
}

/// A machine that allocates nothing; its clock moves on by a microsecond at every look. Each core is a domain, of two at
/// most, if it has domains.
#[derive(Default)]
struct Machine(AtomicU64, bool);

// SAFETY: the cell is a variable of the calling thread, which nothing but `set_current_worker` writes.
unsafe impl Platform for Machine {
    fn park(&self, _: WorkerId, _: Option<u64>) {
        unreachable!("workers are stepped by hand");
    }
    fn unpark(&self, _: WorkerId) {}
    fn now(&self) -> u64 {
        self.0.fetch_add(1_000, SeqCst)
    }
    fn cpu_time(&self) -> u64 {
        self.now()
    }
    fn domains(&self, _: usize) -> usize {
        1 + usize::from(self.1)
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

const TASKS: usize = if cfg!(miri) { 30 } else { 600 };

/// Spawns `future` with one allocation, two and so on, until it is spawned; how many there were in vain.
fn spawn_at_last<F>(executor: &Executor, group: Option<&Group>, future: impl Fn() -> F) -> usize
where
    F: Future<Output = ()> + Send + 'static,
{
    for allocations in 0..100 {
        let future = future();
        let live = executor.pending_tasks();
        let builder = executor.build_task().group(group);
        let spawned = with_allocations(allocations, || builder.try_spawn(future));
        match spawned {
            Ok(handle) => {
                drop(handle);
                return allocations;
            }
            Err(error) => assert_eq!(error, SpawnError::Alloc),
        }
        assert_eq!(executor.pending_tasks(), live, "nothing was spawned");
    }
    panic!("a spawn needs a hundred allocations");
}

/// Hunts: memory that a spawn needs and does not ask for in a way that can fail: room in the lane for a group, in a
/// group's queue for a task. And what running, waking, charging, parking and ending tasks would need at all.
#[test]
fn a_spawn_says_that_there_is_no_memory_and_nothing_else_needs_any() {
    let machine = Arc::new(Machine::default());
    let executor = Executor::with_platform(0, machine.clone());
    let mut workers = [(); 2].map(|()| Worker::new(&executor).unwrap());
    let drops = Drops::new();
    let wakers = Wakers::default();
    let mut groups = Vec::new();
    let mut in_vain = 0;
    let fill = |group: Option<&Group>, tasks: usize| {
        let mut in_vain = 0;
        for _ in 0..tasks {
            in_vain += spawn_at_last(&executor, group, || {
                let (value, wakers, its) = (drops.value(), wakers.clone(), group.cloned());
                let mut polls = 0;
                poll_fn(move |cx| {
                    let _ = &value;
                    polls += 1;
                    if let Some(group) = &its {
                        let _ = group.preemption_point();
                        group.charge(Duration::from_micros(1));
                    }
                    match polls {
                        1 => cx.waker().wake_by_ref(),
                        2 => wakers.keep(cx),
                        _ => return Poll::Ready(()),
                    }
                    Poll::Pending
                })
            });
        }
        in_vain
    };
    // Room for the wakers that the tasks keep.
    wakers.reserve(4 * TASKS);
    in_vain += fill(None, TASKS);
    for i in 0..TASKS / 3 {
        let tenant = executor.tenant().build();
        let group = executor
            .group()
            .slice(Duration::from_micros(100 + i as u64))
            .cpu_rate(1);
        let group = if i % 2 == 0 {
            group.tenant(&tenant)
        } else {
            group
        };
        groups.push(group.build());
        in_vain += fill(groups.last(), 1);
    }
    in_vain += fill(groups.first(), TASKS);
    assert!(in_vain > 0, "some spawn needs an allocation");

    let rest = |workers: &mut [Worker; 2]| {
        let (mut quiet, mut steps) = (0, 0);
        while quiet < 10 {
            quiet += 1;
            steps += 1;
            assert!(steps < 100 * TASKS + 10_000, "they do not come to rest");
            for worker in &mut *workers {
                match worker.step() {
                    Step::Polled | Step::Stole(_) => quiet = 0,
                    // A rate is used up.
                    Step::Sleep { until: Some(until) } => {
                        machine.0.fetch_max(until, SeqCst);
                        quiet = 0;
                    }
                    _ => {}
                }
            }
        }
    };
    // Each was polled twice, and waits.
    with_allocations(0, || rest(&mut workers));
    let kept = wakers.take();
    assert_eq!(kept.len(), executor.pending_tasks());
    with_allocations(0, || {
        kept.into_iter().for_each(|waker| waker.wake());
        rest(&mut workers);
    });
    assert_eq!(executor.pending_tasks(), 0);
    drops.assert_all_once();
}

/// Hunts: a group that a worker cannot take into its domain for want of memory, and that is lost, or beside which it sleeps
/// for good; and a spawn that needs memory after it has said that there is enough.
#[test]
fn a_group_stays_in_its_domain_until_there_is_memory_for_another() {
    let machine = Arc::new(Machine(AtomicU64::new(0), true));
    let executor = Executor::with_platform(2, machine.clone());
    let mut workers = [(); 2].map(|()| Worker::new(&executor).unwrap());
    let groups = [(); 20].map(|()| executor.group().build());
    let in_vain: usize = groups
        .iter()
        .map(|group| spawn_at_last(&executor, Some(group), || async {}))
        .sum();
    assert!(in_vain > 0, "some spawn needs an allocation");
    with_allocations(0, || {
        let mut polled = 0;
        let until = loop {
            match workers[0].step() {
                Step::Polled => polled += 1,
                Step::Sleep { until } => break until,
                _ => {}
            }
        };
        assert_eq!(polled, groups.len() / 2, "those at home in its domain");
        assert!(until.is_some_and(|until| until > machine.now()));
    });
    let mut polled = 0;
    while executor.pending_tasks() > 0 {
        polled += usize::from(workers[0].step() == Step::Polled);
    }
    assert_eq!(polled, groups.len() / 2);
}
