//! Spawns a binary tree of tasks and counts them: `tree [DEPTH]`, by default 15, which makes 32,767.
//!
//! Every task spawns its two children, joins both, and returns how many it is with them. So half of
//! all tasks wait for others at some time, which is what the scheduler has to cope with.

use hart_guest::{Failure, task};

#[task]
fn grow(depth: u32) -> Result<u64, Failure> {
    if depth <= 1 {
        return Ok(1);
    }
    let left = grow.spawn(depth - 1)?;
    let right = grow.spawn(depth - 1)?;
    Ok(1 + left.join()? + right.join()?)
}

fn main() -> Result<(), Failure> {
    let depth = std::env::args()
        .nth(1)
        .map_or(Ok(15), |depth| depth.parse())?;
    println!("{}", grow.spawn(depth)?.join()?);
    Ok(())
}
