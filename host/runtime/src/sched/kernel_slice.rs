//! How long Linux lets a thread of ours run before others that want the same core.
//!
//! A worker that is busy all the time is what every other thread of the process, the clock's and the drivers'
//! above all, has to get past when it wakes. Linux protects whoever runs for a slice (1.4 ms on two cores), and
//! looks again at its next tick, which may be 4 ms later. A worker from which the clock takes the
//! core for a moment in every millisecond begins a new slice each time, and so is nearly always protected. Short slices are no smaller share
//! of the core.

use std::mem::size_of;
use std::time::Duration;

/// The shortest that Linux knows, so that nobody who wakes waits for one.
const SHORTEST: Duration = Duration::from_micros(100);

/// Asks for the shortest slices for this thread, and for those that it starts. Before Linux 6.12 there is no such
/// thing, a thread with another policy has another scheduler, and a sandbox may refuse it: then all is as it was.
pub(crate) fn shorten() {
    let Some(mut attributes) = attributes() else {
        return;
    };
    if attributes.sched_policy != libc::SCHED_OTHER as u32 {
        return;
    }
    attributes.sched_runtime = SHORTEST.as_nanos() as u64;
    // SAFETY: the kernel reads as many bytes there as its `size` says, which the kernel itself has set. The first
    // zero is this thread, the last no flag.
    let _may_be_refused =
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
}

/// What is set for this thread, its niceness for one.
fn attributes() -> Option<libc::sched_attr> {
    let size = size_of::<libc::sched_attr>() as u32;
    // SAFETY: it is plain data, for which zeroes are valid.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most `size` bytes there. The first zero is this thread, the last no flag.
    let failed = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    (failed == 0).then_some(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Fault: a program that was made nice, or has another scheduler, and whose workers are not any more.
    #[test]
    fn all_else_stays() {
        let thread = std::thread::spawn(|| {
            // SAFETY: no pointers; 0 is this thread.
            assert_eq!(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 7) }, 0);
            let before = attributes().expect("every Linux tells");
            shorten();
            let after = attributes().expect("every Linux tells");
            let rest = |found: &libc::sched_attr| {
                (found.sched_policy, found.sched_flags, found.sched_nice)
            };
            assert_eq!(rest(&after), rest(&before));
            assert_eq!(after.sched_nice, 7);
            // Older ones know of none.
            let slice = Duration::from_nanos(after.sched_runtime);
            assert!(slice == SHORTEST || slice.is_zero(), "{slice:?}");
        });
        thread.join().expect("it does not panic");
    }
}
