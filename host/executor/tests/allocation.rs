//! Where a task's memory comes from, and where it goes.
#![cfg(not(loom))]

mod common;

use common::{CountingAllocator, Drops, Wakers, joined, on_machine, until_asleep};
use hart_executor::{SpawnError, Worker};
use std::{
    future::{pending, poll_fn},
    task::Poll,
    thread,
};

/// Hunts: a spawn without memory that loses the future, counts a task, queues something, or leaks the group.
///
/// Fails if `try_spawn_in` forgets the future on the error path, or inserts the task into the list before.
#[test]
fn without_memory_nothing_is_spawned_and_nothing_lost() {
    let (executor, _machine) = on_machine(1);
    let mut worker = Worker::new(&executor).unwrap();
    let group = executor.group().build();
    let drops = Drops::new();
    let memory = CountingAllocator::default();
    memory.fail(true);
    for lane in [None, Some(&group)] {
        let value = drops.value();
        let spawned = executor.build_task().group(lane).try_spawn_in(
            async move {
                let _value = value;
            },
            memory.clone(),
        );
        assert_eq!(spawned.unwrap_err(), SpawnError::Alloc);
    }
    drops.assert_all_once();
    assert_eq!((memory.total(), memory.copies()), (0, 1));
    assert_eq!(executor.pending_tasks(), 0);
    assert_eq!(group.stats().spawns, 0);
    assert!(executor.injector().is_empty());
    until_asleep(&mut worker);

    // And when there is memory again, it works.
    memory.fail(false);
    let task = executor.try_spawn_in(async { 1 }, memory.clone()).unwrap();
    until_asleep(&mut worker);
    assert_eq!(joined(task).unwrap(), 1);
    assert_eq!((memory.total(), memory.out(), memory.copies()), (1, 0, 1));
}

/// Hunts: a task that is freed with another allocator than its own, twice, or never: by whoever has the last
/// reference, which is each of them in turn, on another thread where that is possible.
///
/// Fails if `free` does not call `deallocate`, or `FinishPoll::Idle` keeps its reference.
#[test]
fn whoever_is_last_frees_with_the_tasks_own_allocator() {
    for last in 0..5 {
        let (executor, _machine) = on_machine(1);
        let mut worker = Worker::new(&executor).unwrap();
        let (ours, other) = (CountingAllocator::default(), CountingAllocator::default());
        let drops = Drops::new();
        let (value, wakers) = (drops.value(), Wakers::default());
        let theirs = wakers.clone();
        let future = poll_fn(move |cx| {
            let _ = &value;
            theirs.keep(cx);
            Poll::Pending::<()>
        });
        let handle = executor.try_spawn_in(future, ours.clone()).unwrap();
        let beside = executor
            .try_spawn_in(pending::<()>(), other.clone())
            .unwrap();
        let task = handle.task();
        if last != 1 {
            until_asleep(&mut worker);
        }
        assert_eq!((ours.out(), other.out()), (1, 1));
        let mut waker = wakers.take().pop();
        match last {
            // A handle, after a cancel.
            0 => {
                task.cancel();
                drop((task, waker.take()));
                assert_eq!(ours.out(), 1);
                drop(handle);
            }
            // A queue: cancelled while it was queued.
            1 => {
                task.cancel();
                drop((task, handle));
                assert_eq!(ours.out(), 1);
                until_asleep(&mut worker);
            }
            // A waker, by value, on another thread.
            2 => {
                task.cancel();
                drop((task, handle));
                let waker = waker.take().unwrap();
                assert_eq!(ours.out(), 1);
                thread::spawn(move || waker.wake()).join().unwrap();
            }
            // A reference, on another thread.
            3 => {
                task.cancel();
                drop((handle, waker.take()));
                assert_eq!(ours.out(), 1);
                thread::spawn(move || drop(task)).join().unwrap();
            }
            // The list of live tasks, at a close.
            _ => {
                drop((task, handle, waker.take()));
                assert_eq!(ours.out(), 1);
                executor.close();
            }
        }
        assert_eq!(
            (ours.out(), ours.total(), ours.copies()),
            (0, 1, 1),
            "{last}"
        );
        drops.assert_all_once();
        drop((worker, beside, executor));
        assert_eq!((other.out(), other.copies()), (0, 1));
    }
}
