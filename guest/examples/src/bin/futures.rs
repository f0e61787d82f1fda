//! Many futures in one instance: `futures [COUNT] [MILLISECONDS]`, by default 10,000 and 20.
//!
//! Each sleeps, in four different lengths, takes turns with the others, and adds to a sum that they
//! share. Beside them two futures do not wait for a time that the SDK knows: one for pollables, where
//! there are any, and one for a task in another instance that it looks after now and then.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use hart_guest::{Failure, block_on, sleep, spawn_local, task};

#[task]
async fn square(number: u64) -> u64 {
    let seven = spawn_local(async { 7 });
    sleep(Duration::from_millis(1)).await;
    let more = seven.await.expect("it is awaited in the same instance");
    (number - more) * number + more * number
}

async fn one_of_many(number: u64, longest: Duration, sum: Rc<Cell<u64>>) {
    for turn in 0..3 {
        sleep(longest * ((number + turn) % 4 + 1) as u32 / 4).await;
    }
    sum.set(sum.get() + number);
}

/// Whatever it is that they wait for, `wasi:io/poll` waits for all of them.
#[cfg(target_family = "wasm")]
async fn pollables(count: u64) -> u64 {
    use hart_guest::{ready, wasi::clocks::monotonic_clock::subscribe_duration};

    let mut waiting = Vec::new();
    for number in 0..count {
        let pollable = subscribe_duration(number * 100_000);
        waiting.push(spawn_local(ready(pollable)));
    }
    let mut ready = 0;
    for waits in waiting {
        ready += u64::from(waits.await.is_ok());
    }
    ready
}

/// There are none natively.
#[cfg(not(target_family = "wasm"))]
async fn pollables(count: u64) -> u64 {
    count
}

async fn looks_after_a_task() -> Result<u64, Failure> {
    let handle = square.spawn(12)?;
    while !handle.is_finished() {
        sleep(Duration::from_millis(1)).await;
    }
    Ok(handle.join()?)
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| {
        arguments
            .next()
            .map_or(Ok(default), |text| text.parse::<u64>())
    };
    let (count, milliseconds) = (number(10_000)?, number(20)?);
    let longest = Duration::from_millis(milliseconds);
    let sum = Rc::new(Cell::new(0));
    let (ready, squared) = block_on(async {
        let many: Vec<_> = (0..count)
            .map(|number| spawn_local(one_of_many(number, longest, sum.clone())))
            .collect();
        let beside = spawn_local(pollables(32));
        let squared = spawn_local(looks_after_a_task());
        for future in many {
            future.await?;
        }
        Ok::<_, Failure>((beside.await?, squared.await??))
    })?;
    println!("{count} futures, sum {}", sum.get());
    println!("{ready} pollables, and a task: {squared}");
    Ok(())
}
