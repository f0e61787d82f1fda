//! CPU rates: how much of a core a group or a tenant may use, window by window.
//!
//! 1. Every window brings a quota of CPU time. What is left of it at the window's end is lost.
//! 2. What was used beyond it (time is charged at preemption points, so a little is) is taken from the
//!    windows that follow: over many windows the rate is exact.
//! 3. A group that has used up its quota is runnable again when a window begins that has some left.

#[cfg(all(test, not(loom)))]
mod tests;

use core::time::Duration;

/// The length of the windows in which a CPU rate is kept.
///
/// # Examples
///
/// ```
/// use hart_executor::group::RATE_WINDOW;
///
/// // What a rate of half a core allows in each window:
/// assert_eq!(RATE_WINDOW * 500 / 1000, std::time::Duration::from_millis(50));
/// ```
pub const RATE_WINDOW: Duration = Duration::from_millis(100);

const WINDOW: u64 = RATE_WINDOW.as_nanos() as u64;

/// Nanoseconds per window that a thousandth of a core is worth.
const MILLICORE: u64 = WINDOW / 1000;

/// What a rate has left.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Budget {
    /// When the present window began.
    window: u64,
    /// Nanoseconds used of it, and of those to come.
    used: u64,
}

impl Budget {
    /// Takes `cpu` nanoseconds from it that were used between `began` and `now`: the windows that begin
    /// meanwhile bring their quotas for them.
    pub(crate) fn charge(&mut self, cpu: u64, millicores: usize, began: u64, now: u64) {
        let quota = quota(millicores);
        self.roll(quota, began);
        self.used = self.used.saturating_add(cpu);
        self.roll(quota, now);
    }

    /// When it has something left again, if it has nothing now.
    pub(crate) fn exhausted_until(&mut self, millicores: usize, now: u64) -> Option<u64> {
        let quota = quota(millicores);
        self.roll(quota, now);
        (self.used >= quota).then(|| {
            self.window
                .saturating_add((self.used / quota).saturating_mul(WINDOW))
        })
    }

    fn roll(&mut self, quota: u64, now: u64) {
        let passed = now.saturating_sub(self.window) / WINDOW;
        self.window += passed * WINDOW;
        self.used = self.used.saturating_sub(passed.saturating_mul(quota));
    }
}

fn quota(millicores: usize) -> u64 {
    (millicores as u64).saturating_mul(MILLICORE).max(1)
}
