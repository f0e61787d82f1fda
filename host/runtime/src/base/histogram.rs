//! Histograms: how many values were in which range.
//!
//! Ranges are fixed: four in each power of two, from 2^14 to 2^36. In nanoseconds that is 16 µs to 69 s, in bytes 16 KiB to
//! 64 GiB. What is less is in the first range, and what is more is counted apart.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The end of the first range, as a power of two.
const LOWEST: u32 = 14;
/// The end of the last one.
const HIGHEST: u32 = 36;
/// Ranges in a power of two.
const PARTS: usize = 4;
/// The first one, the others, and what is above all.
const COUNT: usize = 1 + (HIGHEST - LOWEST) as usize * PARTS + 1;

/// A histogram that many threads add to: two atomic additions for a value. `Relaxed`, as nothing is published by them.
pub(crate) struct Buckets {
    counts: [AtomicU64; COUNT],
    sum: AtomicU64,
    unit: Unit,
}

/// What the values are.
#[derive(Clone, Copy)]
enum Unit {
    /// Nanoseconds, shown as seconds.
    Time,
    Bytes,
}

/// How many values were in which range. From [`Host::metrics`](crate::Host::metrics).
///
/// Values are seconds or bytes, as its field in [`Metrics`](crate::Metrics) says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Histogram {
    /// All values added up.
    pub sum: f64,
    /// Ranges with a value, from the least to the greatest.
    pub buckets: Vec<Bucket>,
    /// Values that are greater than the end of the last range, which is 2^36 ns (69 s) or 2^36 bytes (64 GiB).
    pub above: u64,
    /// The end of the last range.
    pub limit: f64,
}

/// A range of values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Bucket {
    /// Values are greater than this; in the first range there is 0 as well.
    pub over: f64,
    /// And not greater than this.
    pub up_to: f64,
    /// How many there were.
    pub count: u64,
}

/// The greatest value of a range; the last one has none.
fn end(range: usize) -> u64 {
    let Some(after) = range.checked_sub(1) else {
        return 1 << LOWEST;
    };
    let power = LOWEST as usize + after / PARTS;
    (1 << power) + (((after % PARTS + 1) as u64) << (power - 2))
}

/// The range of a value.
fn range_of(value: u64) -> usize {
    // A range has its end and not its beginning.
    let below = value.saturating_sub(1);
    match below.checked_ilog2() {
        Some(power) if power >= HIGHEST => COUNT - 1,
        Some(power) if power >= LOWEST => {
            let part = (below >> (power - 2)) as usize % PARTS;
            1 + (power - LOWEST) as usize * PARTS + part
        }
        _ => 0,
    }
}

impl Unit {
    fn shown(self, value: u64) -> f64 {
        match self {
            Self::Time => value as f64 / 1e9,
            Self::Bytes => value as f64,
        }
    }
}

impl Buckets {
    pub(crate) fn of_time() -> Self {
        Self::new(Unit::Time)
    }

    pub(crate) fn of_bytes() -> Self {
        Self::new(Unit::Bytes)
    }

    fn new(unit: Unit) -> Self {
        Self {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            sum: AtomicU64::new(0),
            unit,
        }
    }

    pub(crate) fn add(&self, value: u64) {
        self.counts[range_of(value)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    pub(crate) fn add_time(&self, time: Duration) {
        self.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn read(&self) -> Histogram {
        let counts: Vec<u64> = self
            .counts
            .iter()
            .map(|c| c.load(Ordering::Relaxed))
            .collect();
        let bucket = |range: usize| Bucket {
            over: self.unit.shown(range.checked_sub(1).map_or(0, end)),
            up_to: self.unit.shown(end(range)),
            count: counts[range],
        };
        Histogram {
            sum: self.unit.shown(self.sum.load(Ordering::Relaxed)),
            buckets: { 0..COUNT - 1 }
                .filter(|range| counts[*range] > 0)
                .map(bucket)
                .collect(),
            above: counts[COUNT - 1],
            limit: self.unit.shown(end(COUNT - 2)),
        }
    }
}

impl Histogram {
    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|b| b.count).sum::<u64>() + self.above
    }

    /// The value that the part `quantile` of all values does not exceed, as if values were spread evenly within a range:
    /// 0.5 is the median. Of what is above the last range it says the end of that range. 0 without values.
    ///
    /// ```
    /// # let host = hart_host::Host::builder().metrics(true).cache(hart_host::Cache::Off).build()?;
    /// # host.load(b"(component)")?;
    /// let compiling = host.metrics().compile_seconds;
    /// println!("half of all loads compiled for less than {} s", compiling.quantile(0.5));
    /// # assert!(compiling.quantile(0.5) > 0.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn quantile(&self, quantile: f64) -> f64 {
        let mut before = quantile.clamp(0.0, 1.0) * self.count() as f64;
        for bucket in &self.buckets {
            let count = bucket.count as f64;
            if before <= count {
                return bucket.over + (bucket.up_to - bucket.over) * before / count;
            }
            before -= count;
        }
        match self.above {
            0 => self.buckets.last().map_or(0.0, |last| last.up_to),
            _ => self.limit,
        }
    }

