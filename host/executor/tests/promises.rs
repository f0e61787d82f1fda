//! One or more tests for each promise of the executor, by its number. Real threads where the promise is about
//! threads; the interleavings that they may miss are in `loom.rs`, the combinations in `matrix.rs`.
#![cfg(not(loom))]

mod common;

use common::{
    Drops, HangGuard, Spins, Wakers, Yields, block_on, hang_guard, joined, on_machine, poll_once,
    until_asleep,
};
use hart_executor::{Executor, INJECTOR_INTERVAL, JoinHandle, Step, Worker, yield_now};
use std::{
    future::{Future, pending, poll_fn},
    pin::Pin,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

/// Fewer where every step is interpreted.
const fn rounds(n: usize) -> usize {
    if cfg!(miri) { n / 50 + 2 } else { n }
}

/// Runs `f` beside `workers` worker threads, then closes and waits for them.
fn with_workers<R>(executor: &Executor, workers: usize, f: impl FnOnce() -> R) -> R {
    thread::scope(|threads| {
        for _ in 0..workers {
            let executor = executor.clone();
            threads.spawn(move || {
                let mut worker = Worker::new(&executor).unwrap();
                assert!(worker.run(pending::<()>()).is_err());
            });
        }
        // Else a close might come before a worker is made.
        let mut there = 0;
        while there < workers {
            thread::yield_now();
            there = executor_workers(executor);
        }
        let result = f();
        executor.close();
        result
    })
}

/// Workers that live, from what the executor says about itself.
fn executor_workers(executor: &Executor) -> usize {
    let text = format!("{executor:?}");
    let at = text.find("workers: ").unwrap() + "workers: ".len();
    let digits: String = text[at..]
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap()
}

/// A flag that threads wait for.
#[derive(Clone, Default)]
struct Signal(Arc<(Mutex<bool>, Condvar)>);

impl Signal {
    fn set(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let mut set = self.0.0.lock().unwrap();
        while !*set {
            set = self.0.1.wait(set).unwrap();
        }
    }
}

/// Promise 1. Hunts: a task that is queued twice (two wakes that race, or a wake and the end of a poll), and so
/// polled by two workers at once.
#[test]
fn p1_one_poll_at_a_time() {
    let _guard = hang_guard();
    let executor = Executor::with_capacity(3);
    let drops = Drops::new();
    with_workers(&executor, 3, || {
        let handles: Vec<_> = (0..8)
            .map(|i| {
                let value = drops.value();
                let wakers = Wakers::default();
                let polled = Arc::new(AtomicBool::new(false));
                let group = (i % 2 == 0).then(|| executor.group().build());
                let mut left = rounds(500);
                let theirs = wakers.clone();
                let handle = executor
                    .build_task()
                    .group(&group)
                    .spawn(poll_fn(move |cx| {
                        let _ = &value;
                        assert!(!polled.swap(true, SeqCst), "polled twice at the same time");
                        theirs.keep(cx);
                        theirs.keep(cx);
                        left -= 1;
                        thread::yield_now();
                        assert!(polled.swap(false, SeqCst));
                        if left == 0 {
                            Poll::Ready(())
                        } else {
                            Poll::Pending
                        }
                    }));
                (handle, wakers)
            })
            .collect();
        thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| {
                    while !handles.iter().all(|(handle, _)| handle.is_complete()) {
                        for (_, wakers) in &handles {
                            for (i, waker) in wakers.take().into_iter().enumerate() {
                                waker.wake_by_ref();
                                if i % 2 == 0 {
                                    waker.wake();
                                }
                            }
                        }
                        thread::yield_now();
                    }
                });
            }
        });
        for (handle, _) in handles {
            joined(handle).unwrap();
        }
    });
    drops.assert_all_once();
}

