//! How much memory a pool keeps in slots that nobody uses, so that the next guest finds its pages there.
//!
//! What is not kept goes back to the system when an instance is dropped, before its slot can be taken again.
//! wasmtime's pool could wait until there is more of that (`decommit_batch_size`), but it counts regions and not
//! bytes: 64 memories of 600 MiB may wait. Waiting saves a few microseconds where a guest has written fewer than
//! some 16 pages beyond what is kept, and nothing where it has written more.
//!
//! The stacks of wasmtime's pool are never given back: each keeps what its deepest call has touched, at most what a
//! stack has. They are not counted here.

use crate::engine::dense;
use crate::engine::slots::{MEMORIES_PER_SLOT, TABLES_PER_SLOT};

/// How much of a memory is zeroed by hand when it is reused, instead of by the system. Instances of guests with a
/// small stack fit whole. `tests/bench` settles it.
const MEMORY: u64 = 256 << 10;
/// The same for a table.
const TABLE: u64 = 16 << 10;

/// What a pool keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keep {
    /// Bytes of each memory.
    pub(crate) memory: usize,
    /// Bytes of each table.
    pub(crate) table: usize,
    /// Bytes of all, at most.
    pub(crate) bytes: u64,
}

impl Keep {
    /// For wasmtime's pool of so many slots, which may keep so many bytes.
    pub(crate) fn pool(slots: u64, most: u64) -> Self {
        let (memories, tables) = (
            u64::from(MEMORIES_PER_SLOT) * slots,
            u64::from(TABLES_PER_SLOT) * slots,
        );
        let (memory, table) = if memories * MEMORY + tables * TABLE <= most {
            (MEMORY, TABLE)
        } else {
            // As it is shared where there is enough.
            (share(most / 3 * 2, memories), share(most / 3, tables))
        };
        Self::new(memory, table, memories * memory + tables * table)
    }

    /// For the dense profile: a few slots keep pages, however many there are.
    pub(crate) fn dense(slots: u64, most: u64) -> Self {
        let memories = (slots * dense::MEMORIES).min(dense::WARM_SLOTS);
        let memory = share(most, memories).min(MEMORY);
        Self::new(memory, 0, memories * memory)
    }

    fn new(memory: u64, table: u64, bytes: u64) -> Self {
        Self {
            memory: usize::try_from(memory).unwrap_or(0),
            table: usize::try_from(table).unwrap_or(0),
            bytes,
        }
    }
}

/// Whole pages for each.
fn share(bytes: u64, among: u64) -> u64 {
    let page = rustix::param::page_size() as u64;
    bytes / among.max(1) / page * page
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fault: pages kept in every slot of a large pool, whatever memory there is; a usual pool that keeps none.
    #[test]
    fn what_is_kept_is_bounded() {
        let usual = Keep::pool(1_000, 1 << 30);
        assert_eq!(
            (usual.memory as u64, usual.table as u64),
            (MEMORY, TABLE),
            "{usual:?}"
        );
        for most in [0, 4095, 1 << 20, 100 << 20, 1 << 30, 1 << 40] {
            for slots in [1, 16, 1_000, 10_666, 100_000] {
                for keep in [Keep::pool(slots, most), Keep::dense(slots, most)] {
                    assert!(keep.bytes <= most, "{slots} {most} {keep:?}");
                    assert!(keep.memory as u64 <= MEMORY && keep.table as u64 <= TABLE);
                }
            }
        }
        let scarce = Keep::pool(1_000, 100 << 20);
        assert!(scarce.memory >= 64 << 10 && scarce.table >= 4 << 10);
    }
}
