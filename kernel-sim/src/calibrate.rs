//! Measures what the cost model guesses, on this computer: real runs beside the machine's own figures.

use hart_executor::{Executor, Step, Worker, yield_now};
use hart_host::{Cache, Host, Preemption, Stdio};
use hart_sim::{Config, Cost, Guest, Schedule};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

type Error = Box<dyn std::error::Error>;

/// Rounds of each measurement; the median counts.
const ROUNDS: usize = 7;

/// Prints each constant as it is and as it is measured here.
pub(crate) fn calibrate(guest: &Path, args: &[String]) -> Result<(), Error> {
    println!("{:<52} {:>10} {:>10}", "", "the model", "here");
    let row = |name: &str, model: f64, here: f64| println!("{name:<52} {model:>10.3} {here:>10.3}");
    row("a unit of fuel, ns", Cost::FUEL, fuel(guest, args)?);
    row(
        "a guest's task with its instance, ns",
        Cost::INSTANCE,
        instance()?,
    );
    row("a poll of a future, ns", Cost::POLL, median(poll));
    row(
        "taking tasks from another's queue, ns",
        Cost::STEAL,
        median(steal),
    );
    let (few, many) = (median(|| idle(FEW)), median(|| idle(MANY)));
    let looks = f64::from((MANY - FEW) * Cost::LOOKS);
    row(
        "a look at another's queue, ns",
        Cost::LOOK,
        (many - few) / looks,
    );
    row(
        "from the last task to sleep, of 2 workers, ns",
        Cost::IDLE,
        few,
    );
    row(
        "a fair lane's lock, from another core, ns",
        Cost::LANE,
        median(turn),
    );
    let wakes: Vec<(f64, f64)> = (0..ROUNDS).map(|_| wake()).collect();
    let of = |part: fn(&(f64, f64)) -> f64| middle(wakes.iter().map(part).collect());
    row(
        "a spawn that wakes a sleeping worker, ns",
        Cost::SEND,
        of(|wake| wake.0),
    );
    row(
        "from there to that worker's poll, ns",
        Cost::WAKE,
        of(|wake| wake.1),
    );
    Ok(())
}

fn median(measure: impl Fn() -> f64) -> f64 {
    middle((0..ROUNDS).map(|_| measure()).collect())
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Workers that are compared.
const FEW: u32 = 2;
const MANY: u32 = 66;

/// Two workers of this thread: one whose task spawns others, one that takes half of them.
fn steal() -> f64 {
    const TIMES: u32 = 2_000;
    let executor = Executor::new();
    let mut owner = Worker::new(&executor).expect("it is open");
    let mut thief = Worker::new(&executor).expect("it is open");
    let (mut spent, mut stolen) = (Duration::ZERO, 0_u32);
    while stolen < TIMES {
        let theirs = executor.clone();
        drop(executor.spawn(async move {
            for _ in 0..8 {
                drop(theirs.spawn(async {}));
            }
        }));
        while !matches!(owner.step(), Step::Polled) {}
        let began = Instant::now();
        let step = thief.step();
        let took = began.elapsed();
        if matches!(step, Step::Stole(_)) {
            spent += took;
            stolen += 1;
        }
        while executor.pending_tasks() > 0 {
            owner.tick();
            thief.tick();
        }
    }
    spent.as_secs_f64() * 1e9 / f64::from(TIMES)
}

/// One of so many workers of this thread that finds nothing anywhere and announces that it sleeps, again and
/// again.
fn idle(workers: u32) -> f64 {
    const TIMES: u32 = 2_000;
    let executor = Executor::new();
    let mut workers: Vec<Worker> = (0..workers)
        .map(|_| Worker::new(&executor).expect("it is open"))
        .collect();
    let worker = &mut workers[0];
    let began = Instant::now();
    for _ in 0..TIMES {
        // The first step takes the last announcement back.
        while !matches!(worker.step(), Step::Sleep { .. }) {}
    }
    began.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES)
}

