//! Whether a file is still the one that was read, and whether somebody writes to it.

use crate::failure::Failure;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a file has to stay as it is before it counts as written.
const PAUSE: Duration = Duration::from_millis(200);

/// How often it is looked at again while it changes.
const LOOKS: u32 = 50;

/// What is another where a file was written or exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// That of the file at `path` now, if there is one.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            file: (found.dev(), found.ino()),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    }

    /// Whether somebody may be writing to it.
    fn is_fresh(self) -> bool {
        let (seconds, nanoseconds) = self.modified;
        let since = Duration::new(
            u64::try_from(seconds).unwrap_or(0),
            u32::try_from(nanoseconds).unwrap_or(0),
        );
        let age = SystemTime::now().duration_since(UNIX_EPOCH + since);
        // A time that is to come says nothing.
        age.ok().is_none_or(|age| age < PAUSE)
    }
}

/// What `read` makes of the file at `path`, and the file's stamp. It is read when nobody writes to it, as far as can be
/// seen: one that has just been written is given a while, and what was read counts if the file is still the same.
///
/// # Errors
/// What `read` says, and a file that does not come to rest.
pub(super) fn read_settled<R>(
    path: &Path,
    read: impl FnMut() -> Result<R, Failure>,
) -> Result<(R, Option<Stamp>), Failure> {
    settled(|| Stamp::of(path), || thread::sleep(PAUSE), read).unwrap_or_else(|| {
        Err(Failure::usage("somebody writes to it; try again when that is over").at(path))
    })
}

/// The same of any `look`; nothing where it never settles.
fn settled<R>(
    mut look: impl FnMut() -> Option<Stamp>,
    mut pause: impl FnMut(),
    mut read: impl FnMut() -> Result<R, Failure>,
) -> Option<Result<(R, Option<Stamp>), Failure>> {
    let mut stamp = look();
    for _ in 0..LOOKS {
        if stamp.is_some_and(Stamp::is_fresh) {
            pause();
        }
        let made = read();
        let after = look();
        if after == stamp {
            return Some(made.map(|made| (made, stamp)));
        }
        stamp = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A file that was written to so many times, the last time just now.
    fn written(times: u64) -> Option<Stamp> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Some(Stamp {
            file: (1, 1),
            length: times,
            modified: (i64::try_from(now.as_secs()).unwrap() + 60, 0),
        })
    }

    /// Hunts half of a file that is taken for all of it, and a wait without an end.
    #[test]
    fn a_file_is_read_once_nobody_writes_to_it() {
        // Written to until that many looks, one of them while it is read.
        for last in [0, 1, 2, 7] {
            let times = Cell::new(0);
            let look = || {
                times.set(times.get() + 1);
                written(times.get().min(last + 1))
            };
            let read = || Ok(times.get());
            let (made, stamp) = settled(look, || {}, read).unwrap().ok().unwrap();
            assert_eq!(stamp.unwrap().length, last + 1);
            assert!(made > last, "{made} {last}");
        }
        let times = Cell::new(0);
        let look = || {
            times.set(times.get() + 1);
            written(times.get())
        };
        assert!(settled(look, || {}, || Ok(())).is_none());

        // One that nobody has touched for long is read at once, and again if it changes meanwhile.
        let old = |length| Stamp {
            file: (1, 1),
            length,
            modified: (1, 0),
        };
        let reads = Cell::new(0);
        let look = || Some(old(reads.get().min(1)));
        let read = || {
            reads.set(reads.get() + 1);
            Ok(())
        };
        let made = settled(look, || panic!("it waits"), read);
        assert!(matches!(made, Some(Ok(_))));
        assert_eq!(reads.get(), 2);
    }
}
