//! What there is for one more pool: what the process may use, and what the kernel can do.

use crate::engine::dense::{self, Guards};
use crate::engine::profile::{PoolScan, Profile};
use crate::quota::process_limits::{ProcessLimits, has_swap};

/// What there is for one more pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Mappings; none where the system has no limit.
    pub(crate) mappings: Option<u64>,
    /// Bytes of address space.
    pub(crate) bytes: u64,
    /// Bytes of memory that it may keep in slots that nobody uses.
    pub(crate) kept: u64,
    /// The address space of the process is limited, by `ulimit -v` or what does the same.
    pub(crate) is_limited: bool,
    /// The system may move pages of this process to a disk. Not looked at unless the pool is to be scanned.
    pub(crate) swaps: bool,
    /// How it makes pages inaccessible. Not looked at unless the pool is a dense one.
    pub(crate) guards: Guards,
}

impl Room {
    /// Looks at what a pool of this profile has to know.
    pub(crate) fn look(profile: Profile, scan: PoolScan) -> Self {
        let ProcessLimits {
            mappings,
            bytes,
            kept,
            is_limited,
        } = ProcessLimits::look();
        Self {
            mappings,
            bytes,
            kept,
            is_limited,
            swaps: scan == PoolScan::On && has_swap(),
            guards: match profile {
                Profile::Dense => dense::guards(),
                Profile::Fast => Guards::Protected,
            },
        }
    }
}
