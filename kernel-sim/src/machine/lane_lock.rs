//! The locks of fair lanes, as harts find them: one has it, the others wait, and what is behind it goes from cache to cache.

use crate::cost;

/// The lock of a domain's lane.
#[derive(Clone, Debug, Default)]
pub(crate) struct LaneLock {
    /// Until when it is held.
    held: u64,
    /// The hart that had it last.
    last: Option<usize>,
}

impl LaneLock {
    /// A hart comes for it at `now`: how long that takes it, with the wait. `in_domain` harts share a cache.
    pub(super) fn take(&mut self, hart: usize, now: u64, in_domain: usize) -> u64 {
        let line = match self.last {
            None => 0,
            Some(last) if last == hart => 0,
            Some(last) if last / in_domain == hart / in_domain => cost::NEAR,
            Some(_) => cost::FAR,
        };
        self.last = Some(hart);
        self.held = self.held.max(now) + cost::LANE_HOLD + cost::LANE_LINES * line;
        self.held - now
    }
}

#[cfg(test)]
mod tests {
    use super::LaneLock;

    /// Hunts a lock that several harts have at once, and one that costs the same from near and from far.
    #[test]
    fn a_lock_is_a_resource() {
        let mut lane = LaneLock::default();
        assert_eq!(lane.take(0, 1_000, 8), 50);
        assert_eq!(lane.take(0, 2_000, 8), 50, "nobody else had it");
        assert_eq!(lane.take(1, 3_000, 8), 225, "from near");
        assert_eq!(
            lane.take(9, 3_000, 8),
            225 + 750,
            "after that one, and from far"
        );
    }
}
