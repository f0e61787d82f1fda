//! An adversary that spawns without end: every task spawns two of itself and waits for both.
//!
//! The first failure goes up to `main`, which prints it and exits with 1.

use hart_guest::{Failure, task};

#[task]
fn fork() -> Result<(), Failure> {
    let children = [fork.spawn(())?, fork.spawn(())?];
    for child in children {
        child.join()?;
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    fork.spawn(())?.join()?;
    Ok(())
}
