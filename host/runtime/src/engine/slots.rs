//! What one slot of a pool stands for, and how many of them an instance takes.
//!
//! A *slot* stands for one linear memory, eight tables and a stack (two, in a pool for components that use
//! component-model async); what a component needs more of takes more slots.

/// Linear memories that one slot in the pool stands for.
pub(crate) const MEMORIES_PER_SLOT: u32 = 1;
/// Tables that one slot stands for.
pub(crate) const TABLES_PER_SLOT: u32 = 8;
/// Stacks that one slot stands for.
pub(crate) const STACKS_PER_SLOT: u32 = 1;
/// The same in a pool for components that use component-model async: a task of theirs that waits in the middle
/// of a call keeps its stack while the event loop serves others on another one.
pub(crate) const STACKS_PER_SLOT_ASYNC: u32 = 2;
/// Slots of a pool by default.
pub(crate) const DEFAULT_INSTANCES: u32 = 1000;
/// The most slots a pool may have.
pub(crate) const MAX_INSTANCES: u32 = 100_000;

/// Elements that a table may have. A pool sets this aside as address space only.
pub(crate) const TABLE_ELEMENTS: usize = 100_000;
/// Memories that a module may define.
pub(crate) const MEMORIES_PER_MODULE: u32 = 16;
/// Tables that a module may define.
pub(crate) const TABLES_PER_MODULE: u32 = 64;
/// With so much reserved for each memory, code needs no bounds checks.
pub(crate) const WHOLE: u64 = 4 << 30;
/// What is reserved for each memory, the first that fits. A memory cannot become larger.
pub(crate) const RESERVATIONS: [u64; 4] = [WHOLE, 1 << 30, 256 << 20, 64 << 20];
/// Which components an engine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Those that use no component-model async.
    Plain,
    /// Those that do.
    Concurrent,
}

impl Kind {
    /// Stacks that one slot of the pool stands for.
    pub(crate) fn stacks_per_slot(self) -> u32 {
        match self {
            Self::Plain => STACKS_PER_SLOT,
            Self::Concurrent => STACKS_PER_SLOT_ASYNC,
        }
    }
}

/// What its instances need beside what wasmtime says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    /// How many component instances in it can be in a call at the same time.
    pub(crate) instances: u64,
    /// Whether its store takes a memory for a heap.
    pub(crate) heap: bool,
    /// Bytes that wasmtime takes for its functions, globals and imports.
    pub(crate) bookkeeping: u64,
}

impl Needs {
    /// Slots of a pool that an instance takes, with so many memories and tables.
    pub(crate) fn slots(&self, kind: Kind, memories: u64, tables: u64) -> u64 {
        let memories = memories.saturating_add(u64::from(self.heap));
        let stacks = match kind {
            Kind::Plain => 1,
            // One instance is in a call on one stack at a time, and one stack more does what is left to do
            // meanwhile.
            Kind::Concurrent => self.instances.saturating_add(1),
        };
        let slots = [
            memories.div_ceil(u64::from(MEMORIES_PER_SLOT)),
            tables.div_ceil(u64::from(TABLES_PER_SLOT)),
            stacks.div_ceil(u64::from(kind.stacks_per_slot())),
        ];
        slots.into_iter().fold(1, u64::max)
    }
}

/// The slots that must be free for an instance that takes `each`, so that its sharer then holds no more than twice as many
/// as are left, give or take one. More than `each` only where one instance takes several.
pub(crate) fn slots_for(each: u64) -> u64 {
    each + (each - 1) / 2
}

/// The depth that spawns may have in a pool of `slots`, for a component of which an instance takes `each` of them and
/// that can spawn or not; `None` if one instance takes more than its share of them.
pub(crate) fn depth_for(slots: u64, each: u64, spawns: bool, limit: u32) -> Option<u32> {
    if slots_for(each) > slots {
        return None;
    }
    let deepest = u32::try_from(slots / each - 1).unwrap_or(u32::MAX);
    Some(if spawns { limit.min(deepest) } else { 0 })
}
