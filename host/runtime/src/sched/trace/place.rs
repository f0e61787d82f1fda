//! Where and when something was queued, in one word.

use std::time::Instant;

use crate::sched::this_worker::this_worker;

/// Bits of a mark that hold a time: 78 hours of nanoseconds. Wakes after that are not drawn.
const TIME_BITS: u32 = 48;

/// Nanoseconds since a recorder was made.
#[derive(Clone, Copy)]
pub(super) struct Clock(Instant);

/// A worker, or the outside, at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) worker: Option<u16>,
    pub(super) at: u64,
}

// === impl Place ===

impl Place {
    /// In one word that is not 0; 0 where the time is too long for it.
    pub(super) fn mark(self) -> u64 {
        if self.at >> TIME_BITS != 0 {
            return 0;
        }
        let worker = self.worker.map_or(0, |worker| u64::from(worker) + 1);
        (worker << TIME_BITS) | self.at.max(1)
    }

    pub(super) fn marked(mark: u64) -> Option<Self> {
        let worker = u16::try_from(mark >> TIME_BITS).unwrap_or(0);
        (mark != 0).then_some(Self {
            worker: worker.checked_sub(1),
            at: mark & ((1 << TIME_BITS) - 1),
        })
    }
}

// === impl Clock ===

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// This thread's worker, now.
    pub(super) fn here(self) -> Place {
        Place {
            worker: this_worker().and_then(|worker| u16::try_from(worker).ok()),
            at: self.now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts marks that lose a worker or a time, and the outside that becomes worker 0.
    #[test]
    fn marks_hold_places() {
        for worker in [None, Some(0), Some(8_191)] {
            let place = Place {
                worker,
                at: 123_456_789_000,
            };
            assert_eq!(Place::marked(place.mark()), Some(place));
        }
        let late = Place {
            worker: Some(1),
            at: 1 << TIME_BITS,
        };
        assert_eq!(Place::marked(late.mark()), None);
    }
}
