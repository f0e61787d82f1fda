//! Counts in a file, with a mistake to be found: `counter [FILE] [TASKS] [TIMES]`, by default /count, 4 and 10.
//!
//! Every task reads the number in the file, adds one, and writes it back. Between reading and writing another
//! task may do the same, and then one of the two is lost. On one core, or by luck, the sum is right;
//! `hart sim --seeds 0..1000` finds an order in which it is not.

use hart_guest::{Failure, scope, task};

fn count(file: &str) -> Result<u64, Failure> {
    Ok(std::fs::read_to_string(file)?.trim().parse()?)
}

#[task]
fn add(file: String, times: u64) -> Result<(), Failure> {
    for _ in 0..times {
        let before = count(&file)?;
        std::fs::write(&file, (before + 1).to_string())?;
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().unwrap_or_else(|| "/count".into());
    let mut number = |default| {
        arguments
            .next()
            .map_or(Ok(default), |text| text.parse::<u64>())
    };
    let (tasks, times) = (number(4)?, number(10)?);
    std::fs::write(&file, "0")?;
    scope(|scope| {
        for _ in 0..tasks {
            scope.spawn(add, (file.clone(), times))?;
        }
        Ok(())
    })?;
    let counted = count(&file)?;
    println!("{counted} of {}", tasks * times);
    assert_eq!(counted, tasks * times, "updates were lost");
    Ok(())
}
