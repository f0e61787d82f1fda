//! Workers that are driven by executors of somebody else's.
#![cfg(not(any(loom, shuttle)))]

mod common;

use common::{Drops, Machine, Spins, Yields, hang_guard, on_machine};
use futures::{
    channel::oneshot,
    executor::block_on,
    future::{Either, join, select},
    pin_mut,
};
use hart_executor::{Executor, Worker};
use std::{
    future::{Future, pending, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Hunts: a worker that, where it would park, is not polled again when a task is spawned or woken from another thread.
#[test]
fn another_executor_sleeps_and_is_woken() {
    let _guard = hang_guard();
    let executor = Executor::new();
    let mut worker = Worker::new(&executor).unwrap();
    for round in 0..100 {
        let (tell, told) = oneshot::channel();
        let theirs = executor.clone();
        let task = executor.spawn(async move { told.await.unwrap() });
        let other = thread::spawn(move || {
            // A task from outside, then a wake from outside.
            block_on(theirs.spawn(async {})).unwrap();
            tell.send(round).unwrap();
        });
        assert_eq!(block_on(worker.run_async(task)).unwrap().unwrap(), round);
        other.join().unwrap();
    }
}

/// Hunts: tasks that never rest and so keep the thread from whatever else its executor has: its timers, here.
#[test]
fn busy_queues_leave_the_thread_to_tokio() {
    let _guard = hang_guard();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let executor = Executor::new();
    let mut worker = Worker::new(&executor).unwrap();
    let group = executor.group().build();
    let mut spinners = vec![executor.spawn(Spins)];
    spinners.push(executor.build_task().group(&group).spawn(Spins));
    runtime.block_on(async {
        // The `run` future never rests, either, and waits for what tokio alone can tell it.
        let inside = async {
            let timer = pin!(tokio::time::sleep(Duration::from_millis(1)));
            let Either::Left(_) = select(timer, Spins).await else {
                unreachable!("it spins for ever")
            };
        };
        let beside = tokio::time::sleep(Duration::from_millis(1));
        let (ran, ()) = join(worker.run_async(inside), beside).await;
        ran.unwrap();
    });
    executor.close();
}

/// Hunts: one worker's wake that reaches another, or neither: two of them on one thread, whose tasks wake each other.
#[test]
fn two_workers_on_one_thread() {
    let _guard = hang_guard();
    let executor = Executor::new();
    let mut workers = [(); 2].map(|()| Worker::new(&executor).unwrap());
    let [first, second] = &mut workers;
    let pair = |rounds: usize| {
        let (there, mut here) = futures::channel::mpsc::unbounded();
        let (back, mut its) = futures::channel::mpsc::unbounded();
        drop(executor.spawn(async move {
            use futures::StreamExt;
            while let Some(n) = here.next().await {
                if back.unbounded_send(n).is_err() {
                    break;
                }
            }
        }));
        executor.spawn(async move {
            use futures::StreamExt;
            for n in 0..rounds {
                there.unbounded_send(n).unwrap();
                assert_eq!(its.next().await, Some(n));
            }
            rounds
        })
    };
    let rounds = if cfg!(miri) { 20 } else { 2_000 };
    let (a, b) = (pair(rounds), pair(rounds));
    let (a, b) = block_on(join(first.run_async(a), second.run_async(b)));
    assert_eq!((a.unwrap().unwrap(), b.unwrap().unwrap()), (rounds, rounds));
}

/// Hunts: what a future that is dropped leaves: a worker that others count on, tasks that nobody knows of, and a waker
/// that is called in place of the thread.
#[test]
fn dropped_it_leaves_a_worker_that_runs() {
    let (executor, machine) = on_machine(2);
    let mut worker = Worker::new(&executor).unwrap();
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let drops = Drops::new();
    {
        let value = drops.value();
        let running = worker.run_async(async move {
            let _value = value;
            pending::<()>().await;
        });
        pin_mut!(running);
        let polled = running.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        drop(executor.spawn(async {}));
        assert_eq!(count.0.load(SeqCst), 1, "it sleeps, and is the only one");
        assert_eq!(machine.unparked(0), 0);
    }
    drops.assert_all_once();
    assert_eq!(Arc::strong_count(&count), 2, "the waker is given back");
    // Nobody relies on it any more: the other is woken for the task.
    let mut other = Worker::new(&executor).unwrap();
    common::until_asleep(&mut other);
    drop(executor.spawn(async {}));
    assert_eq!(machine.unparked(1), 1);
    // And it parks again, as a thread does.
    let theirs = executor.clone();
    machine.on_park(move |_| theirs.close());
    assert!(worker.run(pending::<()>()).is_err());
    assert_eq!(count.0.load(SeqCst), 1);
}

/// Hunts: a forgotten future, whose waker would be called for ever in place of the thread that parks.
#[test]
fn forgotten_it_does_not_keep_the_worker_asleep() {
    let (executor, machine) = on_machine(1);
    let mut worker = Worker::new(&executor).unwrap();
    let mut running = Box::pin(worker.run_async(pending::<()>()));
    let polled = running
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    std::mem::forget(running);
    let theirs = executor.clone();
    machine.on_park(move |_| drop(theirs.spawn(async {})));
    worker.run(executor.spawn(Yields(3))).unwrap().unwrap();
    let theirs = executor.clone();
    machine.on_park(move |_| theirs.close());
    assert!(worker.run(pending::<()>()).is_err());
    assert!(machine.unparked(0) > 0);
}

/// Hunts: a close that a sleeping worker is not told of.
#[test]
fn a_close_ends_it() {
    let _guard = hang_guard();
    let executor = Executor::new();
    let mut worker = Worker::new(&executor).unwrap();
    let theirs = executor.clone();
    let (tell, told) = std::sync::mpsc::channel();
    let closing = thread::spawn(move || {
        told.recv().unwrap();
        theirs.close();
    });
    let mut tell = Some(tell);
    let running = worker.run_async(poll_fn(move |_| {
        if let Some(tell) = tell.take() {
            tell.send(()).unwrap();
        }
        Poll::<()>::Pending
    }));
    assert!(block_on(running).is_err());
    closing.join().unwrap();
    assert!(block_on(worker.run_async(async {})).is_err());
}

/// Hunts: a sleep until a rate allows more, of which nobody wakes the worker: it has no timer.
#[test]
fn a_rate_that_is_used_up_does_not_end_it() {
    let _guard = hang_guard();
    let machine = Machine::new();
    let executor = Executor::with_platform(1, machine.clone());
    let mut worker = Worker::new(&executor).unwrap();
    let group = executor.group().cpu_rate(100).build();
    let mut polls = 0;
    let clock = machine.clone();
    let task = executor
        .build_task()
        .group(&group)
        .spawn(poll_fn(move |cx| {
            polls += 1;
            clock.advance(Duration::from_millis(20).as_nanos() as u64);
            cx.waker().wake_by_ref();
            if polls < 5 {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        }));
    let running = worker.run_async(task);
    pin_mut!(running);
    block_on(poll_fn(|cx| {
        // Time goes by between two polls.
        machine.advance(Duration::from_millis(1).as_nanos() as u64);
        running.as_mut().poll(cx)
    }))
    .unwrap()
    .unwrap();
    assert!(group.stats().throttled_time > Duration::ZERO);
}
