//! An adversary that traps: `trapper [root|child]`, by default root.
//!
//! As a child it is one of four tasks, and `main` prints how each of them ended.

use hart_guest::{Failure, task};

#[task]
fn work(number: u32) -> u32 {
    assert!(number != 2, "task 2 traps on purpose");
    number * 10
}

fn main() -> Result<(), Failure> {
    if std::env::args().nth(1).as_deref() != Some("child") {
        panic!("main traps on purpose");
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
