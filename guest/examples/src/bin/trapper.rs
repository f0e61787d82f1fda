//! An adversary that traps: `trapper [root|child|future|nested|outside|asleep]`, by default root.
//!
//! | mode | what |
//! | --- | --- |
//! | `root` | `main` traps |
//! | `child` | one of four tasks does, and `main` prints how each of them ended |
//! | `future` | an in-guest future does, which ends the instance |
//! | `nested`, `outside`, `asleep` | misuse of in-guest futures, each of which has a message |

use hart_guest::{Failure, block_on, spawn_local, task};

#[task]
fn work(number: u32) -> u32 {
    assert!(number != 2, "task 2 traps on purpose");
    number * 10
}

fn main() -> Result<(), Failure> {
    match std::env::args().nth(1).as_deref() {
        Some("child") => {}
        Some("future") => {
            let future = async { panic!("a future traps on purpose") };
            block_on(async { spawn_local(future).await })?
        }
        Some("nested") => block_on(async { block_on(async {}) }),
        Some("outside") => drop(spawn_local(async {})),
        Some("asleep") => block_on(std::future::pending()),
        _ => panic!("main traps on purpose"),
    }
    let tasks = (0..4)
        .map(|number| work.spawn(number))
        .collect::<Result<Vec<_>, _>>()?;
    for (number, task) in tasks.into_iter().enumerate() {
        match task.join() {
            Ok(result) => println!("task {number}: {result}"),
            Err(error) => {
                // The rest is a backtrace, which differs from build to build.
                let text = error.to_string();
                println!("task {number}: {}", text.lines().next().unwrap_or_default());
            }
        }
    }
    Ok(())
}
