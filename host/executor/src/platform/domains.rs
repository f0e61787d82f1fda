//! Which workers of OS threads make a domain.
//!
//! Threads are not bound to cores, so a domain is no fixed set of cores: it is as many workers as share a cache, one after
//! the other by their ids, and what keeps their lane's lines near is that the system lets threads stay where they are. What
//! counts is that no lane has more than a few workers.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Up to so many workers are one domain, whatever the caches.
const FEW: usize = 8;

/// Workers in a domain at most, also where more cores share a cache. Chosen, not measured.
const MANY: usize = 16;

/// How many workers a domain has.
pub(super) struct Domains(AtomicUsize);

impl Default for Domains {
    fn default() -> Self {
        Self(AtomicUsize::new(FEW))
    }
}

impl Domains {
    /// Divides so many workers; into how many domains.
    pub(super) fn divide(&self, workers: usize) -> usize {
        let size = if workers <= FEW {
            FEW
        } else {
            size(workers, cores_in_cache())
        };
        // Relaxed: read by workers, which come after the executor, of which this is the beginning.
        self.0.store(size, Relaxed);
        workers.div_ceil(size).max(1)
    }

    /// The domain of a worker.
    pub(super) fn of(&self, worker: usize) -> usize {
        worker / self.0.load(Relaxed)
    }
}

/// The workers of a domain, where so many logical cores share a cache.
fn size(workers: usize, cores: Option<usize>) -> usize {
    let cores = cores.unwrap_or(FEW).max(FEW).min(workers);
    // Parts of the same size.
    cores.div_ceil(cores.div_ceil(MANY))
}

/// Logical cores that share the last cache with the first one, if the system tells.
fn cores_in_cache() -> Option<usize> {
    if cfg!(not(target_os = "linux")) || cfg!(miri) {
        return None;
    }
    let list = "/sys/devices/system/cpu/cpu0/cache/index3/shared_cpu_list";
    count(&std::fs::read_to_string(list).ok()?)
}

/// How many numbers a list has, as the system writes it: `0-7,64-71`.
fn count(list: &str) -> Option<usize> {
    let ranges = list.trim().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    });
    ranges.sum()
}

#[cfg(test)]
mod tests {
    use super::{Domains, count, size};

    /// Hunts a list that is misread, and one that makes a domain of nothing.
    #[test]
    fn a_list_of_cores_is_counted() {
        assert_eq!(count("0-7,64-71\n"), Some(16));
        assert_eq!(count("3"), Some(1));
        for wrong in ["", "a-b", "7-0", "0-", "0-18446744073709551615"] {
            assert_eq!(count(wrong), None, "{wrong}");
        }
    }

    /// Hunts a small machine with more than one lane, a large one with one, and domains of unequal size.
    #[test]
    fn workers_are_divided() {
        for workers in 0..=8 {
            assert_eq!(Domains::default().divide(workers), 1);
        }
        assert_eq!(size(64, None), 8);
        assert_eq!(size(64, Some(2)), 8);
        assert_eq!(size(64, Some(16)), 16);
        // One cache for all: still no lane of 56 workers.
        assert_eq!(size(56, Some(56)), 14);
        assert_eq!(size(12, Some(32)), 12);
        let domains = Domains::default();
        let count = domains.divide(256);
        assert!((16..=32).contains(&count));
        assert_eq!((domains.of(0), domains.of(255)), (0, count - 1));
    }
}
