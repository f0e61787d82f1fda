//! How much CPU time a poll has used, without asking the system at every poll.
//!
//! A thread's CPU clock costs a system call; the wall clock does not. A poll that was short on the wall clock cannot have
//! used more CPU time than that, and used nearly as much, or it would not have been short: it is charged its wall time. A
//! long one may have stood still while other processes had the core, so it is charged what the CPU clock says:
//!
//! 1. `begin` reads the CPU clock if the last reading is older than [`FRESH`].
//! 2. `end` of a poll no longer than [`SHORT`] charges its wall time, and notes that it did.
//! 3. `end` of a longer one charges what the CPU clock has gained since its last reading less what was
//!    noted since, and never more than its wall time.
//!
//! So a long poll may be charged, at worst, for CPU time that fast-lane tasks used since that reading: less
//! than [`FRESH`], and only where other processes have taken at least as much from it.

use crate::platform::Platform;

/// Nanoseconds up to which a poll is short: a core that is taken away is rarely given back that soon. Chosen, not measured:
/// 200 times what reading the CPU clock costs.
pub(super) const SHORT: u64 = 40_000;

/// Nanoseconds for which a reading of the CPU clock is good. Chosen: the default slice. Not measured.
const FRESH: u64 = 1_000_000;

/// The state for one core.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    /// When the present poll began, or was last charged.
    began: u64,
    /// When the present poll began.
    poll_began: u64,
    /// The last reading of the CPU clock, and when that was.
    cpu: u64,
    cpu_read: Option<u64>,
    /// Charged since that reading.
    charged: u64,
}

impl Meter {
    /// A poll begins at `now`.
    pub(crate) fn begin(&mut self, now: u64, platform: &dyn Platform) {
        self.began = now;
        self.poll_began = now;
        let fresh = self
            .cpu_read
            .is_some_and(|read| now.saturating_sub(read) <= FRESH);
        if !fresh {
            self.read(now, platform);
        }
    }

    /// When the poll began, or was last charged.
    pub(crate) fn began(&self) -> u64 {
        self.began
    }

    /// What the CPU clock said then.
    pub(crate) fn cpu_began(&self) -> u64 {
        self.cpu + self.charged
    }

    /// When the poll began.
    pub(crate) fn poll_began(&self) -> u64 {
        self.poll_began
    }

    /// Whether the poll is short so far, since it began or was last charged: the wall clock says what `end` would
    /// charge.
    pub(crate) fn is_short(&self, now: u64) -> bool {
        now.saturating_sub(self.began) <= SHORT
    }

    /// The poll ends at `now`, or goes on after being charged: what it has used since it began.
    pub(crate) fn end(&mut self, now: u64, platform: &dyn Platform) -> u64 {
        let short = self.is_short(now);
        let wall = now.saturating_sub(self.began);
        self.began = now;
        if short {
            self.charged += wall;
            return wall;
        }
        let before = self.cpu + self.charged;
        self.read(now, platform);
        self.cpu.saturating_sub(before).min(wall)
    }

    fn read(&mut self, now: u64, platform: &dyn Platform) {
        self.cpu = platform.cpu_time();
        self.cpu_read = Some(now);
        self.charged = 0;
    }
}
