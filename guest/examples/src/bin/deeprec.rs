//! An adversary that recurses without end: `deeprec [root|child]`, by default root.

use hart_guest::{Failure, task};

#[task]
fn descend() -> u64 {
    recurse(0)
}

/// Two calls, so that it cannot be made a loop.
fn recurse(depth: u64) -> u64 {
    if depth == u64::MAX {
        return depth;
    }
    recurse(depth + 1).wrapping_mul(recurse(depth + 2))
}

fn main() -> Result<(), Failure> {
    if std::env::args().nth(1).as_deref() == Some("child") {
        println!("{}", descend.spawn(())?.join()?);
    } else {
        println!("{}", descend());
    }
    Ok(())
}
