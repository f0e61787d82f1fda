//! Which seeds a command line asks for.

use std::ops::Range;
use std::time::{Duration, Instant};

/// Reads a range of seeds, `A..B`.
pub(crate) fn seeds(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("`{text}` is no range of seeds: write it as 0..100");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let range = from.parse().map_err(|_| wrong())?..to.parse().map_err(|_| wrong())?;
    if range.is_empty() {
        return Err(format!(
            "`{text}` has no seed in it: the first comes before the last"
        ));
    }
    Ok(range)
}

/// The seeds of a range; or from `seed` on, as long as the seconds last; or that one.
pub(crate) fn of(
    range: Option<Range<u64>>,
    seed: u64,
    seconds: Option<u64>,
) -> impl Iterator<Item = u64> {
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let seeds = match (range, end) {
        (Some(range), _) => range,
        (None, Some(_)) => seed..u64::MAX,
        (None, None) => seed..seed.saturating_add(1),
    };
    seeds.take_while(move |_| end.is_none_or(|end| Instant::now() < end))
}
