//! Measures what the cost model guesses, on this computer: real runs beside the machine's own figures.

use hart_executor::{Executor, Worker, yield_now};
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
    println!("{:<44} {:>10} {:>10}", "", "the model", "here");
    let row = |name: &str, model: f64, here: f64| println!("{name:<44} {model:>10.3} {here:>10.3}");
    row("a unit of fuel, ns", Cost::FUEL, fuel(guest, args)?);
    row("a poll of a future, ns", Cost::POLL, median(poll));
    row(
        "from a spawn to a sleeping worker's poll, ns",
        Cost::WAKE,
        median(wake),
    );
    Ok(())
}

fn median(measure: impl Fn() -> f64) -> f64 {
    let mut values: Vec<f64> = (0..ROUNDS).map(|_| measure()).collect();
    values.sort_by(f64::total_cmp);
    values[ROUNDS / 2]
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

/// A spawn from a thread that is no worker, to one that sleeps.
fn wake() -> f64 {
    const TIMES: u64 = 500;
    let executor = Executor::new();
    let theirs = executor.clone();
    let thread = std::thread::spawn(move || {
        let mut worker = Worker::new(&theirs).expect("it is open");
        let _ = worker.run(std::future::pending::<()>());
    });
    let began = Instant::now();
    let sum = Arc::new(AtomicU64::new(0));
    let mut left = TIMES;
    while left > 0 {
        // Long enough for it to fall asleep.
        std::thread::sleep(Duration::from_micros(300));
        let (sum, spawned) = (sum.clone(), began.elapsed());
        let task = executor.spawn(async move {
            let late = began.elapsed().saturating_sub(spawned);
            sum.fetch_add(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        });
        while !task.is_complete() {
            std::hint::spin_loop();
        }
        left -= 1;
    }
    executor.close();
    let _ = thread.join();
    #[expect(clippy::cast_precision_loss, reason = "an average")]
    let average = sum.load(Relaxed) as f64 / TIMES as f64;
    average
}