    /// What has come since `earlier`, a histogram of the same values.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |bucket: &Bucket| {
            let same = earlier.buckets.iter().find(|b| b.up_to == bucket.up_to);
            same.map_or(0, |same| same.count)
        };
        let newer = |bucket: &Bucket| Bucket {
            count: bucket.count.saturating_sub(before(bucket)),
            ..*bucket
        };
        Self {
            sum: (self.sum - earlier.sum).max(0.0),
            buckets: { self.buckets.iter().map(newer) }
                .filter(|bucket| bucket.count > 0)
                .collect(),
            above: self.above.saturating_sub(earlier.above),
            limit: self.limit,
        }
    }
}

/// Ends of ranges that are powers of two, for texts that name few: in the unit of `histogram`, each with how many values do
/// not exceed it.
pub(crate) fn cumulated(histogram: &Histogram, is_bytes: bool) -> Vec<(f64, u64)> {
    let unit = match is_bytes {
        true => Unit::Bytes,
        false => Unit::Time,
    };
    let up_to = |end: f64| {
        let within = histogram.buckets.iter().take_while(|b| b.up_to <= end);
        (end, within.map(|b| b.count).sum())
    };
    (LOWEST..=HIGHEST)
        .map(|power| up_to(unit.shown(1 << power)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts a value in the range beside its own, and ranges with gaps.
    #[test]
    fn a_range_has_its_end_and_not_its_beginning() {
        for range in 0..COUNT - 1 {
            assert_eq!(range_of(end(range)), range);
            assert_eq!(range_of(end(range) + 1), range + 1);
        }
        assert_eq!(end(COUNT - 2), 1 << HIGHEST);
        assert_eq!((range_of(0), range_of(u64::MAX)), (0, COUNT - 1));
    }

    /// Hunts quantiles that are off by more than a range, and a difference with what was there before.
    #[test]
    fn quantiles_are_within_their_range() {
        let buckets = Buckets::of_time();
        for ms in 1..=100 {
            buckets.add_time(Duration::from_millis(ms));
        }
        let first = buckets.read();
        assert_eq!(first.count(), 100);
        assert!((first.quantile(0.5) - 0.050).abs() < 0.005, "{first:?}");
        assert!((first.quantile(0.99) - 0.099).abs() < 0.010, "{first:?}");
        assert!((first.sum - 5.05).abs() < 1e-9);
        buckets.add_time(Duration::from_secs(100));
        let since = buckets.read().since(&first);
        assert_eq!((since.count(), since.above), (1, 1));
        let limit = (1_u64 << HIGHEST) as f64;
        assert_eq!(since.quantile(0.5), limit / 1e9);
        assert_eq!(buckets.read().quantile(1.0), limit / 1e9);
        let bytes = Buckets::of_bytes();
        bytes.add(u64::MAX);
        assert_eq!(bytes.read().quantile(0.99), limit);
        assert_eq!(Histogram::default().quantile(0.5), 0.0);
    }

    /// Hunts a text whose counts go down, or do not add up.
    #[test]
    fn counts_of_powers_of_two_have_all_below() {
        let buckets = Buckets::of_bytes();
        for bytes in [1, 1 << 14, (1 << 14) + 1, 1 << 20, 1 << 40] {
            buckets.add(bytes);
        }
        let cumulated = cumulated(&buckets.read(), true);
        assert_eq!(cumulated[0], (16384.0, 2));
        assert_eq!(cumulated[1], (32768.0, 3));
        assert_eq!(cumulated[6], (1_048_576.0, 4));
        assert_eq!(cumulated.last(), Some(&(68_719_476_736.0, 4)));
    }
}
