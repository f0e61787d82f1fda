//! What `hart sim` and `hart wast --sim` share: ranges of seeds, and what is said while they run and when one fails.

use crate::output::to_stderr;
use std::ops::Range;

/// Exit code where an oracle failed.
pub(crate) const ORACLE: u8 = 3;

/// Seeds, at least one.
#[derive(Clone, Debug)]
pub(crate) struct SeedRange(pub(crate) Range<u64>);

/// Reads a range of seeds, `A..B`.
pub(crate) fn seeds(text: &str) -> Result<SeedRange, String> {
    let wrong = || format!("`{text}` is no range of seeds; write it like 0..1000");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let range = from.parse().map_err(|_| wrong())?..to.parse().map_err(|_| wrong())?;
    if range.is_empty() {
        return Err(format!(
            "there is no seed in `{text}`; the first one comes before the `..`, the one after the last behind it"
        ));
    }
    Ok(SeedRange(range))
}

/// A bar of 40 places.
pub(crate) fn progress(shown: bool, range: &std::ops::Range<u64>, seed: u64) {
    let (done, all) = (seed - range.start, range.end - range.start);
    // Drawn for each hundredth, not for each seed.
    if shown && done.is_multiple_of(all.div_ceil(100)) {
        let places = usize::try_from(done * 40 / all).unwrap_or(40);
        to_stderr(&format!("\r[{:<40}] seed {seed}", "#".repeat(places)));
    }
}

/// A word that a shell takes for itself.
pub(crate) fn quote(word: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "_-./:=,%+@".contains(char);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts ranges without a seed.
    #[test]
    fn ranges_of_seeds() {
        assert_eq!(seeds("3..10").unwrap().0, 3..10);
        for wrong in ["", "3", "3..", "..3", "5..5", "9..1", "a..b"] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
    }
}
