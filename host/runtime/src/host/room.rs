//! What the system lets this process map, and how much of that the pools of its hosts may come to use.
//!
//! A pool maps little when it is made; its mappings come with the guests, up to a number that is known
//! beforehand. A process that reaches the system's limit does not get an error where it could be handled: some
//! allocation fails, anywhere, and the process aborts. So each pool reserves at the start what it may come to
//! use, out of one budget for the process, and is made smaller where that is short.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::dense::{self, Guards};
use super::pool::{PoolScan, Profile};

/// Mappings that are left to the rest of the process: stacks of threads, heaps, files, compiled code. Guessed.
const MAPPINGS_LEFT: u64 = 1_000;

/// Address space that programs have on the machines that wasmtime's pool runs on: 47 bits.
const ADDRESS_SPACE: u64 = 1 << 47;

/// Mappings that pools may still come to use.
static PROMISED_MAPPINGS: AtomicU64 = AtomicU64::new(0);
/// Bytes of address space that pools have.
static PROMISED_BYTES: AtomicU64 = AtomicU64::new(0);

/// What is there for one more pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Mappings; none where the system has no limit.
    pub(super) mappings: Option<u64>,
    /// Bytes of address space.
    pub(super) bytes: u64,
    /// The address space of the process is limited, by `ulimit -v` or what does the same.
    pub(super) is_limited: bool,
    /// The system may move pages of this process to a disk. Not looked at unless the pool is to be scanned.
    pub(super) swaps: bool,
    /// How it makes pages inaccessible. Not looked at unless the pool is a dense one.
    pub(super) guards: Guards,
}

impl Room {
    /// Whether what the process may map is limited, by `ulimit -v` or `ulimit -d`.
    pub(super) fn memory_is_limited() -> bool {
        let data = rustix::process::getrlimit(rustix::process::Resource::Data);
        limit().or(data.current).is_some()
    }

    /// Looks at what a pool of this profile has to know.
    pub(super) fn look(profile: Profile, scan: PoolScan) -> Self {
        let most =
            read("/proc/sys/vm/max_map_count").and_then(|text| text.trim().parse::<u64>().ok());
        let present = read("/proc/self/maps").map_or(0, |maps| maps.lines().count());
        let limit = limit();
        let bytes = match limit {
            Some(limit) => limit.min(ADDRESS_SPACE).saturating_sub(present_bytes()),
            None => ADDRESS_SPACE.saturating_sub(PROMISED_BYTES.load(Relaxed)),
        };
        Self {
            mappings: most.map(|most| {
                most.saturating_sub(present as u64)
                    .saturating_sub(PROMISED_MAPPINGS.load(Relaxed))
                    .saturating_sub(MAPPINGS_LEFT)
            }),
            bytes,
            is_limited: limit.is_some(),
            // A system that does not say has none, or is none whose pages could be asked for.
            swaps: scan == PoolScan::On
                && read("/proc/swaps").is_some_and(|text| text.lines().nth(1).is_some()),
            guards: match profile {
                Profile::Dense => dense::guards(),
                Profile::Fast => Guards::Protected,
            },
        }
    }
}

/// What the address space of the process is limited to, by `ulimit -v` or what does the same.
fn limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::As).current
}

/// What the system says in one of its files, which have no length that could be asked for: at once, in place of by
/// and by.
pub(super) fn read(file: &str) -> Option<String> {
    use std::io::Read as _;

    let mut bytes = Vec::with_capacity(16 << 10);
    let mut file = std::fs::File::open(file).ok()?;
    file.read_to_end(&mut bytes).ok()?;
    // Paths in there may be in any encoding.
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Bytes that the process has mapped.
fn present_bytes() -> u64 {
    read("/proc/self/statm")
        .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |pages| pages * rustix::param::page_size() as u64)
}

/// What a pool may come to use, until it is dropped.
#[derive(Debug)]
pub(super) struct Promise {
    mappings: u64,
    bytes: u64,
}

impl Promise {
    pub(super) fn new(mappings: u64, bytes: u64) -> Self {
        PROMISED_MAPPINGS.fetch_add(mappings, Relaxed);
        PROMISED_BYTES.fetch_add(bytes, Relaxed);
        Self { mappings, bytes }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        PROMISED_MAPPINGS.fetch_sub(self.mappings, Relaxed);
        PROMISED_BYTES.fetch_sub(self.bytes, Relaxed);
    }
}