/// CPU time of the guest for real, over the fuel that it uses on the machine.
fn fuel(guest: &Path, args: &[String]) -> Result<f64, Error> {
    let bytes = std::fs::read(guest)?;
    let simulated = args
        .iter()
        .fold(Guest::new(&bytes)?, |guest, arg| guest.arg(arg));
    let mut config = Config::new(0);
    config.harts = 1;
    config.schedule = Schedule::Time;
    let run = simulated.run(&config)?;
    run.result?;
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    let units = run.machine.stats.total().busy as f64 / Cost::FUEL;
    let preemption = Preemption::fuel();
    let host = Host::builder()
        .workers(1)
        .preemption(preemption)
        .cache(Cache::Off)
        .build()?;
    let component = host.load(&bytes)?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let run = host
            .command(&component)
            .arg("guest")
            .args(args.iter().cloned());
        let outcome = run.stdout(Stdio::Capture).start()?.wait()?;
        times.push(outcome.stats.cpu_time);
    }
    times.sort();
    Ok(times[ROUNDS / 2].as_secs_f64() * 1e9 / units)
}

/// CPU time of a guest's task that returns at once: its spawn, its instance, its end.
fn instance() -> Result<f64, Error> {
    const TASKS: u32 = 2_000;
    let host = Host::builder().workers(1).cache(Cache::Off).build()?;
    let component = host.load(include_bytes!("calibrate/spawner.wat"))?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let run = host.invoke(&component, &format!("many({TASKS})"))?;
        let outcome = run.start()?.wait()?;
        times.push(outcome.stats.cpu_time.as_secs_f64() * 1e9 / f64::from(TASKS));
    }
    Ok(middle(times))
}

/// One task that yields, on one worker.
fn poll() -> f64 {
    const POLLS: u32 = 1_000_000;
    let executor = Executor::new();
    let mut worker = Worker::new(&executor).expect("it is open");
    let task = executor.spawn(async {
        for _ in 0..POLLS {
            yield_now().await;
        }
    });
    let began = Instant::now();
    drop(worker.run(task));
    began.elapsed().as_secs_f64() * 1e9 / f64::from(POLLS)
}

/// Two workers that do nothing but take turns of groups, so that the lane's lock is all that they wait for: one turn.
fn turn() -> f64 {
    const GROUPS: usize = 50;
    // Each worker takes one of a group's.
    const TASKS: u32 = 100;
    const YIELDS: u32 = 500;
    let executor = Executor::with_capacity(2);
    let theirs = executor.clone();
    let thread = std::thread::spawn(move || {
        let mut worker = Worker::new(&theirs).expect("it is open");
        let _ = worker.run(std::future::pending::<()>());
    });
    let mut worker = Worker::new(&executor).expect("it is open");
    let groups: Vec<_> = (0..GROUPS).map(|_| executor.group().build()).collect();
    let began = Instant::now();
    let tasks: Vec<_> = (groups.iter().cycle().take(TASKS as usize))
        .map(|group| {
            executor.build_task().group(group).spawn(async {
                for _ in 0..YIELDS {
                    yield_now().await;
                }
            })
        })
        .collect();
    let _ = worker.run(async {
        for task in tasks {
            let _ = task.await;
        }
    });
    let took = began.elapsed();
    executor.close();
    let _ = thread.join();
    took.as_secs_f64() * 1e9 / f64::from(TASKS * YIELDS)
}

/// Spawns from a thread that is no worker, to one that sleeps: what the spawn takes, and how much later the
/// task is polled.
fn wake() -> (f64, f64) {
    const TIMES: u64 = 500;
    let executor = Executor::new();
    let theirs = executor.clone();
    let thread = std::thread::spawn(move || {
        let mut worker = Worker::new(&theirs).expect("it is open");
        let _ = worker.run(std::future::pending::<()>());
    });
    let began = Instant::now();
    let late = Arc::new(AtomicU64::new(0));
    let mut sending = Duration::ZERO;
    for _ in 0..TIMES {
        // Long enough for it to fall asleep.
        std::thread::sleep(Duration::from_micros(300));
        let (late, spawned) = (late.clone(), began.elapsed());
        let task = executor.spawn(async move {
            let now = began.elapsed().saturating_sub(spawned);
            late.fetch_add(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        });
        sending += began.elapsed().saturating_sub(spawned);
        while !task.is_complete() {
            std::hint::spin_loop();
        }
    }
    executor.close();
    let _ = thread.join();
    #[expect(clippy::cast_precision_loss, reason = "averages")]
    let (late, times) = (late.load(Relaxed) as f64, TIMES as f64);
    (sending.as_secs_f64() * 1e9 / times, late / times)
}