/// Promise 2. Hunts: a wake from inside the poll that is lost: by reference, by value, through the handle, through
/// the scheduler.
#[test]
fn p2_a_wake_during_a_poll_leads_to_another() {
    type Waking = fn(&Context<'_>, &hart_executor::Scheduler);
    let ways: [Waking; 4] = [
        |cx, _| cx.waker().wake_by_ref(),
        |cx, _| {
            let waker = cx.waker().clone();
            waker.wake();
        },
        |_, scheduler| scheduler.current_task().unwrap().wake(),
        |_, scheduler| scheduler.schedule(&scheduler.current_task().unwrap()),
    ];
    for way in ways {
        for fair in [false, true] {
            let (executor, _machine) = on_machine(1);
            let mut worker = Worker::new(&executor).unwrap();
            let group = fair.then(|| executor.group().build());
            let inside = executor.clone();
            let mut polls = 0;
            let task = executor
                .build_task()
                .group(&group)
                .spawn(poll_fn(move |cx| {
                    polls += 1;
                    way(cx, &inside.current_scheduler().unwrap());
                    if polls < 3 {
                        Poll::Pending
                    } else {
                        Poll::Ready(polls)
                    }
                }));
            until_asleep(&mut worker);
            assert_eq!(joined(task).unwrap(), 3);
        }
    }
}

/// Promise 2. Hunts: a wake from another thread that comes between the beginning and the end of the poll. The
/// poll keeps its worker until the wake has happened.
#[test]
fn p2_a_wake_from_another_thread_during_a_poll_leads_to_another() {
    let _guard = hang_guard();
    let executor = Executor::new();
    let mut worker = Worker::new(&executor).unwrap();
    for by_value in [false, true] {
        let mut polls = 0;
        let task = executor.spawn(poll_fn(move |cx| {
            polls += 1;
            if polls == 2 {
                return Poll::Ready(());
            }
            let waker = cx.waker().clone();
            let waking = thread::spawn(move || {
                if by_value {
                    waker.wake();
                } else {
                    waker.wake_by_ref();
                }
            });
            waking.join().unwrap();
            Poll::Pending
        }));
        worker.run(task).unwrap().unwrap();
    }
}

/// Promise 3. Hunts: a worker that sleeps beside a queued task. The first of two tasks keeps its worker until the
/// second has run, so that the other worker has to come, from wherever they were queued.
#[test]
fn p3_nobody_sleeps_beside_queued_work() {
    let _guard = hang_guard();
    let executor = Executor::with_capacity(2);
    let group = executor.group().build();
    with_workers(&executor, 2, || {
        for round in 0..rounds(2000) {
            let signal = Signal::default();
            let (first, second) = (signal.clone(), signal);
            let lane = (round % 3 == 2).then_some(&group);
            if round % 3 == 0 {
                // Both on the queue of the worker that spawns them, which the first then keeps.
                let inside = executor.clone();
                let spawning = executor.spawn(async move {
                    let second = inside.spawn(async move { second.set() });
                    first.wait();
                    second.await.unwrap();
                });
                block_on(spawning).unwrap();
            } else {
                let first = executor
                    .build_task()
                    .group(lane)
                    .spawn(async move { first.wait() });
                let second = executor
                    .build_task()
                    .group(lane)
                    .spawn(async move { second.set() });
                block_on(first).unwrap();
                block_on(second).unwrap();
            }
        }
    });
}

/// Promise 4. Hunts: an interval that is missed because of what is in the queues: a task from outside and the
/// `run` future come at theirs though two tasks never let the queue run empty.
#[test]
fn p4_injector_and_run_future_have_their_turn() {
    let _guard = hang_guard();
    let (executor, _machine) = on_machine(1);
    let mut worker = Worker::new(&executor).unwrap();
    let polls = Arc::new(AtomicUsize::new(0));
    for _ in 0..2 {
        let polls = polls.clone();
        drop(executor.spawn(poll_fn(move |cx| {
            polls.fetch_add(1, SeqCst);
            cx.waker().wake_by_ref();
            Poll::Pending::<()>
        })));
    }
    let mut outside = None;
    let mut last = 0;
    let turns = worker.run(poll_fn(|cx| {
        let now = polls.load(SeqCst);
        assert!(now - last <= 16, "{} polls without a look", now - last);
        last = now;
        cx.waker().wake_by_ref();
        if now > 50 && outside.is_none() {
            let executor = &executor;
            let spawn = || executor.spawn(async {});
            let task = thread::scope(|threads| threads.spawn(spawn).join().unwrap());
            outside = Some((task, now));
        }
        match &outside {
            Some((task, since)) if task.is_complete() => Poll::Ready(now - since),
            _ => Poll::Pending,
        }
    }));
    // One round to its interval, one interval of the future's, and what was queued before it.
    assert!(turns.unwrap() <= INJECTOR_INTERVAL + 16 + 3);
}

/// Promise 4. Hunts: a tick that goes on for as long as guests do. Each poll here takes 4 ms of the machine's
/// clock.
#[test]
fn p4_a_tick_is_bounded_in_time_where_guests_run() {
    let (executor, machine) = on_machine(1);
    let mut worker = Worker::new(&executor).unwrap();
    let group = executor.group().build();
    for _ in 0..2 {
        let machine = machine.clone();
        drop(
            executor
                .build_task()
                .group(&group)
                .spawn(poll_fn(move |cx| {
                    machine.advance(4_000_000);
                    cx.waker().wake_by_ref();
                    Poll::Pending::<()>
                })),
        );
    }
    let tick = worker.tick();
    assert!(tick.polled <= 4, "{} polls", tick.polled);
    assert!(tick.has_remaining);
}

/// Promise 4. Hunts: a `close` that a worker sees late: a tick polls nothing after it.
#[test]
fn p4_close_is_seen_within_a_tick() {
    let (executor, _machine) = on_machine(1);
    let mut worker = Worker::new(&executor).unwrap();
    for i in 0..20 {
        let closing = executor.clone();
        drop(executor.spawn(async move {
            if i == 4 {
                closing.close();
            }
        }));
    }
    assert_eq!(worker.tick().polled, 5);
    assert_eq!(worker.step(), Step::Closed);
}

/// Promise 5. Hunts: a close from outside against workers that poll, sleep and steal: tasks of every kind are
/// dropped once, none is polled after `close` returned, every handle resolves, every `run` returns.
#[test]
fn p5_close_ends_everything_once() {
    let _guard = hang_guard();
    for round in 0..rounds(200) {
        let executor = Executor::with_capacity(2);
        let (drops, outputs) = (Drops::new(), Drops::new());
        let wakers = Wakers::default();
        let closed = Arc::new(AtomicBool::new(false));
        let group = executor.group().build();
        let handles: Vec<JoinHandle<common::Counted>> = with_workers(&executor, 2, || {
            let handles = (0..30)
                .map(|i| {
                    let (value, output) = (drops.value(), outputs.value());
                    let (closed, wakers) = (closed.clone(), wakers.clone());
                    let mut yields = Yields(if i % 3 == 0 { usize::MAX } else { i % 5 });
                    let mut output = Some(output);
                    executor
                        .build_task()
                        .group((i % 2 == 0).then_some(&group))
                        .spawn(poll_fn(move |cx| {
                            let _ = &value;
                            // A poll that is under way when the close comes ends; none begins.
                            assert!(!closed.load(SeqCst), "polled after the close");
                            wakers.keep(cx);
                            if i % 3 == 1 {
                                return Poll::Pending;
                            }
                            Pin::new(&mut yields)
                                .poll(cx)
                                .map(|()| output.take().unwrap())
                        }))
                })
                .collect();
            for _ in 0..round % 7 {
                thread::yield_now();
            }
            executor.close();
            // Polls that were under way have begun before.
            handles
        });
        // The workers are gone.
        closed.store(true, SeqCst);
        for handle in handles {
            match joined(handle) {
                Ok(output) => drop(output),
                Err(error) => assert!(error.is_closed(), "{error}"),
            }
        }
        for (i, waker) in wakers.take().into_iter().enumerate() {
            if i % 2 == 0 {
                waker.wake();
            }
        }
        assert!(executor.is_closed());
        assert_eq!(executor.pending_tasks(), 0);
        assert!(executor.injector().is_empty());
        drop((executor, group));
        drops.assert_all_once();
        outputs.assert_all_once();
    }
}

/// Promise 5. Hunts: a joiner on another thread that waits for a task when the executor closes.
#[test]
fn p5_a_waiting_joiner_is_told_of_the_close() {
    let _guard = hang_guard();
    let executor = Executor::new();
    let handle = executor.spawn(pending::<()>());
    thread::scope(|threads| {
        let joining = threads.spawn(|| block_on(handle));
        thread::yield_now();
        executor.close();
        assert!(joining.join().unwrap().unwrap_err().is_closed());
    });
}

/// Promise 5, and the owner's promise: the last handle closes and frees everything, though wakers are held.
#[test]
fn p5_the_last_handle_closes() {
    let (executor, machine) = on_machine(1);
    let drops = Drops::new();
    let value = drops.value();
    let wakers = Wakers::default();
    let theirs = wakers.clone();
    let handle = executor.spawn(poll_fn(move |cx| {
        let _ = &value;
        theirs.keep(cx);
        Poll::Pending::<()>
    }));
    let mut worker = Worker::new(&executor).unwrap();
    until_asleep(&mut worker);
    drop(executor);
    assert_eq!(drops.count(), 0, "the worker has a handle");
    drop(worker);
    drops.assert_all_once();
    assert!(joined(handle).unwrap_err().is_closed());
    for waker in wakers.take() {
        waker.wake();
    }
    drop(wakers);
    assert_eq!(Arc::strong_count(&machine), 1, "the executor is freed");
}

/// Promise 6. Hunts: a cancel that waits for the next wake. Idle, queued, running, woken while running; from the
/// thread of the worker and from another.
#[test]
fn p6_cancel_drops_the_future_promptly() {
    let _guard = hang_guard();
    for elsewhere in [false, true] {
        let (executor, _machine) = on_machine(1);
        let mut worker = Worker::new(&executor).unwrap();
        let drops = Drops::new();
        let cancel = |handle: &JoinHandle<()>| {
            if elsewhere {
                thread::scope(|threads| threads.spawn(|| handle.cancel()).join().unwrap());
            } else {
                handle.cancel();
            }
        };
        let spawn = || {
            let value = drops.value();
            executor.spawn(async move {
                let _value = value;
                pending::<()>().await;
            })
        };

        let queued = spawn();
        cancel(&queued);
        assert_eq!(drops.count(), 1);
        assert!(joined(queued).unwrap_err().is_cancelled());

        let idle = spawn();
        until_asleep(&mut worker);
        cancel(&idle);
        assert_eq!(drops.count(), 2);
        assert!(joined(idle).unwrap_err().is_cancelled());

        for woken in [false, true] {
            let value = drops.value();
            let handle: Arc<Mutex<Option<JoinHandle<()>>>> = Arc::default();
            let own = handle.clone();
            let running = executor.spawn(poll_fn(move |cx| {
                let _ = &value;
                if woken {
                    cx.waker().wake_by_ref();
                }
                let task = own.lock().unwrap().as_ref().unwrap().task();
                if elsewhere {
                    thread::spawn(move || task.cancel()).join().unwrap();
                } else {
                    task.cancel();
                }
                Poll::Pending
            }));
            *handle.lock().unwrap() = Some(running);
            let before = drops.count();
            while drops.count() == before {
                // One poll, at whose end the future goes.
                let step = worker.step();
                assert!(!matches!(step, Step::Sleep { .. }));
            }
            let running = handle.lock().unwrap().take().unwrap();
            assert!(joined(running).unwrap_err().is_cancelled());
        }
        until_asleep(&mut worker);
        drops.assert_all_once();
    }
}

/// A waker that counts.
struct Counting {
    wakes: AtomicUsize,
    _value: common::Counted,
}

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, SeqCst);
    }
}

