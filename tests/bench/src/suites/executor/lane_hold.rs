//! How long the fair lane's lock is held for a turn, by how many groups have polls in flight.
//!
//! All on one core: a task's poll steps the next worker, whose task does the same, and so on. The last worker takes turns,
//! among tasks that each of the groups has beside the one whose poll goes on.

use crate::{
    measure::Bench,
    row::{Row, median},
};
use hart_executor::{Executor, Group, Step, Worker, lane_hold, yield_now};
use std::{
    future::poll_fn,
    sync::mpsc,
    task::Poll,
    thread,
    time::{Duration, Instant},
};

const TURNS: usize = 10_000;

/// How long a poll takes: too long for turns of several.
const POLL: Duration = Duration::from_micros(4);

pub(crate) fn run(bench: &mut Bench, suite: &'static str) {
    for groups in [8, 64, 256] {
        let case = format!("lane_hold/{groups}");
        if !bench.wants(suite, &case) {
            continue;
        }
        let rounds = if bench.is_quick() { 3 } else { 11 };
        let (results, repeated) = bench.repeat(rounds, |_| (held(groups), held(1)));
        let (harts, peers): (Vec<_>, Vec<_>) = results.into_iter().unzip();
        let ratios: Vec<f64> = harts.iter().zip(&peers).map(|(h, p)| p / h).collect();
        bench.record(Row {
            suite,
            case,
            unit: "ns",
            hart: median(&harts),
            peer: median(&peers),
            peer_name: "1 group",
            ratio: median(&ratios),
            rounds,
            repeated,
            figures: Vec::new(),
        });
    }
}

/// Nanoseconds for a turn while so many groups have polls in flight.
fn held(groups: usize) -> f64 {
    let (held, result) = mpsc::channel();
    let stack = thread::Builder::new().stack_size(256 << 20);
    let thread = stack.spawn(move || {
        let executor = Executor::with_capacity(groups);
        let groups: Vec<_> = (0..groups).map(|_| executor.group().build()).collect();
        nest(&executor, groups.clone(), 1, move |worker| {
            held.send(measure(worker, &groups)).expect("it is awaited");
        });
        executor.close();
    });
    thread
        .expect("a thread can be started")
        .join()
        .expect("no round panics");
    result.recv().expect("it was measured")
}

/// Calls `last` with a worker while each of `groups` but the first has a poll in flight.
fn nest(
    executor: &Executor,
    groups: Vec<Group>,
    depth: usize,
    last: impl FnOnce(&mut Worker) + Send + 'static,
) {
    let mut worker = Worker::new(executor).expect("it is open");
    let Some(group) = groups.get(depth).cloned() else {
        return last(&mut worker);
    };
    let (inner, mut rest) = (executor.clone(), Some((groups, last)));
    let poll = poll_fn(move |_| {
        let (groups, last) = rest.take().expect("it is polled once");
        let last: Box<dyn FnOnce(&mut Worker) + Send> = Box::new(last);
        nest(&inner, groups, depth + 1, last);
        Poll::Ready(())
    });
    drop(executor.build_task().group(&group).spawn(poll));
    while worker.step() != Step::Polled {}
}

fn measure(worker: &mut Worker, groups: &[Group]) -> f64 {
    let executor = worker.executor().clone();
    let spin = |group: &Group, polls: usize| {
        executor.build_task().group(group).spawn(async move {
            for _ in 0..polls {
                let began = Instant::now();
                while began.elapsed() < POLL {}
                yield_now().await;
            }
        })
    };
    for group in &groups[1..] {
        drop(spin(group, usize::MAX));
    }
    let mut take_turns = |turns: usize| {
        let task = spin(&groups[0], turns / groups.len());
        worker
            .run(task)
            .expect("it is open")
            .expect("it does not panic");
    };
    take_turns(TURNS / 10);
    lane_hold::take();
    let polls = || {
        executor
            .workers()
            .iter()
            .map(|worker| worker.polls)
            .sum::<u64>()
    };
    let before = polls();
    take_turns(TURNS);
    let held = lane_hold::take();
    let turns = polls() - before;
    nanoseconds(held) / turns as f64 - clock()
}

/// What a look at the clock takes, which is a part of what is counted.
fn clock() -> f64 {
    let mut looks: Vec<_> = (0..1_000)
        .map(|_| nanoseconds(Instant::now().elapsed()))
        .collect();
    looks.sort_by(f64::total_cmp);
    looks.iter().take(900).sum::<f64>() / 900.0
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}
