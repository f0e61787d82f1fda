//! Models of the fair lane and of workers in a whole executor, for loom.

use crate::{
    CurrentWorker, Executor, Platform, WorkerId,
    fair::{Batch, Used},
    sync::Arc,
};
use loom::thread;

/// A machine on which no worker runs, and no time passes.
struct Nothing;

// SAFETY: no core ever has a worker.
unsafe impl Platform for Nothing {
    fn park(&self, _: WorkerId, _: Option<u64>) {}
    fn unpark(&self, _: WorkerId) {}
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
    Executor::with_platform(1, alloc::sync::Arc::new(Nothing))
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
        lane.add_worker();
        let batch = Arc::new(Batch::new());
        // The first turn shows that polls are short.
        let polled = lane.pop(0, &batch, 1).unwrap();
        let finished = lane.finish(&group, USED, Some(polled), &batch, 2);
        let polled = finished.next.unwrap();
        assert_eq!(batch.len(), 1, "the other task is in the batch");
        let (theirs, its, shared) = (batch.clone(), group.clone(), executor.clone());
        let other = thread::spawn(move || {
            let own = Batch::new();
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
