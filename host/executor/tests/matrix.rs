//! Every state of a task x everything that can happen to it x where that comes from x both lanes: 180 cases,
//! made by four loops. In each of them the future, its output and the joiner's wakers are dropped once, the
//! memory goes back to its allocator, the joiner is told what it should be told, and the worker goes on.
#![cfg(all(not(loom), feature = "std"))]

mod common;

use common::{
    Counted, CountingAllocator, Drops, Machine, ON_PURPOSE, hang_guard, poll_once, quiet_panics,
    until_asleep,
};
use hart_executor::{Executor, JoinError, JoinHandle, Worker};
use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Queued,
    Idle,
    WokenWhileRunning,
    Finished,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Cancel,
    DropHandle,
    Join,
    Close,
    PanicInPoll,
    PanicInDrop,
}

/// Where the event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    SameWorker,
    OtherWorker,
    Outside,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Fast,
    Fair,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    state: State,
    event: Event,
    from: From,
    lane: Lane,
}

/// What the joiner is told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Output,
    Cancelled,
    Closed,
    Panicked,
    /// There is no joiner any more.
    Nothing,
}

type Hook = Box<dyn FnOnce() + Send>;

/// What the test and the future of a case share.
#[derive(Default)]
struct Probe {
    /// Called inside the first poll.
    hook: Mutex<Option<Hook>>,
    waker: Mutex<Option<Waker>>,
    panics_in_poll: AtomicBool,
    panics_in_drop: AtomicBool,
    polls: AtomicUsize,
    futures: Drops,
    outputs: Drops,
    wakers: Drops,
    wakes: AtomicUsize,
}

/// Waits at its first poll, unless it is to be finished, and is ready at its second.
struct Probing {
    probe: Arc<Probe>,
    ready_at: usize,
    wakes_itself: bool,
    _value: Counted,
}

struct Output(Arc<Probe>, Counted);

impl Future for Probing {
    type Output = Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output> {
        let probe = &self.probe;
        let polls = probe.polls.fetch_add(1, SeqCst) + 1;
        *probe.waker.lock().unwrap() = Some(cx.waker().clone());
        if self.wakes_itself && polls == 1 {
            cx.waker().wake_by_ref();
        }
        let hook = probe.hook.lock().unwrap().take();
        if let Some(hook) = hook {
            hook();
        }
        if probe.panics_in_poll.load(SeqCst) {
            std::panic::panic_any(ON_PURPOSE);
        }
        if polls >= self.ready_at {
            Poll::Ready(Output(probe.clone(), probe.outputs.value()))
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        if self.probe.panics_in_drop.load(SeqCst) {
            std::panic::panic_any(ON_PURPOSE);
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let _ = &self.1;
        if self.0.panics_in_drop.load(SeqCst) {
            std::panic::panic_any(ON_PURPOSE);
        }
    }
}

/// A joiner's waker.
struct Joiner(Arc<Probe>, Counted);

impl Wake for Joiner {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let _ = &self.1;
        self.0.wakes.fetch_add(1, SeqCst);
    }
}

type Handle = Arc<Mutex<Option<JoinHandle<Output>>>>;

/// What `event` is, as something to call where it comes from.
fn action(event: Event, executor: &Executor, probe: &Arc<Probe>, handle: &Handle) -> Hook {
    let (executor, probe, handle) = (executor.clone(), probe.clone(), handle.clone());
    Box::new(move || match event {
        Event::Cancel => handle.lock().unwrap().as_ref().unwrap().cancel(),
        Event::DropHandle => {
            let taken = handle.lock().unwrap().take();
            drop(taken);
        }
        Event::Join => {
            let waker = Waker::from(Arc::new(Joiner(probe.clone(), probe.wakers.value())));
            let mut cx = Context::from_waker(&waker);
            let mut handle = handle.lock().unwrap();
            // Two wakers, so that one is replaced.
            if poll_once(&mut PollOnly(handle.as_mut().unwrap())).is_pending() {
                let polled = pin!(PollOnly(handle.as_mut().unwrap())).poll(&mut cx);
                assert!(polled.is_pending());
            }
        }
        Event::Close => executor.close(),
        Event::PanicInPoll => probe.panics_in_poll.store(true, SeqCst),
        Event::PanicInDrop => {
            probe.panics_in_drop.store(true, SeqCst);
            // Taken out, because a finished task's output is dropped with the handle.
            let taken = handle.lock().unwrap().take().unwrap();
            taken.cancel();
            if probe.outputs.given() > 0 {
                drop(taken);
            } else {
                *handle.lock().unwrap() = Some(taken);
            }
        }
    })
}

/// Polls a handle unless it is complete: its result stays for the end of the test.
struct PollOnly<'a>(&'a mut JoinHandle<Output>);

impl Future for PollOnly<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.is_complete() {
            return Poll::Ready(());
        }
        match Pin::new(&mut *self.0).poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(_) => panic!("it completed while nobody ran it"),
        }
    }
}

/// Wraps an action so that it happens where it should come from. `worker` is where the same worker's thread
/// is outside of any poll.
fn coming_from(from: From, executor: &Executor, action: Hook, worker: Option<&mut Worker>) {
    match (from, worker) {
        // Inside the task's own poll.
        (From::SameWorker, None) => action(),
        // A `run` future is polled before any task is, so that a queued task stays queued.
        (From::SameWorker, Some(worker)) => {
            worker.run(async { action() }).unwrap();
        }
        (From::OtherWorker, _) => thread::scope(|threads| {
            let other = threads.spawn(|| {
                let mut other = Worker::new(executor).unwrap();
                other.run(async { action() }).unwrap();
            });
            other.join().unwrap();
        }),
        (From::Outside, _) => thread::scope(|threads| {
            threads.spawn(action).join().unwrap();
        }),
    }
}

