//! Draws from a seed.

use fastrand::Rng;

/// A generator for one use of a seed: different uses do not disturb one another.
pub(crate) fn stream(seed: u64, purpose: u64) -> Rng {
    // SplitMix64's finalizer: neighbouring seeds must not give related streams.
    let mut x = seed ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Rng::with_seed(x ^ (x >> 31))
}

/// A number whose logarithm is uniform: as likely between 10 and 100 as between 100 and 1000.
pub(crate) fn log_uniform(rng: &mut Rng, low: u64, high: u64) -> u64 {
    let doublings = (high / low.max(1)).max(1).ilog2();
    let scale = 1_u64 << rng.u32(0..=doublings);
    let from = low.max(1).saturating_mul(scale).min(high);
    rng.u64(from..=from.saturating_mul(2).min(high.max(from)))
}

/// Whether an event of probability `one in n` happens; never for zero.
pub(crate) fn one_in(rng: &mut Rng, n: u64) -> bool {
    n != 0 && rng.u64(0..n) == 0
}
