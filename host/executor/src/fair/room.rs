//! Room for groups to be ordered in: reserved outside the lock, so that nothing is allocated under it.

use super::{heap::Heap, virtual_time::Virtual};
use crate::error::SpawnError;
use alloc::vec::Vec;

/// What grows with the number of groups.
pub(super) struct Room {
    pub(super) waiting: Heap<Virtual>,
    pub(super) parked: Heap<u64>,
    pub(super) held: Heap<u64>,
    pub(super) slices: Vec<(usize, usize)>,
}

impl Room {
    /// For so many groups.
    pub(super) fn new(groups: usize) -> Result<Self, SpawnError> {
        let mut slices = Vec::new();
        slices
            .try_reserve_exact(groups)
            .map_err(|_| SpawnError::Alloc)?;
        Ok(Self {
            waiting: Heap::with_room(groups)?,
            parked: Heap::with_room(groups)?,
            held: Heap::with_room(groups)?,
            slices,
        })
    }
}
