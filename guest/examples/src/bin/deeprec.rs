//! An adversary that recurses without end: `deeprec [root|child|buffers|child-buffers]`, by default root. With `buffers`
//! it is memory that its stack takes, and not only calls.

use hart_guest::{Failure, task};

#[task]
fn descend() -> u64 {
    recurse(0)
}

#[task]
fn pile_up() -> u64 {
    with_buffer(0)
}

/// Each call has a buffer of its own, whose address is taken.
fn with_buffer(depth: u64) -> u64 {
    let mut buffer = [depth; 1024];
    std::hint::black_box(&mut buffer);
    match depth {
        u64::MAX => buffer[7],
        _ => with_buffer(depth + 1) + std::hint::black_box(&buffer)[9],
    }
}

/// Two calls, so that it cannot be made a loop.
fn recurse(depth: u64) -> u64 {
    if depth == u64::MAX {
        return depth;
    }
    recurse(depth + 1).wrapping_mul(recurse(depth + 2))
}

fn main() -> Result<(), Failure> {
    let number = match std::env::args().nth(1).as_deref() {
        Some("child") => descend.spawn(())?.join()?,
        Some("buffers") => pile_up(),
        Some("child-buffers") => pile_up.spawn(())?.join()?,
        _ => descend(),
    };
    println!("{number}");
    Ok(())
}
