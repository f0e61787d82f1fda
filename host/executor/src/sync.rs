//! The atomics, cells, locks and counted pointers that the crate uses: loom's under `--cfg loom`, shuttle's atomics and
//! locks under `--cfg shuttle`, else core's.
//!
//! Locks are held for a handful of instructions each and never across a call into foreign code (a
//! poll, a drop, a wake). With `std` they are `std`'s, which sleep; without it they spin, which is
//! all that a machine without threads can do.

#[cfg(loom)]
pub(crate) use loom::{
    cell::UnsafeCell,
    // So that loom sees in which order things are freed, and that nothing is left.
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence},
    },
};

#[cfg(not(loom))]
pub(crate) use alloc::sync::Arc;
#[cfg(not(any(loom, shuttle)))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence};
#[cfg(shuttle)]
pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence};

#[cfg(not(loom))]
pub(crate) use self::cell::UnsafeCell;

#[cfg(not(loom))]
mod cell {
    /// `core::cell::UnsafeCell` with loom's closure interface.
    pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }

        #[inline]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        #[inline]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

/// Something that other cores write than what is beside it: on a cache line of its own, or on a pair of lines, which some
/// machines fetch together.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Apart<T>(pub(crate) T);

impl<T> core::ops::Deref for Apart<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// A lock whose holder cannot fail: poisoning is ignored, because no foreign code runs under it.
pub(crate) struct Mutex<T>(inner::Mutex<T>);

pub(crate) type MutexGuard<'a, T> = inner::MutexGuard<'a, T>;

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(inner::Mutex::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        #[cfg(any(loom, shuttle, feature = "std"))]
        {
            self.0
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner())
        }
        #[cfg(not(any(loom, shuttle, feature = "std")))]
        {
            self.0.lock()
        }
    }
}

impl<T> Mutex<T> {
    /// The lock, unless another has it.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        #[cfg(any(loom, shuttle, feature = "std"))]
        {
            use std::sync::TryLockError::{Poisoned, WouldBlock};
            match self.0.try_lock() {
                Ok(guard) => Some(guard),
                Err(Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(WouldBlock) => None,
            }
        }
        #[cfg(not(any(loom, shuttle, feature = "std")))]
        {
            self.0.try_lock()
        }
    }
}

#[cfg(loom)]
mod inner {
    pub(crate) use loom::sync::{Mutex, MutexGuard};
}

#[cfg(shuttle)]
mod inner {
    pub(crate) use shuttle::sync::{Mutex, MutexGuard};
}

#[cfg(all(not(any(loom, shuttle)), feature = "std"))]
mod inner {
    pub(crate) use std::sync::{Mutex, MutexGuard};
}

#[cfg(all(not(any(loom, shuttle)), not(feature = "std")))]
mod inner {
    pub(crate) use spin::mutex::{SpinMutex as Mutex, SpinMutexGuard as MutexGuard};
}

/// A counter that one worker writes and any thread reads: an atomic load and store, no read-modify-write.
#[derive(Default)]
pub(crate) struct Counter(core::sync::atomic::AtomicUsize);

impl Counter {
    /// Adds `n`. Only the owning worker may call this: concurrent adds would lose counts.
    #[inline]
    pub(crate) fn add(&self, n: usize) {
        use core::sync::atomic::Ordering::Relaxed;
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(core::sync::atomic::Ordering::Relaxed)
    }
}
