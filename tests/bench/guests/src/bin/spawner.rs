//! A guest that spawns or yields, for the suite `spawn`: `spawner WHAT COUNT [WINDOW]`.
//!
//! | what | does |
//! | --- | --- |
//! | `tasks` | spawns and joins this many tasks that do nothing, at most a window of them at once, and prints the median and the 99th percentile of the times from spawn to join, in nanoseconds |
//! | `warm` | the same, where each may have an instance that another one has left |
//! | `yield` | yields so often |

use std::collections::VecDeque;
use std::time::Instant;

use hart_guest::{Failure, Options, task, yield_now};

#[task]
fn noop() {}

fn tasks(count: usize, window: usize, options: &Options) -> Result<(), Failure> {
    let mut running = VecDeque::with_capacity(window);
    let mut times = Vec::with_capacity(count);
    let mut spawned = 0;
    loop {
        while running.len() < window && spawned < count {
            running.push_back((Instant::now(), noop.spawn_with((), options)?));
            spawned += 1;
        }
        let Some((since, task)) = running.pop_front() else {
            break;
        };
        task.join()?;
        times.push(since.elapsed());
    }
    times.sort();
    let at = |part: f64| times[((count as f64 * part) as usize).min(count - 1)].as_nanos();
    println!("{} {}", at(0.5), at(0.99));
    Ok(())
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let mut number = |default: usize| {
        arguments
            .next()
            .map_or(Ok(default), |text| text.parse::<usize>())
    };
    match what.as_str() {
        "tasks" => tasks(number(100_000)?, number(64)?, &Options::new())?,
        "warm" => tasks(number(100_000)?, number(64)?, &Options::new().reuse())?,
        "yield" => {
            for _ in 0..number(100_000)? {
                yield_now();
            }
        }
        _ => panic!("it is `tasks`, `warm` or `yield`"),
    }
    Ok(())
}
