//! What groups and tenants have in common: a name, a weight and a CPU rate.

use super::id::Id;
use crate::sync::{AtomicUsize, Ordering::Relaxed};
use alloc::borrow::Cow;

/// The weight of a group or tenant that was given none.
pub const DEFAULT_WEIGHT: u32 = 100;

/// Settings that may change at any time. Relaxed accesses: a setting orders nothing.
pub(crate) struct Share {
    pub(crate) id: Id,
    pub(crate) name: Cow<'static, str>,
    weight: AtomicUsize,
    /// Thousandths of a core; zero is no limit.
    rate: AtomicUsize,
}

impl Share {
    #[track_caller]
    pub(crate) fn new(
        id: Id,
        name: Cow<'static, str>,
        weight: u32,
        millicores: Option<u32>,
    ) -> Self {
        let share = Self {
            id,
            name,
            weight: AtomicUsize::new(0),
            rate: AtomicUsize::new(0),
        };
        share.set_weight(weight);
        share.set_rate(millicores);
        share
    }

    pub(crate) fn weight(&self) -> usize {
        self.weight.load(Relaxed)
    }

    #[track_caller]
    pub(crate) fn set_weight(&self, weight: u32) {
        self.weight.store(check_weight(weight) as usize, Relaxed);
    }

    /// Thousandths of a core; zero is no limit.
    pub(crate) fn rate(&self) -> usize {
        self.rate.load(Relaxed)
    }

    /// The same as users say it.
    pub(crate) fn millicores(&self) -> Option<u32> {
        u32::try_from(self.rate()).ok().filter(|&rate| rate > 0)
    }

    #[track_caller]
    pub(crate) fn set_rate(&self, millicores: Option<u32>) {
        let rate = check_rate(millicores).unwrap_or(0);
        self.rate.store(rate as usize, Relaxed);
    }
}

#[track_caller]
pub(crate) fn check_weight(weight: u32) -> u32 {
    assert!(
        weight > 0,
        "a weight of zero would never run; use at least 1"
    );
    weight
}

#[track_caller]
pub(crate) fn check_rate(millicores: Option<u32>) -> Option<u32> {
    assert!(
        millicores != Some(0),
        "a CPU rate of zero would never run; use at least 1, or none"
    );
    millicores
}
