//! Models of the fair lane and of workers in a whole executor, for loom.

use crate::{
    CurrentWorker, Executor, Platform, WorkerId,
    fair::{Batch, GroupState, Lanes, Look, Pulled, Taker, Used},
    sync::{Arc, AtomicUsize, Ordering::SeqCst},
};
use loom::thread;

/// A machine of so many domains, on which no worker runs, and no time passes.
struct Nothing {
    domains: usize,
    unparks: alloc::sync::Arc<core::sync::atomic::AtomicUsize>,
}

// SAFETY: no core ever has a worker.
unsafe impl Platform for Nothing {
    fn park(&self, _: WorkerId, _: Option<u64>) {}
    fn unpark(&self, _: WorkerId) {
        self.unparks
            .fetch_add(1, core::sync::atomic::Ordering::SeqCst);
    }
    fn domains(&self, _: usize) -> usize {
        self.domains
    }
    fn domain_of(&self, worker: WorkerId) -> usize {
        worker
    }
    fn now(&self) -> u64 {
        0
    }
    fn cpu_time(&self) -> u64 {
        0
    }
    fn current_worker(&self) -> Option<CurrentWorker> {
        None
    }
    unsafe fn set_current_worker(&self, _: Option<CurrentWorker>) -> Option<CurrentWorker> {
        None
    }
}

fn executor() -> Executor {
    machine(1).0
}

/// With so many domains; and how often a worker was unparked.
fn machine(domains: usize) -> (Executor, alloc::sync::Arc<core::sync::atomic::AtomicUsize>) {
    let nothing = Nothing {
        domains,
        unparks: alloc::sync::Arc::default(),
    };
    let unparks = nothing.unparks.clone();
    let executor = Executor::with_platform(domains, alloc::sync::Arc::new(nothing));
    (executor, unparks)
}

/// A turn of one poll of a nanosecond.
const USED: Used = Used {
    cpu: 1,
    charged: 0,
    began: 0,
    now: 1,
    polls: 1,
};

/// Hunts: a worker that looks at the lane while a task is in another's turn, and at the turn while `finish` has moved the
/// task to the lane, before it is in the next turn: it would sleep beside a task that was there all the time.
#[test]
fn reclaim_against_finish() {
    loom::model(|| {
        let executor = executor();
        let group = executor.group().build();
        for _ in 0..2 {
            let task = executor.build_task().group(&group);
            drop(task.spawn(core::future::pending::<()>()));
        }
        let group = group.state().clone();
        let lane = executor.shared().lanes().of(0);
        // One worker is counted: it takes all there are. The other has just come.
        lane.add_worker(0);
        let batch = Arc::new(Batch::new(0));
        // The first turn shows that polls are short.
        let polled = lane.pop(0, &batch, 1).unwrap();
        let finished = lane.finish(&group, USED, Some(polled), &batch, 2);
        let polled = finished.next.unwrap();
        assert_eq!(batch.len(), 1, "the other task is in the batch");
        let (theirs, its, shared) = (batch.clone(), group.clone(), executor.clone());
        let other = thread::spawn(move || {
            let own = Batch::new(0);
            let lane = shared.shared().lanes().of(0);
            if let Some(popped) = lane.pop(1, &own, 1) {
                let _ = lane.finish(&its, USED, Some(popped), &own, 0);
                return true;
            }
            lane.reclaim(core::iter::once(&*theirs), 1) > 0
        });
        let finished = lane.finish(&group, USED, Some(polled), &batch, 2);
        let found = other.join().unwrap();
        assert!(found || finished.notify, "it sleeps, and nobody is told");
        executor.close();
        if finished.next.is_some() {
            let _ = lane.finish(&group, USED, None, &batch, 0);
        }
        while lane.drain().is_some() {}
    });
}

/// Hunts: workers that start and leave at the same time, and are not counted, or for ever.
#[test]
fn add_worker_against_add_worker() {
    loom::model(|| {
        let executor = executor();
        let others = [(); 2].map(|()| {
            let executor = executor.clone();
            thread::spawn(move || {
                executor.shared().add_worker();
            })
        });
        let worker = executor.shared().add_worker();
        let slot = executor.shared().slots().get(worker).unwrap();
        // SAFETY: this thread has the worker.
        executor.shared().remove_worker(unsafe { slot.own() });
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(executor.shared().lanes().workers(), 2);
    });
}

/// A group with so many tasks in the lane of the first of two domains, each of which has a worker.
fn group_with(tasks: usize) -> (Executor, Arc<GroupState>) {
    let (executor, _) = machine(2);
    let group = executor.group().build();
    for _ in 0..tasks {
        let task = executor.build_task().group(&group);
        drop(task.spawn(core::future::pending::<()>()));
    }
    let state = group.state().clone();
    for domain in 0..2 {
        executor.shared().lanes().add_worker(domain, domain);
    }
    (executor, state)
}

fn pop(executor: &Executor, domain: usize, batch: &Batch) -> Option<Pulled> {
    let mut look = Look::new(domain);
    executor.shared().lanes().pop(&mut Taker {
        domain,
        look: &mut look,
        batch,
        most: 1,
        now: 1,
    })
}

