//! The part of a task that does not depend on its future.
//!
//! | field | may be touched by |
//! | --- | --- |
//! | `links` | the queue that the task is in (it is in at most one) |
//! | `state` | anyone |
//! | `join_waker` | see the rules in [`state`](super::state) |
//! | the rest | anyone, read only |
//!
//! The stage, which follows the header, belongs to the holder of `RUNNING`; after completion to the join handle, or
//! without one to the completer.

use super::{Id, Metadata, join_error::JoinError, state::State, transition::Reason};
use crate::sync::{AtomicUsize, Ordering, UnsafeCell};
use cordyceps::mpsc_queue;
use core::{
    mem::ManuallyDrop,
    ptr::NonNull,
    task::{Context, Waker},
};

#[repr(C)]
pub(crate) struct Header {
    links: QueueLinks,
    pub(super) state: State,
    pub(super) vtable: &'static Vtable,
    pub(super) join_waker: UnsafeCell<Option<Waker>>,
    /// When it was queued in the fair lane, in nanoseconds of the platform's clock, modulo the word; and in the last
    /// [`DOMAIN_BITS`] bits in which domain's lane, counted from one.
    queued_at: AtomicUsize,
    id: Id,
    metadata: Metadata,
    #[cfg(feature = "tracing")]
    pub(super) span: tracing::Span,
}

/// Bits of a word that name a domain. Where words are short there is one domain, which needs no name.
const DOMAIN_BITS: u32 = if usize::BITS < 64 { 0 } else { 10 };

const DOMAINS: usize = (1 << DOMAIN_BITS) - 1;

/// So many domains there are at most.
pub(crate) const MAX_DOMAINS: usize = if DOMAINS == 0 { 1 } else { DOMAINS };

/// A task is in queues of the fast lane or, if it has a group, of the fair lane: never in both.
union QueueLinks {
    fast: ManuallyDrop<mpsc_queue::Links<Header>>,
    /// The next task in the group's queue.
    fair: ManuallyDrop<UnsafeCell<Option<NonNull<Header>>>>,
}

/// What depends on the types of the future, of its memory and of the executor.
pub(super) struct Vtable {
    /// Polls the future; `true` if the stage holds the result now. Needs `RUNNING`.
    pub(super) poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> bool,
    /// Drops the future and stores the error as the result. Needs `RUNNING`.
    pub(super) fail: unsafe fn(NonNull<Header>, JoinError),
    /// Moves the result to the pointer, an `Option<Result<T, JoinError>>`. Needs the right to the result.
    pub(super) take_output: unsafe fn(NonNull<Header>, *mut ()),
    /// Drops the result, if it was not taken. Needs the right to the result.
    pub(super) drop_output: unsafe fn(NonNull<Header>),
    /// Hands a counted reference to the executor, to be queued. The caller has another one.
    pub(super) schedule: unsafe fn(NonNull<Header>),
    /// As `schedule`, but it may be the only reference.
    pub(super) schedule_last: unsafe fn(NonNull<Header>),
    /// Drops the future and completes the task. Needs `RUNNING`, and a reference of the caller's.
    pub(super) cancel: unsafe fn(NonNull<Header>, Reason),
    /// Frees the task and what is left in it. Needs to be the last reference.
    pub(super) free: unsafe fn(NonNull<Header>),
    /// As `free`, on the core given: a pointer to the hooks' `Core`.
    pub(super) free_on: unsafe fn(NonNull<Header>, Option<NonNull<()>>),
}

impl Header {
    pub(super) fn new(state: State, vtable: &'static Vtable, id: Id, metadata: Metadata) -> Self {
        Self {
            links: if state.is_fair() {
                QueueLinks {
                    fair: ManuallyDrop::new(UnsafeCell::new(None)),
                }
            } else {
                QueueLinks {
                    fast: ManuallyDrop::new(mpsc_queue::Links::new()),
                }
            },
            state,
            vtable,
            join_waker: UnsafeCell::new(None),
            queued_at: AtomicUsize::new(0),
            id,
            #[cfg(feature = "tracing")]
            span: tracing::trace_span!(
                target: "hart::task",
                "task",
                id = id.as_u64(),
                name = metadata.name().unwrap_or(""),
                kind = metadata.kind(),
                location = %metadata.location(),
            ),
            metadata,
        }
    }

    pub(super) fn id(&self) -> Id {
        self.id
    }

    pub(super) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Whether the task has a group, and so belongs to the fair lane.
    #[inline]
    pub(crate) fn is_fair(&self) -> bool {
        self.state.is_fair()
    }

    /// The link of a task of the fast lane, of which only its queue makes a reference.
    ///
    /// # Safety
    ///
    /// The task is alive, and of the fast lane.
    pub(super) unsafe fn fast_links(task: NonNull<Self>) -> NonNull<mpsc_queue::Links<Self>> {
        // SAFETY: the caller's; no reference to the header is made.
        let links = unsafe { &raw mut (*task.as_ptr()).links.fast };
        // SAFETY: a field of a live allocation is not at address zero.
        unsafe { NonNull::new_unchecked(links) }.cast()
    }

    /// The link in its group's queue, which that queue reads and writes.
    pub(crate) fn fair_link(&self) -> &UnsafeCell<Option<NonNull<Header>>> {
        assert!(self.is_fair(), "only groups have queues");
        // SAFETY: `new` made this one for a task of the fair lane, and neither changes.
        unsafe { &self.links.fair }
    }

    /// Notes that the task entered the fair lane of a domain at `now`.
    pub(crate) fn set_queued_at(&self, now: u64, domain: usize) {
        // Relaxed: the lane's lock orders it. Truncated: only differences are used.
        let at = (now as usize) << DOMAIN_BITS;
        self.queued_at
            .store(at | (domain + 1) & DOMAINS, Ordering::Relaxed);
    }

    /// The domain whose lane it was last in, if it was in one.
    pub(crate) fn domain(&self) -> Option<usize> {
        // Relaxed: a hint where to queue it.
        (self.queued_at.load(Ordering::Relaxed) & DOMAINS).checked_sub(1)
    }

    /// It goes on in another domain.
    pub(crate) fn set_domain(&self, domain: usize) {
        let at = self.queued_at.load(Ordering::Relaxed) & !DOMAINS;
        self.queued_at
            .store(at | (domain + 1) & DOMAINS, Ordering::Relaxed);
    }

    /// How long it has been in the fair lane, in nanoseconds.
    pub(crate) fn queued_for(&self, now: u64) -> u64 {
        let at = self.queued_at.load(Ordering::Relaxed) & !DOMAINS;
        let waited = ((now as usize) << DOMAIN_BITS).wrapping_sub(at);
        // Another core may have queued the task just after `now` was read.
        u64::try_from(waited.cast_signed() >> DOMAIN_BITS).unwrap_or(0)
    }
}
