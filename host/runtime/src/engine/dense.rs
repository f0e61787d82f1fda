//! Memories and stacks of the dense profile, none of which takes a mapping of the system's.
//!
//! One mapping holds all linear memories, each in a *slot* of its own, and one all stacks. Both can be read and
//! written as a whole, so that neither a new instance nor the growth of a memory changes a mapping.
//!
//! # Protocol
//!
//! 1. A slot has one owner: whoever took it ([`Slots::take`]), until it is put back.
//! 2. A slot that has no owner reads as zeros, but for the guard of a stack. Owners see to that before they put
//!    it back: so nobody finds what the last user has left, whatever becomes of that user.
//! 3. Nothing but compiled code's checks keeps a guest within its memory: memories have no guard, and what is
//!    beyond the present size is there to be written. So the engine must be told of no reservation and of no guard
//!    ([`Dense::configure`]), or code would leave checks to them.
//! 4. No stack is handed out without its guard, which stays for as long as the mapping.
//! 5. Memories and stacks share the mappings they are in. The last one out unmaps.

mod memory;
mod region;
mod slots;
mod stack;

use std::io;
use std::sync::Arc;

use wasmtime::Config;

use crate::base::stats::PoolStats;
use memory::{Memories, MemoryMaker};
use stack::{StackMaker, Stacks};

pub(crate) use region::{Guards, guards};
pub(crate) use slots::MOST_WARM as WARM_SLOTS;
pub(crate) use stack::GUARD;

/// Linear memories for each slot: its own, and the heap of its garbage collector, if the guest has one.
pub(crate) const MEMORIES: u64 = 2;
/// Stacks for each that a slot stands for: an embedder's function may call a guest while another one waits for it.
/// They are address space only, unless guards take mappings.
pub(crate) const fn stacks(guards: Guards) -> u64 {
    match guards {
        Guards::Marked => 2,
        Guards::Protected => 1,
    }
}

/// Elements that a table may have. The heap has tables here, and glibc's takes a mapping of its own for what has
/// 128 KiB: a table that has grown may have room for twice as many as it holds.
pub(crate) const TABLE_ELEMENTS: usize = 8_000;

/// What the slots are for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Bytes that a linear memory may have.
    pub(crate) memory: usize,
    /// How much of a memory is zeroed by hand.
    pub(crate) memory_kept: usize,
    /// Bytes of a stack.
    pub(crate) stack: usize,
    /// Stacks that a slot stands for.
    pub(crate) stacks: u64,
    pub(crate) guards: Guards,
}

/// The memories and stacks of one engine.
#[derive(Clone)]
pub(crate) struct Dense {
    memories: Arc<Memories>,
    stacks: Arc<Stacks>,
}

impl Dense {
    /// Maps what `slots` take, or as many as the system grants: the second value.
    ///
    /// # Errors
    ///
    /// It does not grant one.
    pub(crate) fn map(slots: u32, layout: Layout) -> io::Result<(Self, u32)> {
        let mut granted = slots;
        loop {
            let mapped = Self::map_all(granted, layout);
            match mapped {
                Ok(dense) => return Ok((dense, granted)),
                Err(error) if granted <= 1 => return Err(error),
                Err(_) => granted -= granted.div_ceil(4),
            }
        }
    }

    fn map_all(slots: u32, layout: Layout) -> io::Result<Self> {
        let each = u64::from(slots);
        Ok(Self {
            memories: Memories::map(each * MEMORIES, layout.memory, layout.memory_kept)?,
            stacks: Stacks::map(
                each * layout.stacks * stacks(layout.guards),
                layout.stack,
                layout.guards,
            )?,
        })
    }

    /// Has an engine use them, and compile code that needs no guard.
    pub(crate) fn configure(&self, config: &mut Config) {
        config.memory_reservation(0);
        config.memory_guard_size(0);
        config.guard_before_linear_memory(false);
        config.memory_init_cow(false);
        config.with_host_memory(Arc::new(MemoryMaker(self.memories.clone())));
        config.with_host_stack(Arc::new(StackMaker(self.stacks.clone())));
    }

    /// Adds what is in use.
    pub(crate) fn count(&self, stats: &mut PoolStats) {
        stats.memories += self.memories.live();
        stats.stacks += self.stacks.live();
        stats.kept_bytes += self.memories.kept() + self.stacks.kept();
    }
}
