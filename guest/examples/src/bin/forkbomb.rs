//! An adversary that spawns without end: every task spawns two of itself and waits for both.
//!
//! The first failure goes up to `main`, which prints it and exits with 1.

use hart_guest::{Failure, scope, task};

#[task]
fn fork() -> Result<(), Failure> {
    Ok(scope(|scope| {
        scope.spawn(fork, ())?;
        scope.spawn(fork, ())?;
        // Whichever fails first: the other one may be busy for longer than anybody lives.
        while let Some(finished) = scope.join_next() {
            finished.result?;
        }
        Ok(())
    })?)
}

fn main() -> Result<(), Failure> {
    Ok(fork.spawn(())?.join()?)
}