/// Promise 7. Hunts: a handle that remembers a waker it should have replaced: the last one is woken, and no other.
#[test]
fn p7_a_handle_is_polled_with_changing_wakers() {
    let (executor, _machine) = on_machine(1);
    let mut worker = Worker::new(&executor).unwrap();
    let drops = Drops::new();
    let mut handle = executor.spawn(async { 5 });
    let wakers: Vec<_> = (0..3)
        .map(|_| {
            Arc::new(Counting {
                wakes: AtomicUsize::new(0),
                _value: drops.value(),
            })
        })
        .collect();
    for counting in &wakers {
        let waker = Waker::from(counting.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(Pin::new(&mut handle).poll(&mut cx).is_pending());
        // With the same one again, which changes nothing.
        assert!(Pin::new(&mut handle).poll(&mut cx).is_pending());
    }
    until_asleep(&mut worker);
    let wakes: Vec<_> = wakers.iter().map(|w| w.wakes.load(SeqCst)).collect();
    assert_eq!(wakes, [0, 0, 1]);
    assert_eq!(joined(handle).unwrap(), 5);
    drop(wakers);
    drops.assert_all_once();
}

/// Promise 7. Hunts: a handle that is polled on one thread and joined on another, or polled and dropped, while the
/// task completes on a third.
#[test]
fn p7_a_handle_moves_and_goes() {
    let _guard = hang_guard();
    let executor = Executor::with_capacity(1);
    let drops = Drops::new();
    with_workers(&executor, 1, || {
        for round in 0..rounds(1000) {
            let value = drops.value();
            let mut handle = executor.spawn(async move {
                yield_now().await;
                value
            });
            if let Poll::Ready(output) = poll_once(&mut handle) {
                drop(output);
                continue;
            }
            thread::scope(|threads| {
                threads.spawn(move || {
                    if round % 2 == 0 {
                        drop(block_on(handle).unwrap());
                    } else {
                        drop(handle);
                    }
                });
            });
        }
    });
    drop(executor);
    drops.assert_all_once();
}

/// Promise 8. Hunts: a panic that reaches the worker, another task, or nobody.
#[cfg(feature = "std")]
#[test]
fn p8_a_panic_reaches_its_joiner_only() {
    common::quiet_panics();
    let (executor, _machine) = on_machine(1);
    let mut worker = Worker::new(&executor).unwrap();
    let group = executor.group().build();
    let drops = Drops::new();
    for lane in [None, Some(&group)] {
        let value = drops.value();
        let before = executor.spawn(async {});
        let panicking = executor.build_task().group(lane).spawn(async move {
            let _value = value;
            yield_now().await;
            std::panic::panic_any(common::ON_PURPOSE);
        });
        let detached = executor
            .build_task()
            .group(lane)
            .spawn(async { std::panic::panic_any(common::ON_PURPOSE) });
        drop::<JoinHandle<()>>(detached);
        let after = executor.spawn(async { 3 });
        until_asleep(&mut worker);
        joined(before).unwrap();
        assert_eq!(joined(after).unwrap(), 3);
        let error = joined::<JoinHandle<()>>(panicking).unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled() && !error.is_closed());
        assert_eq!(
            error.into_panic().downcast_ref::<&str>(),
            Some(&common::ON_PURPOSE)
        );
    }
    drops.assert_all_once();
}

