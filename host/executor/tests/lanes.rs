//! The two lanes side by side: who goes first, and that nobody waits for ever.
#![cfg(not(any(loom, shuttle)))]

mod common;

use common::{Machine, on_machine};
use hart_executor::{Executor, FAIR_SKIPS, Group, Step, Verdict, Worker};
use std::{
    cell::RefCell,
    future::{pending, poll_fn},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Poll, Waker},
};

thread_local! {
    /// A second worker, stepped by hand on the same thread.
    static OTHER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// So many steps of the second worker, each of which polls something.
fn step_other(polls: usize) {
    OTHER.with_borrow_mut(|other| {
        let other = other.as_mut().unwrap();
        let mut polled = 0;
        while polled < polls {
            match other.step() {
                Step::Polled => polled += 1,
                Step::Sleep { .. } => panic!("it sleeps beside guests"),
                _ => {}
            }
        }
    });
}

/// A busy worker: while it polls one task, which queues `tasks` on its core, the other polls `polls` times, with `guests`
/// runnable. How many of the tasks ran by then, and how often guests did.
fn beside_a_long_poll(tasks: usize, guests: usize, polls: usize) -> (usize, usize) {
    let (executor, machine) = on_machine(2);
    let mut worker = Worker::new(&executor).unwrap();
    OTHER.set(Some(Worker::new(&executor).unwrap()));
    let (ran, turns) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let group = executor.group().build();
    let (inside, its, counted) = (executor.clone(), ran.clone(), turns.clone());
    let mut first = true;
    let long = executor.spawn(poll_fn(move |_| {
        assert!(std::mem::take(&mut first));
        for _ in 0..guests {
            let (turns, machine) = (counted.clone(), machine.clone());
            let spin = poll_fn(move |cx| {
                turns.fetch_add(1, SeqCst);
                machine.advance(1_000_000);
                cx.waker().wake_by_ref();
                Poll::<()>::Pending
            });
            drop(inside.build_task().group(&group).spawn(spin));
        }
        for _ in 0..tasks {
            let ran = its.clone();
            drop(inside.spawn(async move {
                ran.fetch_add(1, SeqCst);
            }));
        }
        step_other(polls);
        Poll::Ready((its.load(SeqCst), counted.load(SeqCst)))
    }));
    let result = worker.run(long).unwrap().unwrap();
    executor.close();
    OTHER.set(None);
    result
}

/// Hunts: tasks of the fast lane that wait for a busy worker, and that the other one does not take because it has guests
/// to run; also the one that the busy worker would run next.
#[test]
fn a_worker_with_guests_takes_what_waits_for_a_busy_one() {
    for tasks in [1, 2, 10] {
        for guests in [1, 5] {
            let polls = tasks + 2;
            let (ran, turns) = beside_a_long_poll(tasks, guests, polls);
            assert_eq!((ran, turns), (tasks, 2), "{tasks} tasks, {guests} guests");
        }
    }
}

/// Hunts: guests that wait for as long as another worker has tasks of the fast lane.
#[test]
fn guests_get_on_beside_what_is_stolen() {
    let turns_of_skips = if cfg!(miri) { 2 } else { 20 };
    let polls = turns_of_skips * (FAIR_SKIPS + 1);
    let (ran, turns) = beside_a_long_poll(2 * polls, 3, polls);
    assert_eq!(ran + turns, polls);
    assert!(
        turns >= turns_of_skips - 1,
        "{turns} turns in {polls} polls"
    );
}

/// Hunts: the same where each steal finds one task, and the next one is there when it has run.
#[test]
fn guests_get_on_beside_one_task_after_the_other() {
    let polls = if cfg!(miri) { 80 } else { 400 };
    let (executor, machine) = on_machine(2);
    let mut worker = Worker::new(&executor).unwrap();
    OTHER.set(Some(Worker::new(&executor).unwrap()));
    let group = executor.group().build();
    let turns = Arc::new(AtomicUsize::new(0));
    let (inside, counted) = (executor.clone(), turns.clone());
    let long = executor.spawn(poll_fn(move |_| {
        for _ in 0..2 {
            let (turns, machine) = (counted.clone(), machine.clone());
            let spin = poll_fn(move |cx| {
                turns.fetch_add(1, SeqCst);
                machine.advance(1_000_000);
                cx.waker().wake_by_ref();
                Poll::<()>::Pending
            });
            drop(inside.build_task().group(&group).spawn(spin));
        }
        for _ in 0..polls {
            drop(inside.spawn(async {}));
            step_other(1);
        }
        Poll::Ready(())
    }));
    worker.run(long).unwrap().unwrap();
    let turns = turns.load(SeqCst);
    executor.close();
    OTHER.set(None);
    assert!(
        turns >= polls / (FAIR_SKIPS + 1) - 1,
        "{turns} turns in {polls} polls"
    );
}

/// Hunts: a guest that makes way at every preemption point for tasks that its worker does not take; and one that does
/// not for those that it does.
#[test]
fn a_preemption_point_looks_at_its_own_worker() {
    for (own, elsewhere, outside, expected) in [
        (false, false, false, Verdict::Continue),
        (false, true, false, Verdict::Continue),
        (true, false, false, Verdict::Yield),
        (false, false, true, Verdict::Yield),
    ] {
        let (executor, _machine) = on_machine(2);
        let mut worker = Worker::new(&executor).unwrap();
        let other = Worker::new(&executor).unwrap();
        let group = executor.group().build();
        let (its, inside) = (group.clone(), executor.clone());
        let there = other.scheduler();
        let verdict = executor.build_task().group(&group).spawn(poll_fn(move |_| {
            if own {
                drop(
                    inside
                        .build_task()
                        .group(None::<&Group>)
                        .spawn(pending::<()>()),
                );
            }
            let theirs = inside.clone();
            let there = there.clone();
            if elsewhere {
                std::thread::spawn(move || {
                    let task = theirs.spawn(pending::<()>());
                    let stolen = theirs.injector().try_steal().unwrap().spawn_n(&there, 1);
                    assert_eq!(stolen, 1);
                    drop(task);
                })
                .join()
                .unwrap();
            } else if outside {
                std::thread::spawn(move || drop(theirs.spawn(pending::<()>())))
                    .join()
                    .unwrap();
            }
            Poll::Ready(its.preemption_point())
        }));
        while !verdict.is_complete() {
            let _ = worker.step();
        }
        assert_eq!(
            common::joined(verdict).unwrap(),
            expected,
            "own {own}, elsewhere {elsewhere}, outside {outside}"
        );
        drop(other);
    }
}

/// Hunts: a `run` future that was woken, and waits for many turns of guests, each as long as thousands of polls of the
/// fast lane.
#[test]
fn the_run_future_goes_before_the_next_guest() {
    for guests in [1, 4] {
        let machine = Machine::new();
        let executor = Executor::with_platform(1, machine.clone());
        let mut worker = Worker::new(&executor).unwrap();
        let group = executor.group().build();
        let (turns, waker) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(None)));
        for _ in 0..guests {
            let (turns, machine) = (turns.clone(), machine.clone());
            let waker: Arc<Mutex<Option<Waker>>> = waker.clone();
            let spin = poll_fn(move |cx| {
                let turn = turns.fetch_add(1, SeqCst);
                machine.advance(1_000_000);
                // In every seventh turn somebody wakes the future.
                if turn % 7 == 0
                    && let Some(waker) = waker.lock().unwrap().take()
                {
                    waker.wake();
                }
                cx.waker().wake_by_ref();
                Poll::<()>::Pending
            });
            drop(executor.build_task().group(&group).spawn(spin));
        }
        let mut polls = 0;
        let mut woken_at = Vec::new();
        let counted = turns.clone();
        worker
            .run(poll_fn(move |cx| {
                woken_at.push(counted.load(SeqCst));
                *waker.lock().unwrap() = Some(cx.waker().clone());
                polls += 1;
                if polls < 10 {
                    return Poll::Pending;
                }
                // The first one is before all guests; the others were woken in a turn, and are polled after it.
                let late = woken_at[1..].iter().filter(|at| *at % 7 != 1).count();
                assert_eq!(late, 0, "turns before each poll: {woken_at:?}");
                Poll::Ready(())
            }))
            .unwrap();
        executor.close();
    }
}
