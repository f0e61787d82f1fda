//! Whether the system is short of memory, so that further guests had better wait.
//!
//! Limits say what a run may use. But the sum of what is allowed may be more than there is, and others use memory too:
//! whoever goes on admitting guests then is ended by the kernel, with every guest it has. So admission asks here
//! first; see its throttles.
//!
//! What is read is what could still be had, in the system and in each control group that this process is in. Not
//! its pressure-stall information: that rises when it is too late for those who were admitted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::base::setting::{Setting, size};
use crate::base::system::read;

/// How long a look is good for. One takes some 50 us. A guess.
const GOOD_FOR: Duration = Duration::from_millis(100);
/// What is kept free by default, in parts of all the memory there is, and at most. Guessed: what compiled code, stacks
/// and heaps of guests that have begun can come to take within a look's time.
const PART: u64 = 32;
const MOST: u64 = 256 << 20;

/// Reads how many bytes of memory can be had; `None` where nobody can tell.
pub(crate) type Available = Box<dyn Fn() -> Option<u64> + Send + Sync>;

/// What is known of the memory that is left.
pub(crate) struct Pressure {
    /// With fewer bytes than these, memory is short; never, if 0. And why. Found out when somebody wants to know: a
    /// program with a single guest does not.
    reserve: OnceLock<(u64, &'static str)>,
    available: Option<Available>,
    started: Instant,
    /// Nanoseconds after `started` when the next look is due.
    next: AtomicU64,
    short: AtomicBool,
}

impl Pressure {
    /// `reserve` and `available` as asked, or as the system has it.
    pub(crate) fn new(reserve: Option<u64>, available: Option<Available>, now: Instant) -> Self {
        let asked = |reserve| OnceLock::from((reserve, "as asked"));
        Self {
            reserve: reserve.map_or_else(OnceLock::new, asked),
            available,
            started: now,
            next: AtomicU64::new(0),
            short: AtomicBool::new(false),
        }
    }

    /// One that is never short: for simulated machines, whose guests must not depend on this one.
    pub(crate) fn none(now: Instant) -> Self {
        Self {
            reserve: OnceLock::from((0, "a simulated machine has memory")),
            ..Self::new(None, Some(Box::new(|| None)), now)
        }
    }

    fn reserve(&self) -> (u64, &'static str) {
        *self.reserve.get_or_init(|| match memory() {
            Some(Memory { total, .. }) => (
                (total / PART).min(MOST),
                "a 32nd of the memory that there is for this process, at most 256 MiB; further tasks wait while less is left",
            ),
            None if self.available.is_some() => (MOST, "the system does not say how much there is"),
            None => (0, "the system does not say how much there is"),
        })
    }

    pub(crate) fn setting(&self) -> Setting {
        let (reserve, reason) = self.reserve();
        Setting::new("memory-reserve", size(reserve), reason)
    }

    /// Whether it is time to [`look`](Self::look).
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        // Relaxed, here and below: all of this is a hint, and orders nothing.
        let never = matches!(self.reserve.get(), Some((0, _)));
        !never && self.elapsed(now) >= self.next.load(Ordering::Relaxed)
    }

    fn elapsed(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.started);
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Looks again. It reads files and may call the embedder: under no lock.
    pub(crate) fn look(&self, now: Instant) {
        let good_for = u64::try_from(GOOD_FOR.as_nanos()).unwrap_or(u64::MAX);
        let next = self.elapsed(now).saturating_add(good_for);
        self.next.store(next, Ordering::Relaxed);
        let (reserve, _) = self.reserve();
        let left = match &self.available {
            // The embedder's code. Whoever admits must come back from here.
            Some(available) => catch_unwind(AssertUnwindSafe(available)).unwrap_or(None),
            None => memory().map(|memory| memory.available),
        };
        let short = left.is_some_and(|left| left < reserve);
        if short && !self.short.load(Ordering::Relaxed) {
            tracing::warn!(
                "memory is short: {} bytes are left, and less than {} make further tasks wait",
                left.unwrap_or_default(),
                reserve,
            );
        }
        self.short.store(short, Ordering::Relaxed);
    }

    /// Whether memory was short at the last look.
    pub(crate) fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }
}

/// Memory of the system, or of a control group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Memory {
    total: u64,
    available: u64,
}

/// How much memory there is for this process; `None` where the system does not say.
pub(crate) fn total_memory() -> Option<u64> {
    memory().map(|memory| memory.total)
}

