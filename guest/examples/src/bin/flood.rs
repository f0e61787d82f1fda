//! An adversary that writes to standard output without end.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    let line = [b"flood ".repeat(682), b"....".to_vec()].concat();
    let mut out = io::stdout().lock();
    loop {
        out.write_all(&line)?;
        out.write_all(b"\n")?;
    }
}