fn finish(executor: &Executor, group: &Arc<GroupState>, domain: usize, batch: &Batch) {
    let lane = executor.shared().lanes().of(domain);
    let _ = lane.finish(group, USED, None, batch, 0);
}

/// A closed executor takes many steps to empty its queues.
fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 20_000;
    builder.check(f);
}

/// Hunts: use that is lost, or counted twice, when two lanes settle it at the same time, and one of them stops to compete.
#[test]
fn settle_against_settle() {
    model(|| {
        let (executor, group) = group_with(2);
        let before = Lanes::virtual_time(&group);
        let (theirs, its) = (executor.clone(), group.clone());
        let other = thread::spawn(move || {
            let batch = Batch::new(0);
            let pulled = pop(&theirs, 1, &batch);
            pulled.is_some_and(|pulled| {
                drop(pulled.task);
                finish(&theirs, &its, 1, &batch);
                true
            })
        });
        let batch = Batch::new(0);
        let mut turns = 0;
        while let Some(pulled) = pop(&executor, 0, &batch) {
            drop(pulled.task);
            finish(&executor, &group, 0, &batch);
            turns += 1;
        }
        turns += u128::from(other.join().unwrap());
        assert_eq!(turns, 2, "each task had a turn");
        let used = Lanes::virtual_time(&group) - before;
        let once = used / turns;
        // A nanosecond at weight 100.
        assert_eq!((once, used), ((1 << 32) / 100, 2 * ((1 << 32) / 100)));
        executor.close();
    });
}

/// Hunts: a task that two workers pull, or none, when the group comes to their lane for the first time: both make room.
#[test]
fn pull_against_pull() {
    model(|| {
        let (executor, group) = group_with(2);
        executor.shared().lanes().add_worker(2, 1);
        let polled = Arc::new(AtomicUsize::new(0));
        let others = [(); 2].map(|()| {
            let (executor, group, polled) = (executor.clone(), group.clone(), polled.clone());
            thread::spawn(move || {
                let batch = Batch::new(0);
                if let Some(pulled) = pop(&executor, 1, &batch) {
                    drop(pulled.task);
                    polled.fetch_add(1, SeqCst);
                    finish(&executor, &group, 1, &batch);
                }
            })
        });
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(polled.load(SeqCst), 2);
        assert_eq!(executor.shared().lanes().len(), 0);
        executor.close();
    });
}

/// Hunts: a part of a group that is made twice, one of which is lost, when it comes to a lane by two ways.
#[test]
fn admit_against_admit() {
    loom::model(|| {
        let (executor, _) = machine(2);
        let group = executor.group().build();
        let (theirs, its) = (executor.clone(), group.state().clone());
        let other = thread::spawn(move || theirs.shared().lanes().of(1).admit(&its).unwrap());
        executor
            .shared()
            .lanes()
            .of(1)
            .admit(group.state())
            .unwrap();
        other.join().unwrap();
    });
}

/// Hunts: a close that empties the lanes while a task is on its way from one to another, where it would stay.
#[test]
fn pull_against_close() {
    model(|| {
        let (executor, group) = group_with(2);
        let (theirs, its) = (executor.clone(), group.clone());
        let other = thread::spawn(move || {
            let batch = Batch::new(0);
            if let Some(pulled) = pop(&theirs, 1, &batch) {
                let lane = theirs.shared().lanes().of(1);
                // It was woken meanwhile.
                let finished = lane.finish(&its, USED, Some(pulled.task), &batch, 0);
                if finished.notify {
                    theirs.shared().notify();
                }
            }
        });
        executor.close();
        other.join().unwrap();
        assert_eq!(executor.shared().lanes().len(), 0);
        assert_eq!(executor.pending_tasks(), 0);
    });
}

/// Hunts: a worker that falls asleep while tasks are on their way between lanes, in the hands of one that takes more than
/// it polls, and tells nobody.
#[test]
fn pull_against_sleep() {
    model(|| {
        let (executor, unparks) = machine(2);
        let group = executor.group().build();
        for _ in 0..4 {
            let task = executor.build_task().group(&group);
            drop(task.spawn(core::future::pending::<()>()));
        }
        let state = group.state().clone();
        let shared = executor.shared();
        for _ in 0..2 {
            shared.add_worker();
        }
        // The first turn shows that polls are short: half of the others are moved together.
        let batch = Batch::new(0);
        let first = pop(&executor, 0, &batch).unwrap();
        drop(first.task);
        finish(&executor, &state, 0, &batch);
        let theirs = executor.clone();
        let sleeper = thread::spawn(move || {
            // It announces that it sleeps, and looks once more.
            theirs.shared().idle().announce(0, false);
            let batch = Batch::new(0);
            let mut found = 0;
            while let Some(pulled) = pop(&theirs, 0, &batch) {
                drop(pulled.task);
                found += 1;
            }
            found
        });
        let pulled = pop(&executor, 1, &batch);
        if let Some(pulled) = &pulled
            && pulled.notify
        {
            shared.notify();
        }
        let found = sleeper.join().unwrap();
        let left = shared.lanes().len();
        let told = unparks.load(core::sync::atomic::Ordering::SeqCst);
        assert!(
            left == 0 || told > 0,
            "it sleeps beside {left} tasks, having found {found}"
        );
        drop(pulled);
        executor.close();
    });
}
