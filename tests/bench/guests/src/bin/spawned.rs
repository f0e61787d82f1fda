//! What the suites `spawn` and `density` run: `spawned WHAT COUNT [WINDOW]`, or one of its exports.
//!
//! Exports, each called once in a new instance: `noop`, `small` (allocates 64 KiB and writes to every page
//! of it), `format` (formats a string), `park` (sleeps).
//!
//! | what | does |
//! | --- | --- |
//! | `tasks` | spawns and joins this many tasks that do nothing, at most a window of them at once, and prints the median and the 99th percentile of the times from spawn to join, in nanoseconds |
//! | `yield` | yields so often |

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use hart_guest::{Failure, task, yield_now};

/// Bytes in a page of the host.
const PAGE: usize = 4096;

fn small() -> u32 {
    let mut bytes = vec![0_u8; 64 << 10];
    for page in bytes.chunks_mut(PAGE) {
        page[0] = 1;
    }
    black_box(&bytes).iter().map(|byte| u32::from(*byte)).sum()
}

fn format(number: u32) -> u32 {
    let text = format!("{number} tasks, {:>8.3} each", f64::from(number) / 7.0);
    black_box(text).len() as u32
}

fn park(milliseconds: u32) {
    std::thread::sleep(Duration::from_millis(milliseconds.into()));
}

#[cfg(target_family = "wasm")]
mod exports {
    #![allow(
        missing_docs,
        clippy::undocumented_unsafe_blocks,
        clippy::multiple_unsafe_ops_per_block,
        reason = "generated"
    )]

    wit_bindgen::generate!({
        inline: "
            package bench:spawned;
            world spawned {
                export noop: func();
                export small: func() -> u32;
                export format: func(number: u32) -> u32;
                export park: func(milliseconds: u32);
            }",
    });

    export!(Component with_types_in self);

    struct Component;

    impl Guest for Component {
        fn noop() {}

        fn small() -> u32 {
            super::small()
        }

        fn format(number: u32) -> u32 {
            super::format(number)
        }

        fn park(milliseconds: u32) {
            super::park(milliseconds);
        }
    }
}

#[task]
fn noop() {}

fn tasks(count: usize, window: usize) -> Result<(), Failure> {
    let mut running = VecDeque::with_capacity(window);
    let mut times = Vec::with_capacity(count);
    let mut spawned = 0;
    loop {
        while running.len() < window && spawned < count {
            running.push_back((Instant::now(), noop.spawn(())?));
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
        "tasks" => tasks(number(100_000)?, number(64)?)?,
        "yield" => {
            for _ in 0..number(100_000)? {
                yield_now();
            }
        }
        // So that the native program uses them, too.
        _ => {
            park(0);
            println!("{} {}", small(), format(7));
        }
    }
    Ok(())
}
