//! An adversary that allocates without end: `membomb [root|child]`, by default root.

use hart_guest::{Failure, task};

#[task]
fn allocate() -> u64 {
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    loop {
        // Not zeros, which the system could give without having them.
        blocks.push(vec![0xa5; 1 << 20]);
        if blocks.len() == usize::MAX {
            return std::hint::black_box(blocks).len() as u64;
        }
    }
}

fn main() -> Result<(), Failure> {
    if std::env::args().nth(1).as_deref() == Some("child") {
        allocate.spawn(())?.join()?;
    } else {
        allocate();
    }
    Ok(())
}