/// The least of what there is, and of what is left of it.
fn memory() -> Option<Memory> {
    let system = read("/proc/meminfo")?;
    let system = of_the_system(&system)?;
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    Some(group_files(&groups).fold(system, |least, files| {
        let of = files.read(read);
        of.map_or(least, |of| Memory {
            total: least.total.min(of.total),
            available: least.available.min(of.available),
        })
    }))
}

/// What `/proc/meminfo` says.
fn of_the_system(text: &str) -> Option<Memory> {
    let bytes = |name: &str| -> Option<u64> {
        let mut lines = text.lines();
        let rest = lines.find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = rest.split_whitespace().next()?.parse().ok()?;
        kibibytes.checked_mul(1024)
    };
    Some(Memory {
        total: bytes("MemTotal:")?,
        available: bytes("MemAvailable:")?,
    })
}

/// Where a control group says what it may use.
#[derive(Debug, PartialEq, Eq)]
struct GroupFiles {
    directory: String,
    limits: &'static [&'static str],
    used: &'static str,
    /// The line of `memory.stat` with what is a mere copy of files, and would be given up first.
    files: &'static str,
}

/// The memory groups that `/proc/self/cgroup` names, with those that they are in, in both versions of the interface.
fn group_files(groups: &str) -> impl Iterator<Item = GroupFiles> {
    groups.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let root = if controllers.is_empty() {
            "/sys/fs/cgroup"
        } else if controllers.split(',').any(|each| each == "memory") {
            "/sys/fs/cgroup/memory"
        } else {
            return Vec::new();
        };
        let above = std::path::Path::new(path).ancestors();
        above
            .filter_map(|path| path.to_str())
            .map(|path| {
                let directory = format!("{root}{}", path.trim_end_matches('/'));
                match controllers {
                    "" => GroupFiles {
                        directory,
                        limits: &["memory.max", "memory.high"],
                        used: "memory.current",
                        files: "inactive_file ",
                    },
                    _ => GroupFiles {
                        directory,
                        limits: &["memory.limit_in_bytes"],
                        used: "memory.usage_in_bytes",
                        files: "total_inactive_file ",
                    },
                }
            })
            .collect()
    })
}

impl GroupFiles {
    /// What the group may use, and what is left of it; none without a limit.
    fn read(&self, text: impl Fn(&str) -> Option<String>) -> Option<Memory> {
        let number = |file: &str| -> Option<u64> {
            let text = text(&format!("{}/{file}", self.directory))?;
            text.trim().parse().ok()
        };
        // `max` is no number.
        let total = self.limits.iter().filter_map(|file| number(file)).min()?;
        let used = number(self.used)?;
        let stat = text(&format!("{}/memory.stat", self.directory)).unwrap_or_default();
        let mut lines = stat.lines();
        let files = lines.find_map(|line| line.strip_prefix(self.files)?.trim().parse().ok());
        Some(Memory {
            total,
            available: total
                .saturating_add(files.unwrap_or(0))
                .saturating_sub(used)
                .min(total),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fault: a group's limit that is not seen, in a container that may use a part of the machine; a machine without
    /// one that is taken for a small one.
    #[test]
    fn groups_and_those_above_them_are_read() {
        let directories = |groups: &str| -> Vec<String> {
            let files = group_files(groups);
            files.map(|files| files.directory).collect()
        };
        assert_eq!(
            directories("0::/a/b\n"),
            ["/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a", "/sys/fs/cgroup"]
        );
        assert_eq!(
            directories("5:devices:/\n4:cpu,memory:/x\n"),
            ["/sys/fs/cgroup/memory/x", "/sys/fs/cgroup/memory"]
        );
        let read = |max: &str| {
            let text = |file: &str| {
                let file = file.strip_prefix("/sys/fs/cgroup/a/")?;
                Some(match file {
                    "memory.max" => max.to_owned(),
                    "memory.current" => "700\n".to_owned(),
                    "memory.stat" => "anon 500\ninactive_file 150\n".to_owned(),
                    _ => return None,
                })
            };
            group_files("0::/a\n").next().unwrap().read(text)
        };
        let some = |total, available| Some(Memory { total, available });
        assert_eq!(read("1000\n"), some(1000, 450));
        assert_eq!(read("100\n"), some(100, 0));
        assert_eq!(read("max\n"), None);
        let system = "MemTotal:  100 kB\nMemFree: 1 kB\nMemAvailable:  30 kB\n";
        assert_eq!(of_the_system(system), some(102_400, 30_720));
        let memory = memory().expect("this system says");
        assert!(memory.available > 0 && memory.available <= memory.total);
    }
}