fn expected(case: Case) -> Told {
    match (case.event, case.state) {
        (Event::DropHandle, _) | (Event::PanicInDrop, State::Finished) => Told::Nothing,
        (_, State::Finished) | (Event::Join, _) => Told::Output,
        (Event::Cancel, _) => Told::Cancelled,
        (Event::Close, _) => Told::Closed,
        (Event::PanicInPoll | Event::PanicInDrop, _) => Told::Panicked,
    }
}

fn told(result: Result<Output, JoinError>) -> Told {
    match result {
        Ok(_) => Told::Output,
        Err(error) if error.is_cancelled() => Told::Cancelled,
        Err(error) if error.is_closed() => Told::Closed,
        Err(error) => {
            assert_eq!(error.into_panic().downcast_ref::<&str>(), Some(&ON_PURPOSE));
            Told::Panicked
        }
    }
}

fn check(case: Case) {
    let machine = Machine::new();
    let executor = Executor::with_platform(2, machine);
    let probe = Arc::new(Probe::default());
    let memory = CountingAllocator::default();
    let mut worker = Worker::new(&executor).unwrap();
    let group = executor.group().build();
    let handle: Handle = Arc::default();

    let in_poll = matches!(case.state, State::Running | State::WokenWhileRunning);
    if in_poll {
        let act = action(case.event, &executor, &probe, &handle);
        let there = executor.clone();
        *probe.hook.lock().unwrap() = Some(Box::new(move || {
            coming_from(case.from, &there, act, None);
        }));
    }
    let future = Probing {
        probe: probe.clone(),
        ready_at: if case.state == State::Finished { 1 } else { 2 },
        wakes_itself: case.state == State::WokenWhileRunning,
        _value: probe.futures.value(),
    };
    let spawned = executor
        .build_task()
        .group((case.lane == Lane::Fair).then_some(&group))
        .try_spawn_in(future, memory.clone())
        .unwrap();
    let task = spawned.task();
    *handle.lock().unwrap() = Some(spawned);
    if matches!(case.state, State::Idle | State::Finished) {
        until_asleep(&mut worker);
        assert_eq!(task.is_complete(), case.state == State::Finished);
    }

    if in_poll {
        while probe.polls.load(SeqCst) == 0 {
            let _ = worker.step();
        }
    } else {
        let act = action(case.event, &executor, &probe, &handle);
        coming_from(case.from, &executor, act, Some(&mut worker));
    }
    // What has to have happened by now.
    let ended = matches!(case.event, Event::Cancel | Event::Close)
        || (case.event == Event::PanicInDrop)
        || (case.event == Event::PanicInPoll && in_poll);
    if ended {
        assert!(task.is_complete());
        assert_eq!(probe.futures.count(), 1);
    }

    // On to the end, whatever is left to do.
    let polls = probe.polls.load(SeqCst);
    let wake = || {
        let waker = probe.waker.lock().unwrap().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    };
    wake();
    if !executor.is_closed() {
        until_asleep(&mut worker);
        // A task that was queued waits only now.
        wake();
        until_asleep(&mut worker);
        // The worker goes on.
        let after = executor.spawn(async { 7 });
        assert_eq!(worker.run(after).unwrap().unwrap(), 7);
    } else {
        assert!(worker.run(std::future::pending::<()>()).is_err());
    }
    if ended {
        assert_eq!(probe.polls.load(SeqCst), polls, "polled after its end");
    }
    assert!(task.is_complete());
    assert_eq!(probe.futures.count(), 1);
    let left = handle.lock().unwrap().take();
    let result = match left {
        None => Told::Nothing,
        Some(handle) => told(common::joined(handle)),
    };
    assert_eq!(result, expected(case));
    if case.event == Event::Join && case.state != State::Finished {
        assert_eq!(probe.wakes.load(SeqCst), 1, "the joiner is woken once");
    }
    probe.outputs.assert_all_once();
    probe.wakers.assert_all_once();
    assert_eq!(group.stats().live_tasks, 0);
    assert_eq!(executor.pending_tasks(), 0);
    // The last reference, held elsewhere when all else is gone.
    let last = probe.waker.lock().unwrap().take();
    drop((task, worker, group, executor));
    drop(last);
    assert_eq!((memory.total(), memory.out()), (1, 0), "its memory is free");
    assert_eq!(memory.copies(), 1, "the allocator went with it");
    assert_eq!(Arc::strong_count(&probe), 1, "nothing else is left");
}

/// Hunts: any two of these events that were thought of one by one, and not together.
#[test]
fn every_state_and_event_and_origin_and_lane() {
    quiet_panics();
    let _guard = hang_guard();
    let mut cases = 0;
    for state in [
        State::Running,
        State::Queued,
        State::Idle,
        State::WokenWhileRunning,
        State::Finished,
    ] {
        for event in [
            Event::Cancel,
            Event::DropHandle,
            Event::Join,
            Event::Close,
            Event::PanicInPoll,
            Event::PanicInDrop,
        ] {
            for from in [From::SameWorker, From::OtherWorker, From::Outside] {
                for lane in [Lane::Fast, Lane::Fair] {
                    let case = Case {
                        state,
                        event,
                        from,
                        lane,
                    };
                    cases += 1;
                    // Under Miri each takes seconds: every fifth, so that each state meets each event, origin and lane.
                    if cfg!(miri) && cases % 5 != 0 {
                        continue;
                    }
                    let checked = std::panic::catch_unwind(|| check(case));
                    assert!(checked.is_ok(), "{case:?}");
                }
            }
        }
    }
    assert_eq!(cases, 180);
}
