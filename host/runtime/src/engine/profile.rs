//! What pools are made for, as embedders say it.

/// How tasks' instances trade speed for what the system allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// Instances are fast to make and run at full speed. Each takes up to 6 of the mappings that the system
    /// allows a process, so that the usual 65,530 are enough for some 10,600.
    #[default]
    Fast,
    /// As many instances as possible: all memories are in one mapping and all stacks in another, so that an
    /// instance takes none, and 100,000 can be parked with the usual 65,530 mappings. Before Linux 6.13 each takes 2,
    /// for the guard of its stack, which is enough for some 32,000.
    ///
    /// What it costs:
    ///
    /// - Code checks every access to memory. Beside [`Fast`](Self::Fast), on two busy cores, a sort of numbers ran at
    ///   0.71 to 0.74 of the speed, a hash map at 0.82 to 0.85, a sieve, which does little else than access memory, at
    ///   0.48 to 0.62, integer arithmetic and calls at the same (`hart-bench density --only density/cost`).
    /// - What a memory begins with is copied for every instance. Tasks that do nothing started 0.95 to 1.12 times
    ///   as fast (`density/cost/spawn`). A parked one took 45 KiB of memory and 8 KiB of page tables, in `Fast` 42 KiB
    ///   and 15 KiB (`density/parked`).
    /// - No memory grows beyond 64 MiB, no table beyond 8,000 elements. Where the host's own
    ///   [`Limits::memory`](crate::Limits::memory) is above its default, memories may grow to 256 MiB, 1 GiB or 4 GiB,
    ///   whichever is enough, if there is address space for as many.
    /// - Each slot takes 132 MiB of address space, which counts for `ulimit -v` and `ulimit -d`, and is all of it
    ///   set aside where vm.overcommit_memory is 2: the pool is made smaller where that is short. Guests' memory and
    ///   stacks are in no core dump.
    Dense,
}

impl Profile {
    /// As people write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Dense => "dense",
        }
    }
}

/// Whether the pool asks the kernel which pages a guest has written, to reset only those.
///
/// It makes instances with large memories several times as fast to reset. But a page that was written and
/// then moved to a swap device is missed, and the next guest in that slot could see it. So it must never be
/// used where there may be swap, now or later; and what an engine does cannot be changed while it lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PoolScan {
    /// As [`Off`](Self::Off): that no swap device comes later cannot be known.
    #[default]
    Auto,
    /// Yes, on the embedder's word that this system has no swap and gets none. Refused where there is some, or
    /// where the kernel is older than Linux 6.7.
    On,
    /// No.
    Off,
}