/// Promise 9. Hunts: a worker that goes round until another thread gets on: every queue is held by somebody who
/// does not let go, and the workers come to rest. When all is given back, everything runs.
#[test]
fn p9_nobody_spins_on_a_queue_that_is_held() {
    let (executor, _machine) = on_machine(2);
    let mut first = Worker::new(&executor).unwrap();
    let mut second = Worker::new(&executor).unwrap();
    for _ in 0..6 {
        drop(executor.spawn(async {}));
    }
    let injector = executor.injector();
    let (one, two) = (first.scheduler(), second.scheduler());
    let mut from_injector = injector.try_steal().unwrap();
    assert_eq!(from_injector.spawn_n(&one, 2), 2);
    assert_eq!(from_injector.spawn_n(&two, 2), 2);
    let from_one = one.try_steal().unwrap();
    let from_two = two.try_steal().unwrap();
    for worker in [&mut first, &mut second] {
        assert!(until_asleep(worker) < 10);
    }
    drop((from_injector, from_one, from_two));
    until_asleep(&mut first);
    until_asleep(&mut second);
    assert_eq!(executor.pending_tasks(), 0);
}

/// Promise 10. Hunts: a combination that nobody thought of: random sequences of spawns, polls, wakes, cancels,
/// joins, drops and closes; every future, output and waker is dropped once.
#[test]
fn p10_random_sequences_drop_everything_once() {
    let _guard = hang_guard();
    for seed in 0..if cfg!(miri) { 12 } else { 2_000 } {
        random_sequence(seed);
    }
}

