//! File descriptors that the host holds for guests, and how many are left for its embedder.
//!
//! A process has so many descriptors (`RLIMIT_NOFILE`), for guests and for the embedder. Guests get all but a reserve:
//!
//! 1. What guests hold is counted by run, by tenant and for the host. A descriptor is counted before it is opened.
//! 2. A tenant, or a run without one, that has no limit of its own gets no more while it holds twice as many as are free:
//!    two thirds where it is alone, and there always are some for the next one.
//! 3. The embedder may hold many itself, which nobody counts. So the system is asked for the lowest free number as well:
//!    where that is in the reserve, guests get none.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, getrlimit};

use crate::base::setting::Setting;
use crate::base::signal::Signal;
use crate::quota::limits::{LimitKind, LimitReached, Limits};

/// The least that is left for the embedder. Guessed: a small service's listeners, its log, and some connections.
const LEAST_RESERVE: u64 = 64;
/// Of all descriptors, the part that is left for the embedder: as a service holds about one for each of its guests'
/// callers, it needs some while guests need most.
const RESERVED_PART: u64 = 4;

/// The descriptors of all guests of a process's host.
pub(crate) struct HostFiles {
    /// What guests may hold together.
    limit: u64,
    /// Numbers from here on are the embedder's.
    ceiling: u64,
    /// What the system allows the process.
    system: u64,
    held: AtomicU64,
    /// Notified when one is given back.
    freed: Signal,
    /// Something to duplicate, which tells the lowest free number.
    probe: Option<File>,
}

impl HostFiles {
    /// All but the reserve of what the system allows, or `limit` if that is less.
    pub(crate) fn new(limit: Option<u64>) -> Self {
        let system = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let reserve = (system / RESERVED_PART).max(LEAST_RESERVE).min(system / 2);
        let ceiling = system - reserve;
        Self {
            limit: limit.unwrap_or(ceiling).min(ceiling),
            ceiling,
            system,
            held: AtomicU64::new(0),
            freed: Signal::default(),
            probe: File::open("/dev/null").ok(),
        }
    }

    /// As many on every machine, for one that is simulated.
    pub(crate) fn simulated(limit: Option<u64>) -> Self {
        let limit = limit.unwrap_or(2 * Limits::DEFAULT_FILES);
        Self {
            limit,
            ceiling: limit,
            system: limit,
            held: AtomicU64::new(0),
            freed: Signal::default(),
            probe: None,
        }
    }

    /// How many, and why.
    pub(crate) fn setting(&self) -> Setting {
        let Self {
            limit,
            ceiling,
            system,
            ..
        } = self;
        let reason = if limit < ceiling {
            format!("as it was told; the process may have {system}")
        } else {
            format!(
                "the process may have {system}, and {} are left for its embedder",
                system - ceiling
            )
        };
        Setting::new("files", limit, reason)
    }

    pub(crate) fn freed(&self) -> &Signal {
        &self.freed
    }

    /// What a run may hold where its limits do not say.
    pub(super) fn of_a_run(&self) -> u64 {
        Limits::DEFAULT_FILES.min(self.limit / 2).max(1)
    }

    /// Whether a descriptor that is opened now has a number below the reserve.
    fn has_room(&self) -> bool {
        self.probe.as_ref().is_none_or(|probe| {
            fcntl_dupfd_cloexec(probe, 0)
                .is_ok_and(|lowest| u64::try_from(lowest.as_raw_fd()).unwrap_or(0) < self.ceiling)
        })
    }

    /// Counts one for whoever holds `of_these` with it, if that is to be looked at, or names the limit.
    pub(super) fn take(&self, of_these: Option<u64>) -> Result<(), LimitReached> {
        let reached = LimitReached::new(LimitKind::HostFiles, self.limit);
        self.held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                let free = self.limit.saturating_sub(held);
                let leaves_some =
                    of_these.is_none_or(|of_these| of_these <= free.saturating_mul(2));
                (free > 0 && leaves_some).then_some(held + 1)
            })
            .map_err(|_| reached)?;
        if self.has_room() {
            Ok(())
        } else {
            self.give_back();
            Err(reached)
        }
    }

    pub(super) fn give_back(&self) {
        self.held.fetch_sub(1, Ordering::Relaxed);
        self.freed.notify();
    }
}
