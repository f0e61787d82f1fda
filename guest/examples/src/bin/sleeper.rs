//! Sleeps: `sleeper [MILLISECONDS] [TASKS]`, by default 1000 and 0.
//!
//! With tasks, it is they that sleep, all at the same time.

use std::time::Duration;

use hart_guest::{Failure, scope, task};

#[task]
fn sleep(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| {
        arguments
            .next()
            .map_or(Ok(default), |text| text.parse::<u64>())
    };
    let (milliseconds, tasks) = (number(1000)?, number(0)?);
    if tasks == 0 {
        sleep(milliseconds);
    } else {
        scope(|scope| {
            for _ in 0..tasks {
                scope.spawn(sleep, milliseconds)?;
            }
            Ok(())
        })?;
    }
    println!("slept");
    Ok(())
}
