//! What the system lets this process map, and how much of that the pools of its hosts may come to use.
//!
//! A pool maps little when it is made; its mappings come with the guests, up to a number that is known
//! beforehand. A process that reaches the system's limit does not get an error where it could be handled: some
//! allocation fails, anywhere, and the process aborts. So each pool reserves at the start what it may come to
//! use, out of one budget for the process, and is made smaller where that is short.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::base::system::read;
use crate::quota::memory_pressure::total_memory;

/// Mappings that are left to the rest of the process: stacks of threads, heaps, files, compiled code. Guessed.
const MAPPINGS_LEFT: u64 = 1_000;

/// Address space that programs have on the machines that wasmtime's pool runs on: 47 bits.
const ADDRESS_SPACE: u64 = 1 << 47;

/// Mappings that pools may still come to use.
static RESERVED_MAPPINGS: AtomicU64 = AtomicU64::new(0);
/// Bytes of address space that pools have.
static RESERVED_BYTES: AtomicU64 = AtomicU64::new(0);
/// Bytes of memory that pools may keep in slots that nobody uses.
static RESERVED_KEPT: AtomicU64 = AtomicU64::new(0);

/// What all pools of the process may keep in slots that nobody uses, as a part of the memory that there is. Guessed.
const KEPT_PART: u64 = 16;
/// The same where the system does not say how much memory there is.
const KEPT_UNKNOWN: u64 = 256 << 20;

/// What is there for one more pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessLimits {
    /// Mappings; none where the system has no limit.
    pub(crate) mappings: Option<u64>,
    /// Bytes of address space.
    pub(crate) bytes: u64,
    /// Bytes of memory that it may keep in slots that nobody uses.
    pub(crate) kept: u64,
    /// The address space of the process is limited, by `ulimit -v` or what does the same.
    pub(crate) is_limited: bool,
}

impl ProcessLimits {
    /// Whether what the process may map is limited, by `ulimit -v` or `ulimit -d`.
    pub(crate) fn memory_is_limited() -> bool {
        let data = rustix::process::getrlimit(rustix::process::Resource::Data);
        limit().or(data.current).is_some()
    }

    /// Looks at what there is now.
    pub(crate) fn look() -> Self {
        let most =
            read("/proc/sys/vm/max_map_count").and_then(|text| text.trim().parse::<u64>().ok());
        let present = read("/proc/self/maps").map_or(0, |maps| maps.lines().count());
        let limit = limit();
        let bytes = match limit {
            Some(limit) => limit.min(ADDRESS_SPACE).saturating_sub(present_bytes()),
            None => ADDRESS_SPACE.saturating_sub(RESERVED_BYTES.load(Relaxed)),
        };
        Self {
            mappings: most.map(|most| {
                most.saturating_sub(present as u64)
                    .saturating_sub(RESERVED_MAPPINGS.load(Relaxed))
                    .saturating_sub(MAPPINGS_LEFT)
            }),
            bytes,
            kept: total_memory()
                .map_or(KEPT_UNKNOWN, |total| total / KEPT_PART)
                .saturating_sub(RESERVED_KEPT.load(Relaxed)),
            is_limited: limit.is_some(),
        }
    }
}

/// Whether the system may move pages of this process to a disk. One that does not say has none, or is none whose pages
/// could be asked for.
pub(crate) fn has_swap() -> bool {
    read("/proc/swaps").is_some_and(|text| text.lines().nth(1).is_some())
}

/// What the address space of the process is limited to, by `ulimit -v` or what does the same.
fn limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::As).current
}

/// Bytes that the process has mapped.
fn present_bytes() -> u64 {
    read("/proc/self/statm")
        .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |pages| pages * rustix::param::page_size() as u64)
}

/// What a pool may come to use, until it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    mappings: u64,
    bytes: u64,
    kept: u64,
}

impl Reservation {
    pub(crate) fn new(mappings: u64, bytes: u64, kept: u64) -> Self {
        RESERVED_MAPPINGS.fetch_add(mappings, Relaxed);
        RESERVED_BYTES.fetch_add(bytes, Relaxed);
        RESERVED_KEPT.fetch_add(kept, Relaxed);
        Self {
            mappings,
            bytes,
            kept,
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        RESERVED_MAPPINGS.fetch_sub(self.mappings, Relaxed);
        RESERVED_BYTES.fetch_sub(self.bytes, Relaxed);
        RESERVED_KEPT.fetch_sub(self.kept, Relaxed);
    }
}