fn random_sequence(seed: u64) {
    // xorshift64*
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = |below: usize| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below
    };
    let (futures, outputs, joiners) = (Drops::new(), Drops::new(), Drops::new());
    let (executor, machine) = on_machine(2);
    let mut workers: Vec<Worker> = (0..2).map(|_| Worker::new(&executor).unwrap()).collect();
    let group = executor.group().build();
    let wakers = Wakers::default();
    let mut held: Vec<Waker> = Vec::new();
    let mut handles: Vec<JoinHandle<common::Counted>> = Vec::new();
    for _ in 0..60 {
        let pick = |random: &mut dyn FnMut(usize) -> usize, len: usize| random(len.max(1));
        match random(12) {
            0..3 => {
                let (value, outputs) = (futures.value(), outputs.clone());
                let theirs = wakers.clone();
                let mut left = random(4);
                let spawned = executor
                    .build_task()
                    .group((random(2) == 0).then_some(&group))
                    .try_spawn(poll_fn(move |cx| {
                        let _ = &value;
                        if left == 0 {
                            return Poll::Ready(outputs.value());
                        }
                        left -= 1;
                        theirs.keep(cx);
                        if left % 2 == 0 {
                            cx.waker().wake_by_ref();
                        }
                        Poll::Pending
                    }));
                handles.extend(spawned.ok());
            }
            3..6 => {
                let at = pick(&mut random, workers.len());
                if let Some(worker) = workers.get_mut(at) {
                    let _ = worker.step();
                }
            }
            6 => {
                held.extend(wakers.take());
                if !held.is_empty() {
                    let waker = held.swap_remove(pick(&mut random, held.len()));
                    match random(3) {
                        0 => waker.wake(),
                        1 => waker.wake_by_ref(),
                        _ => drop(waker),
                    }
                }
            }
            7 if !handles.is_empty() => {
                handles[pick(&mut random, handles.len())].cancel();
            }
            8 if !handles.is_empty() => {
                drop(handles.swap_remove(pick(&mut random, handles.len())));
            }
            9 if !handles.is_empty() => {
                let at = pick(&mut random, handles.len());
                let waker = Waker::from(Arc::new(Counting {
                    wakes: AtomicUsize::new(0),
                    _value: joiners.value(),
                }));
                let polled = Pin::new(&mut handles[at]).poll(&mut Context::from_waker(&waker));
                if polled.is_ready() {
                    drop(handles.swap_remove(at));
                }
            }
            10 if random(10) == 0 => executor.close(),
            11 if random(10) == 0 => {
                workers.pop();
                workers.extend(Worker::new(&executor).ok());
            }
            _ => {}
        }
    }
    match seed % 3 {
        // Whatever order things go in.
        0 => {
            drop((executor, group));
            drop(workers);
            drop(handles);
        }
        1 => {
            drop(handles);
            drop(workers);
            drop((group, executor));
        }
        _ => {
            executor.close();
            drop(held);
            drop((workers, executor, group));
            drop(handles);
            held = Vec::new();
        }
    }
    drop((held, wakers));
    for drops in [futures, outputs, joiners] {
        assert_eq!(drops.count(), drops.given(), "seed {seed}");
    }
    assert_eq!(
        Arc::strong_count(&machine),
        1,
        "seed {seed}: the executor is left"
    );
}

