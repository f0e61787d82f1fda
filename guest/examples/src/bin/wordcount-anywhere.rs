//! Counts lines, words and bytes of its standard input, as `wc` does: here, and on other machines where this one is busy.
//!
//! ```text
//! hart work wordcount-anywhere.wasm                            on each machine
//! hart run -S remote wordcount-anywhere.wasm < text            on one of them
//! ```

use std::io::Read as _;

use hart_guest::{Failure, Options, ParMap, Rights, task};

/// What a task counts: enough to be worth a way over the network.
const PART: usize = 256 << 10;
/// Tasks at the same time: those that find no core here go elsewhere.
const AT_ONCE: usize = 64;

#[task]
fn count(text: Vec<u8>) -> (u64, u64, u64) {
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    let words = text.split(u8::is_ascii_whitespace);
    let words = words.filter(|word| !word.is_empty()).count();
    (lines as u64, words as u64, text.len() as u64)
}

/// The next part of what is left: it ends with a line, so that no word is cut.
fn next(left: &mut &[u8]) -> Option<Vec<u8>> {
    let most = left.len().min(PART);
    let line = left[most..].iter().position(|byte| *byte == b'\n');
    let end = line.map_or(left.len(), |at| most + at + 1);
    let (part, rest) = left.split_at(end);
    *left = rest;
    (!part.is_empty()).then(|| part.to_vec())
}

fn main() -> Result<(), Failure> {
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text)?;
    let mut left = text.as_slice();
    let parts = std::iter::from_fn(|| next(&mut left));
    // Nothing of this machine goes along.
    let needless = Rights::FILESYSTEM | Rights::NETWORK | Rights::ENVIRONMENT | Rights::SPAWN;
    let counted = ParMap::new()
        .at_once(AT_ONCE)
        .options(Options::new().anywhere().deny(needless))
        .run(count, parts)?;
    let (lines, words, bytes) = counted.iter().fold((0, 0, 0), |sum, part| {
        (sum.0 + part.0, sum.1 + part.1, sum.2 + part.2)
    });
    println!("{lines} {words} {bytes}");
    Ok(())
}
