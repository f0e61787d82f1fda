//! Linear memories.

use std::io;
use std::sync::Arc;

use wasmtime::{LinearMemory, MemoryCreator, MemoryType, Result, format_err};

use crate::engine::dense::region::Region;
use crate::engine::dense::slots::{Fate, Slot, Slots};

/// All linear memories of an engine: the slots of one mapping.
pub(crate) struct Memories {
    region: Region,
    slots: Slots,
    /// Bytes of a slot: no memory becomes larger.
    largest: usize,
    /// How much of a memory is zeroed by hand, if its slot may keep pages.
    kept: usize,
}

/// What wasmtime asks for memories.
pub(crate) struct MemoryMaker(pub(crate) Arc<Memories>);

/// A memory: its slot from here on has no other owner.
struct Memory {
    memories: Arc<Memories>,
    slot: Slot,
    /// Its present size. It never shrinks, so nothing beyond was ever within reach of its guest.
    bytes: usize,
}

impl Memories {
    /// Maps `count` memories of `largest` bytes, which are whole pages.
    pub(crate) fn map(count: u64, largest: usize, kept: usize) -> io::Result<Arc<Self>> {
        let count = u32::try_from(count).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let bytes = largest.checked_mul(count as usize);
        Ok(Arc::new(Self {
            region: Region::map(bytes.ok_or(io::ErrorKind::OutOfMemory)?)?,
            slots: Slots::new(count),
            largest,
            kept,
        }))
    }

    pub(crate) fn live(&self) -> u64 {
        self.slots.live()
    }

    /// Bytes that memories which are gone have left in their slots.
    pub(crate) fn kept(&self) -> u64 {
        self.slots.kept()
    }

    fn start(&self, slot: Slot) -> usize {
        slot.number as usize * self.largest
    }
}

// SAFETY: a memory is `minimum` bytes, zeros, in a slot that has no other owner and can be read and written up to its
// last byte; it grows in place, within the slot. Compiled code may reach bytes beyond the present size only if it
// was told of a reservation or of a guard, and where it was, no memory is made.
unsafe impl MemoryCreator for MemoryMaker {
    fn new_memory(
        &self,
        _ty: MemoryType,
        minimum: usize,
        _maximum: Option<usize>,
        reserved_size_in_bytes: Option<usize>,
        guard_size_in_bytes: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let memories = &self.0;
        if reserved_size_in_bytes.unwrap_or(0) > 0 || guard_size_in_bytes > 0 {
            return Err("its code relies on guards, which memories of this profile lack".into());
        }
        if minimum > memories.largest {
            let largest = memories.largest;
            return Err(format!(
                "a memory of {minimum} bytes, and {largest} are the most"
            ));
        }
        let Some(slot) = memories.slots.take() else {
            return Err("the pool has no linear memory left".into());
        };
        Ok(Box::new(Memory {
            memories: memories.clone(),
            slot,
            bytes: minimum,
        }))
    }
}

// SAFETY: the address is that of the slot, which stays; the size is within the slot and only grows.
unsafe impl LinearMemory for Memory {
    fn byte_size(&self) -> usize {
        self.bytes
    }

    fn byte_capacity(&self) -> usize {
        self.memories.largest
    }

    fn grow_to(&mut self, new_size: usize) -> Result<()> {
        if new_size > self.memories.largest {
            return Err(format_err!("Memory maximum size exceeded"));
        }
        self.bytes = self.bytes.max(new_size);
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        let start = self.memories.start(self.slot);
        self.memories.region.at(start).as_ptr()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let Memories {
            region,
            slots,
            kept,
            ..
        } = &*self.memories;
        let start = self.memories.start(self.slot);
        let page = rustix::param::page_size();
        let end = start + self.bytes.next_multiple_of(page);
        let fate = slots.fate();
        let (by_hand, touched) = match fate {
            Fate::Warm => (end.min(start + kept), end),
            // What it never reached is zeros, and may be there from an owner before.
            Fate::Cold => (start, end.max(start + self.slot.kept)),
        };
        // SAFETY: the slot is this memory's alone, and wasmtime drops a memory when no code of its guest can run any
        // more. There are no guards among memories.
        unsafe { region.zero(start..by_hand) };
        // SAFETY: as above; both ends are whole pages, as the slot, the kept part and the end are.
        unsafe { region.give_back(by_hand..touched) };
        let slot = Slot {
            kept: self.slot.kept.max(by_hand - start),
            ..self.slot
        };
        slots.put_back(slot, fate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGEST: usize = 1 << 20;
    const KEPT: usize = 64 << 10;

    fn make(maker: &MemoryMaker, minimum: usize) -> Result<Box<dyn LinearMemory>, String> {
        maker.new_memory(MemoryType::new(0, None), minimum, None, Some(0), 0)
    }

    fn bytes(memory: &mut dyn LinearMemory) -> &mut [u8] {
        // SAFETY: the memory is borrowed for as long, and so many bytes are accessible.
        unsafe { std::slice::from_raw_parts_mut(memory.as_ptr(), memory.byte_size()) }
    }

    /// Fault: bytes of the last user: in what is zeroed by hand, in what is given back, in what was grown, in a last
    /// page that is not whole; in a slot that keeps pages and in one that does not.
    #[test]
    fn a_slot_shows_nothing_of_its_last_user() {
        let maker = MemoryMaker(Memories::map(200, LARGEST, KEPT).unwrap());
        for size in [0, 1, 4095, KEPT, KEPT + 1, 300_001, LARGEST] {
            for _ in 0..2 {
                // More than may keep pages.
                let mut all: Vec<_> = (0..200).map(|_| make(&maker, size / 2).unwrap()).collect();
                assert!(make(&maker, 0).is_err(), "there are 200");
                for memory in &mut all {
                    let base = memory.as_ptr();
                    memory.grow_to(size).unwrap();
                    assert_eq!(memory.as_ptr(), base, "it may not move");
                    let bytes = bytes(&mut **memory);
                    assert!(bytes.iter().all(|byte| *byte == 0), "{size}");
                    bytes.fill(0xa5);
                }
                let mut starts: Vec<_> = all.iter().map(|memory| memory.as_ptr()).collect();
                starts.sort();
                starts.dedup();
                assert_eq!(starts.len(), 200, "two memories share a slot");
            }
        }
        assert_eq!(maker.0.live(), 0);
    }

    /// Fault: a memory in the next slot; code that was compiled for guards, run without.
    #[test]
    fn a_memory_stays_in_its_slot() {
        let maker = MemoryMaker(Memories::map(2, LARGEST, KEPT).unwrap());
        let mut memory = make(&maker, LARGEST).unwrap();
        assert!(memory.grow_to(LARGEST + 1).is_err());
        assert_eq!(memory.byte_size(), LARGEST);
        assert!(make(&maker, LARGEST + 1).is_err());
        for (reserved, guard) in [(Some(1), 0), (Some(0), 1)] {
            let ty = MemoryType::new(0, None);
            assert!(maker.new_memory(ty, 0, None, reserved, guard).is_err());
        }
    }
}