/// A worker whose queue never runs empty does not keep another from its share: what is woken there is stolen.
#[test]
fn p3_a_busy_worker_shares() {
    let _guard: HangGuard = hang_guard();
    let (executor, machine) = on_machine(2);
    let mut busy = Worker::new(&executor).unwrap();
    let mut idle = Worker::new(&executor).unwrap();
    until_asleep(&mut idle);
    for _ in 0..4 {
        drop(executor.spawn(Spins));
    }
    busy.tick_n(8);
    assert_eq!(machine.unparked(idle.id()), 1);
    assert_eq!(idle.step(), Step::Stole(2));
}

/// Promise 4. Hunts an injector that is looked at and never emptied, because tasks that yield for ever fill the
/// worker's own queue to the brim.
#[test]
fn a_full_queue_does_not_keep_out_the_injector() {
    let executor = Executor::new();
    let mut worker = Worker::new(&executor).unwrap();
    let flag = Arc::new(AtomicBool::new(false));
    // More than a ring holds, whatever it is built for.
    for _ in 0..256 {
        let flag = flag.clone();
        drop(executor.spawn(async move {
            while !flag.load(SeqCst) {
                yield_now().await;
            }
        }));
    }
    let last = flag.clone();
    drop(executor.spawn(async move { last.store(true, SeqCst) }));
    let mut polls = 0;
    while !flag.load(SeqCst) {
        polls += worker.tick().polled;
        assert!(polls < 100_000, "the last task is never polled");
    }
    while worker.tick().polled > 0 {}
    assert_eq!(executor.pending_tasks(), 0);
}
