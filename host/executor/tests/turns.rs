//! Turns of several polls in the fair lane: what waits in one behind a poll that takes long.
#![cfg(not(any(loom, shuttle)))]

mod common;

use common::Machine;
use futures::channel::oneshot;
use hart_executor::{Executor, Group, Step, Verdict, Worker};
use std::{
    cell::RefCell,
    collections::BTreeSet,
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

/// Polls after which the lane knows that they are short.
const POLLS: usize = if cfg!(miri) { 60 } else { 400 };

/// What happened: the tasks that were polled, by number, in order.
type Log = Arc<Mutex<Vec<usize>>>;

/// Tasks of one group that yield, and write down that they were polled. The first one calls `long` in its poll, once,
/// after `polls` of all of them: enough for the lane to know that they are short. Tasks that are polled after
/// `enough` is set wait for ever.
fn yielders(
    executor: &Executor,
    group: &Group,
    (tasks, polls): (usize, usize),
    enough: &Arc<AtomicBool>,
    long: impl FnOnce(&Log) + Send + 'static,
) -> Log {
    let log = Log::default();
    let mut long = Some(long);
    for task in 0..tasks {
        let (log, enough) = (log.clone(), enough.clone());
        let mut long = long.take_if(|_| task == 0);
        let yielder = poll_fn(move |cx| {
            let so_far = {
                let mut log = log.lock().unwrap();
                log.push(task);
                log.len()
            };
            if so_far > polls
                && let Some(long) = long.take()
            {
                long(&log);
            }
            if !enough.load(Relaxed) {
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        drop(executor.build_task().group(group).spawn(yielder));
    }
    log
}

/// A future for `run` that is done once a task of `group` says so. It does not look in between, as every look ends a
/// turn.
fn when_told() -> (impl FnOnce() + Send, impl Future<Output = ()>) {
    let (tell, told) = oneshot::channel();
    (move || tell.send(()).unwrap(), async {
        told.await.unwrap()
    })
}

thread_local! {
    /// A second worker, stepped by hand on the same thread.
    static OTHER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// Hunts tasks that an idle worker cannot get because they are part of another's turn.
#[test]
fn an_idle_worker_gets_what_waits_in_a_turn() {
    const TASKS: usize = 12;

    // The long poll is at another place of its turn each time.
    let places = if cfg!(miri) { 3 } else { 20 };
    for polls in POLLS..POLLS + places {
        let machine = Machine::new();
        let executor = Executor::with_platform(2, machine.clone());
        let mut worker = Worker::new(&executor).unwrap();
        OTHER.set(Some(Worker::new(&executor).unwrap()));
        let group = executor.group().build();
        let enough = Arc::new(AtomicBool::new(false));
        let polled = Arc::new(Mutex::new(None));
        let (its, to) = (enough.clone(), polled.clone());
        let (tell, told) = when_told();
        drop(yielders(
            &executor,
            &group,
            (TASKS, polls),
            &enough,
            move |log| {
                // This poll goes on until the other worker has nothing more to do.
                its.store(true, Relaxed);
                let before = log.lock().unwrap().len();
                OTHER.with_borrow_mut(|other| {
                    let other = other.as_mut().unwrap();
                    while !matches!(other.step(), Step::Sleep { .. }) {}
                });
                let polled: BTreeSet<_> = log.lock().unwrap()[before..].iter().copied().collect();
                *to.lock().unwrap() = Some(polled);
                tell();
            },
        ));
        worker.run(told).unwrap();
        let polled = polled.lock().unwrap().take();
        assert_eq!(polled, Some((1..TASKS).collect()), "after {polls} polls");
        OTHER.set(None);
    }
}

/// Hunts a guest that is not preempted because those who wait for it are not in the lane but in its own turn, and
/// tasks that lose their places there.
#[test]
fn a_preemption_point_sees_what_waits_in_the_turn() {
    const TASKS: usize = 10;

    let machine = Machine::new();
    let executor = Executor::with_platform(1, machine.clone());
    let mut worker = Worker::new(&executor).unwrap();
    let group = executor.group().build();
    let verdicts = Arc::new(Mutex::new(Vec::new()));
    let (its, to) = (group.clone(), verdicts.clone());
    let never = Arc::new(AtomicBool::new(false));
    let log = yielders(&executor, &group, (TASKS, POLLS), &never, move |_| {
        for _ in 0..8 {
            machine.advance(Duration::from_millis(1).as_nanos() as u64);
            let verdict = its.preemption_tick();
            to.lock().unwrap().push(verdict);
            if verdict == Verdict::Yield {
                break;
            }
        }
    });
    let (tell, told) = when_told();
    let mut tell = Some(tell);
    let its = log.clone();
    let teller = poll_fn(move |cx| {
        if its.lock().unwrap().len() > 2 * POLLS
            && let Some(tell) = tell.take()
        {
            tell();
        }
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    });
    drop(executor.build_task().group(&group).spawn(teller));
    worker.run(told).unwrap();
    assert_eq!(verdicts.lock().unwrap().last(), Some(&Verdict::Yield));
    let log = log.lock().unwrap();
    let out_of_turn = log.windows(2).find(|two| two[1] != (two[0] + 1) % TASKS);
    assert_eq!(out_of_turn, None);
}

/// Hunts references to tasks that a close leaves in a turn: with them the executor would stay for ever.
#[test]
fn close_within_a_turn_leaves_nothing() {
    let machine = Machine::new();
    {
        let executor = Executor::with_platform(1, machine.clone());
        let mut worker = Worker::new(&executor).unwrap();
        let group = executor.group().build();
        let closer = Arc::new(Mutex::new(Some(executor.clone())));
        let never = Arc::new(AtomicBool::new(false));
        let log = yielders(&executor, &group, (10, POLLS), &never, move |_| {
            let executor = closer.lock().unwrap().take();
            executor.unwrap().close();
        });
        assert!(worker.run(std::future::pending::<()>()).is_err());
        assert!(log.lock().unwrap().len() > POLLS);
        assert_eq!(group.stats().live_tasks, 0);
    }
    assert_eq!(Arc::strong_count(&machine), 1);
}

thread_local! {
    /// Further workers, each stepped by hand within a poll of the one before.
    static OTHERS: RefCell<Vec<Worker>> = const { RefCell::new(Vec::new()) };
}

/// Polls one task on the next of the [`OTHERS`].
fn poll_on_next() {
    let mut worker = OTHERS.with_borrow_mut(Vec::pop).unwrap();
    while worker.step() != Step::Polled {}
}

/// Hunts the order of groups with polls in flight as it was when something last happened in the lane: what they use
/// counts by the clock, for their weights, so that one passes another while nothing happens.
#[test]
fn one_that_runs_passes_another_while_nothing_happens() {
    let slices = |slices: u64| Duration::from_millis(slices).as_nanos() as u64;
    // At first the light group's deadline is the earlier one, but it moves ten times as fast.
    for (passed, expected) in [(0, "light"), (1, "light"), (2, "heavy")] {
        let (executor, machine) = common::on_machine(3);
        let light = executor.group().weight(100).build();
        let heavy = executor.group().weight(1_000).build();
        heavy.charge(Duration::from_nanos(slices(20)));
        OTHERS.set((0..3).map(|_| Worker::new(&executor).unwrap()).collect());
        let next = Arc::new(Mutex::new(None));
        let task = |group: &Group, polled: Box<dyn FnOnce() + Send>| {
            let task = async move { polled() };
            drop(executor.build_task().group(group).spawn(task));
        };
        task(&light, Box::new(poll_on_next));
        let (spawner, groups) = (
            executor.clone(),
            [("light", light), ("heavy", heavy.clone())],
        );
        let its = next.clone();
        let in_both = move || {
            for (name, group) in groups {
                let next = its.clone();
                let further = async move {
                    next.lock().unwrap().get_or_insert(name);
                };
                drop(spawner.build_task().group(&group).spawn(further));
            }
            machine.advance(slices(passed));
            poll_on_next();
        };
        task(&heavy, Box::new(in_both));
        poll_on_next();
        assert_eq!(
            *next.lock().unwrap(),
            Some(expected),
            "after {passed} slices"
        );
    }
}

/// Hunts references that a close leaves in a group which is held back: its rate is used up, one of its polls goes on, and
/// another worker was turned away from its further task.
#[test]
fn close_takes_what_is_held_back() {
    let machine = Machine::new();
    {
        let executor = Executor::with_platform(2, machine.clone());
        let group = executor.group().cpu_rate(1).build();
        OTHERS.set((0..2).map(|_| Worker::new(&executor).unwrap()).collect());
        let (its, closer) = (group.clone(), executor.clone());
        let closes = async move {
            drop(closer.build_task().group(&its).spawn(async {}));
            its.charge(Duration::from_secs(1));
            let mut other = OTHERS.with_borrow_mut(Vec::pop).unwrap();
            while !matches!(other.step(), Step::Sleep { until: Some(_) }) {}
            closer.close();
        };
        drop(executor.build_task().group(&group).spawn(closes));
        poll_on_next();
        assert_eq!(group.stats().live_tasks, 0);
    }
    assert_eq!(Arc::strong_count(&machine), 1);
}
