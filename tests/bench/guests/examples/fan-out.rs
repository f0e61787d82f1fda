//! A guest that waits with component-model async, for the suite `async`: `fan-out WHAT CHILDREN ITERATIONS`.
//!
//! | what | does |
//! | --- | --- |
//! | `spawned` | spawns so many tasks, each of which computes for so many iterations, and awaits them all at once |
//! | `inside` | computes the same in as many futures of its own, all pending at once |

use std::future::IntoFuture;
use std::hint::black_box;
use std::time::Duration;

use futures::future::try_join_all;
use hart_guest::{Failure, concurrent, task};

/// As in hart-bench's `guest.wat`.
#[task]
fn work(iterations: u64) -> u64 {
    let mut value = 0x9e37_79b9_u64;
    for _ in 0..iterations {
        value ^= value << 13;
        value ^= value >> 7;
        value ^= value << 17;
        value = black_box(value.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(11));
    }
    value
}

async fn run() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let mut number = || {
        let text = arguments.next();
        text.ok_or_else(|| Failure::new("it wants two numbers"))
    };
    let children: usize = number()?.parse()?;
    let iterations: u64 = number()?.parse()?;
    let values = match what.as_str() {
        "spawned" => {
            let mut joins = Vec::with_capacity(children);
            for _ in 0..children {
                joins.push(work.spawn(iterations)?.into_future());
            }
            try_join_all(joins).await?
        }
        "inside" => {
            let futures = (0..children).map(|_| async {
                concurrent::wait_for(Duration::from_millis(1)).await;
                Ok::<_, Failure>(work(iterations))
            });
            try_join_all(futures).await?
        }
        _ => return Err(Failure::new("it is `spawned` or `inside`")),
    };
    if values.iter().all(|&value| value == values[0]) {
        Ok(())
    } else {
        Err(Failure::new("all of them compute the same"))
    }
}

hart_guest::program!(run);
