//! A mapping, and what can be done with parts of it: all of the dense profile's calls of the system's.

use std::io;
use std::ops::Range;
use std::ptr::{self, NonNull};

use rustix::mm::{self, Advice, MapFlags, MprotectFlags, ProtFlags};

/// How pages are made inaccessible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guards {
    /// They are marked in the page table: no mapping is split. Linux 6.13 and later.
    Marked,
    /// By their protection, which splits the mapping that they are in: two more for each guard.
    Protected,
}

/// `MADV_GUARD_INSTALL`, as in the kernel's `mman-common.h`.
const MADV_GUARD_INSTALL: i32 = 102;

/// Pages that can be read and written, all of them zeros at first. Memory is taken only for those that are written.
pub(crate) struct Region {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a `Region` is an address range that it alone unmaps; its methods that touch the bytes are unsafe and ask
// for the sole use of those bytes, from whichever thread.
unsafe impl Send for Region {}
// SAFETY: as above. Through `&Region` nothing changes but bytes that the caller has to himself.
unsafe impl Sync for Region {}

impl Region {
    /// Maps so many bytes.
    pub(crate) fn map(bytes: usize) -> io::Result<Self> {
        // SAFETY: a new mapping where the system chooses: it replaces nothing.
        let base = unsafe {
            mm::mmap_anonymous(
                ptr::null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let region = Self { base, bytes };
        // One byte written must not take 2 MiB; and a core dump would have all of it, untouched pages too.
        region.advise(Advice::LinuxNoHugepage);
        region.advise(Advice::LinuxDontDump);
        Ok(region)
    }

    /// What cannot be had is done without: neither piece of advice changes what a page holds.
    fn advise(&self, advice: Advice) {
        // SAFETY: the range is this region's own, and the advice leaves its pages' contents as they are.
        let advised = unsafe { mm::madvise(self.base.as_ptr().cast(), self.bytes, advice) };
        if let Err(error) = advised {
            tracing::debug!("the system does not take {advice:?}: {error}");
        }
    }

    /// The address of a byte.
    ///
    /// # Panics
    ///
    /// It is not in the region, nor just behind it.
    pub(crate) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset <= self.bytes, "byte {offset} of {}", self.bytes);
        // SAFETY: the offset is within the mapping or one past its end.
        unsafe { self.base.add(offset) }
    }

    /// The address of a range.
    fn part(&self, range: &Range<usize>) -> NonNull<u8> {
        assert!(range.start <= range.end && range.end <= self.bytes);
        self.at(range.start)
    }

    /// Zeroes bytes by hand: their pages stay in memory.
    ///
    /// # Safety
    ///
    /// Nobody else uses these bytes, and no guard is among them.
    pub(crate) unsafe fn zero(&self, range: Range<usize>) {
        let start = self.part(&range);
        // SAFETY: `part` has checked that the range is in the mapping, which can be written but for guards; the
        // caller promises that there is none and that the bytes are his.
        unsafe { start.write_bytes(0, range.len()) };
    }

    /// Zeroes whole pages by giving them back to the system.
    ///
    /// # Safety
    ///
    /// As for [`zero`](Self::zero).
    pub(crate) unsafe fn give_back(&self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let start = self.part(&range);
        // Linux promises that such pages read as zeros from then on.
        // SAFETY: the range is in this mapping, which is private and anonymous; the caller promises that nobody
        // else uses it, so that no reference sees it change.
        let given =
            unsafe { mm::madvise(start.as_ptr().cast(), range.len(), Advice::LinuxDontNeed) };
        if given.is_ok() {
            return;
        }
        // Pages that are locked cannot be given back. That nobody sees them does not depend on it.
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.zero(range) };
    }

    /// Makes whole pages inaccessible for as long as the mapping is there.
    ///
    /// # Safety
    ///
    /// Nobody uses these bytes, now or later.
    pub(crate) unsafe fn guard(&self, range: Range<usize>, guards: Guards) -> io::Result<()> {
        let start = self.part(&range).as_ptr().cast();
        match guards {
            // SAFETY: the range is in this mapping, and the caller promises that nobody uses it.
            Guards::Marked => unsafe { mark(start, range.len()) },
            // SAFETY: as above.
            Guards::Protected => unsafe {
                Ok(mm::mprotect(start, range.len(), MprotectFlags::empty())?)
            },
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length; whoever uses a part of it keeps the region alive.
        let unmapped = unsafe { mm::munmap(self.base.as_ptr().cast(), self.bytes) };
        if let Err(error) = unmapped {
            tracing::error!("a pool's memory cannot be unmapped: {error}");
        }
    }
}

/// # Safety
///
/// The range is a part of a mapping that nobody uses.
unsafe fn mark(start: *mut core::ffi::c_void, bytes: usize) -> io::Result<()> {
    // SAFETY: the caller promises that nobody uses the pages, whose contents are lost.
    match unsafe { libc::madvise(start, bytes, MADV_GUARD_INSTALL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What this system can do: it is tried on a page.
pub(crate) fn guards() -> Guards {
    let page = rustix::param::page_size();
    let marked = Region::map(page).and_then(|region| {
        // SAFETY: the region was just made, and nobody uses it.
        unsafe { region.guard(0..page, Guards::Marked) }
    });
    match marked {
        Ok(()) => Guards::Marked,
        Err(_) => Guards::Protected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether all bytes are zeros.
    fn reads_as_zeros(region: &Region, range: Range<usize>) -> bool {
        let start = region.part(&range);
        // SAFETY: the test has the region to itself, and no guard is in it.
        let bytes = unsafe { std::slice::from_raw_parts(start.as_ptr(), range.len()) };
        bytes.iter().all(|byte| *byte == 0)
    }

    /// Fault: bytes that stay, in pages that cannot be given back because they are locked.
    #[test]
    fn what_is_given_back_reads_as_zeros() {
        let page = rustix::param::page_size();
        let region = Region::map(8 * page).unwrap();
        for locked in [false, true] {
            // SAFETY: the test has the region to itself.
            unsafe { region.at(0).write_bytes(0xa5, 8 * page) };
            // SAFETY: locking changes no byte.
            let lock = unsafe { mm::mlock(region.at(0).as_ptr().cast(), 8 * page) };
            if locked && lock.is_err() {
                continue;
            }
            if !locked {
                // SAFETY: as above.
                let _ = unsafe { mm::munlock(region.at(0).as_ptr().cast(), 8 * page) };
            }
            // SAFETY: the test has the region to itself.
            unsafe { region.give_back(page..7 * page) };
            assert!(reads_as_zeros(&region, page..7 * page), "locked: {locked}");
            assert!(
                !reads_as_zeros(&region, 0..page) && !reads_as_zeros(&region, 7 * page..8 * page)
            );
            // SAFETY: as above.
            unsafe { region.zero(0..8 * page) };
            assert!(reads_as_zeros(&region, 0..8 * page));
        }
    }
}
