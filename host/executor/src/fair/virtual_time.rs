//! Virtual time: CPU time divided by a weight.

/// Virtual time: nanoseconds divided by a weight, in units small enough for the largest weight.
pub(super) type Virtual = u128;

/// Units of virtual time in a nanosecond at weight 1.
const UNITS: u128 = 1 << 32;

/// Bits that a rate of virtual time has beyond units: of the largest weights it would else be too coarse.
const FRACTION: u32 = 8;

/// A weight, as a fraction.
pub(super) struct Weight {
    over: u128,
    under: u128,
}

impl Weight {
    pub(super) fn whole(weight: usize) -> Self {
        Self {
            over: weight as u128,
            under: 1,
        }
    }

    /// The part of `whole` that `part` of `sum` comes to.
    pub(super) fn part(part: usize, whole: usize, sum: usize) -> Self {
        Self {
            over: part as u128 * whole as u128,
            under: sum as u128,
        }
    }

    pub(super) fn scale(&self, nanoseconds: u128) -> Virtual {
        // Real values do not come near the end of the range.
        let units = nanoseconds.saturating_mul(UNITS).saturating_mul(self.under);
        // Short times and usual weights: a division of words is many times faster.
        match (u64::try_from(units), u64::try_from(self.over)) {
            (Ok(units), Ok(over)) => u128::from(units / over),
            _ => units / self.over,
        }
    }

    /// What a nanosecond comes to, with [`FRACTION`] more bits.
    pub(super) fn rate(&self) -> u64 {
        /// Of weights of a thousandth. With it the rates of all workers together are in range.
        const MOST: u64 = 1 << 50;
        let rate = self.scale(1 << FRACTION);
        u64::try_from(rate).map_or(MOST, |rate| rate.min(MOST))
    }
}

/// Virtual time with [`FRACTION`] more bits.
pub(super) fn scaled(units: Virtual) -> i128 {
    // Real values do not come near the end of the range.
    (units << FRACTION).cast_signed()
}

/// The same in units again.
pub(super) fn units(scaled: i128) -> Virtual {
    scaled.max(0).cast_unsigned() >> FRACTION
}
