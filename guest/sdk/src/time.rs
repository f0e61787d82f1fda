//! Times as the other side counts them.

use std::time::Duration;

/// Nanoseconds, as hosts and clocks take them.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    // 584 years are as good as forever.
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
