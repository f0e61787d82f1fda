//! Stacks.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wasmtime::{Result, StackCreator, StackMemory, format_err};

use crate::engine::dense::region::{Guards, Region};
use crate::engine::dense::slots::{Fate, Slot, Slots};

/// Bytes of the guard below a stack: whole pages on every machine, and more than any frame that nobody probes.
pub(crate) const GUARD: usize = 64 << 10;
/// How much of a stack is zeroed by hand, from its top. A guess: what a guest's call and a host function's take.
const KEPT: usize = 16 << 10;

/// All stacks of an engine: the slots of one mapping, each a guard and, above it, a stack.
pub(crate) struct Stacks {
    region: Region,
    slots: Slots,
    /// Which slots have their guard. Each entry belongs to the owner of its slot.
    guarded: Box<[AtomicBool]>,
    /// Bytes of a stack.
    size: usize,
    guards: Guards,
}

/// What wasmtime asks for stacks.
pub(crate) struct StackMaker(pub(crate) Arc<Stacks>);

struct Stack {
    stacks: Arc<Stacks>,
    slot: Slot,
}

impl Stacks {
    /// Maps `count` stacks of `size` bytes, which are whole pages.
    pub(crate) fn map(count: u64, size: usize, guards: Guards) -> io::Result<Arc<Self>> {
        let count = u32::try_from(count).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let bytes = (GUARD + size).checked_mul(count as usize);
        Ok(Arc::new(Self {
            region: Region::map(bytes.ok_or(io::ErrorKind::OutOfMemory)?)?,
            slots: Slots::new(count),
            guarded: (0..count).map(|_| AtomicBool::new(false)).collect(),
            size,
            guards,
        }))
    }

    pub(crate) fn live(&self) -> u64 {
        self.slots.live()
    }

    /// Bytes that stacks which are gone have left in their slots.
    pub(crate) fn kept(&self) -> u64 {
        self.slots.kept()
    }

    fn guard_of(&self, slot: Slot) -> Range<usize> {
        let start = slot.number as usize * (GUARD + self.size);
        start..start + GUARD
    }

    fn stack_of(&self, slot: Slot) -> Range<usize> {
        let start = self.guard_of(slot).end;
        start..start + self.size
    }

    /// Sees to the guard of a slot that the caller owns.
    fn guard(&self, slot: Slot) -> io::Result<()> {
        let guarded = &self.guarded[slot.number as usize];
        // Relaxed, here and below: only owners of the slot come here, and the lock of its list is between them.
        if guarded.load(Ordering::Relaxed) {
            return Ok(());
        }
        // SAFETY: the guard's bytes are in the slot that the caller owns, and are never part of a stack.
        unsafe { self.region.guard(self.guard_of(slot), self.guards) }?;
        guarded.store(true, Ordering::Relaxed);
        Ok(())
    }
}

// SAFETY: a stack is a slot that has no other owner, below which there is a guard: where that cannot be had there is
// no stack. Top, bottom and guard are whole pages; the pages read as zeros, whether that is asked for or not.
unsafe impl StackCreator for StackMaker {
    fn new_stack(&self, size: usize, _zeroed: bool) -> Result<Box<dyn StackMemory>> {
        let stacks = &self.0;
        if size > stacks.size {
            let most = stacks.size;
            return Err(format_err!(
                "a stack of {size} bytes, and {most} are the most"
            ));
        }
        let Some(slot) = stacks.slots.take() else {
            return Err(format_err!("the pool has no stack left"));
        };
        if let Err(error) = stacks.guard(slot) {
            stacks.slots.put_back(slot, Fate::Cold);
            return Err(format_err!("a stack can have no guard: {error}"));
        }
        Ok(Box::new(Stack {
            stacks: stacks.clone(),
            slot,
        }))
    }
}

// SAFETY: the addresses are those of the slot, which this stack owns and which stay.
unsafe impl StackMemory for Stack {
    fn top(&self) -> *mut u8 {
        let end = self.stacks.stack_of(self.slot).end;
        self.stacks.region.at(end).as_ptr()
    }

    fn range(&self) -> Range<usize> {
        let top = self.top() as usize;
        top - self.stacks.size..top
    }

    fn guard_range(&self) -> Range<*mut u8> {
        let guard = self.stacks.guard_of(self.slot);
        let at = |offset| self.stacks.region.at(offset).as_ptr();
        at(guard.start)..at(guard.end)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let Stacks { region, slots, .. } = &*self.stacks;
        let Range { start, end } = self.stacks.stack_of(self.slot);
        let fate = slots.fate();
        let by_hand = match fate {
            Fate::Warm => start.max(end.saturating_sub(KEPT)),
            Fate::Cold => end,
        };
        // SAFETY: the slot is this stack's alone, the guard is below `start`, and wasmtime drops a stack when nothing
        // runs or waits on it any more.
        unsafe { region.zero(by_hand..end) };
        // How deep the stack was used, nobody knows.
        // SAFETY: as above; both ends are whole pages.
        unsafe { region.give_back(start..by_hand) };
        let slot = Slot {
            kept: end - by_hand,
            ..self.slot
        };
        slots.put_back(slot, fate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 256 << 10;

    fn maker(count: u64, guards: Guards) -> StackMaker {
        StackMaker(Stacks::map(count, SIZE, guards).unwrap())
    }

    /// All 200 of a maker's stacks.
    fn all_of(maker: &StackMaker) -> Vec<Box<dyn StackMemory>> {
        (0..200)
            .map(|_| maker.new_stack(SIZE, false).unwrap())
            .collect()
    }

    fn bytes(stack: &mut dyn StackMemory) -> &mut [u8] {
        let range = stack.range();
        // SAFETY: the stack is borrowed for as long, nothing runs on it, and all of it is accessible.
        unsafe { std::slice::from_raw_parts_mut(range.start as *mut u8, range.len()) }
    }

    /// Whether the kernel can read a byte: it says so, where we would die of trying.
    fn is_accessible(address: usize) -> bool {
        let (_reader, writer) = std::io::pipe().unwrap();
        // SAFETY: the kernel reads the byte and says EFAULT where that is not possible.
        let written = unsafe {
            libc::write(
                std::os::fd::AsRawFd::as_raw_fd(&writer),
                address as *const core::ffi::c_void,
                1,
            )
        };
        written == 1
    }

    fn all_guards() -> impl Iterator<Item = Guards> {
        let can_mark = super::super::guards() == Guards::Marked;
        [Guards::Protected]
            .into_iter()
            .chain(can_mark.then_some(Guards::Marked))
    }

    /// Fault: a stack that runs into its neighbour: one without a guard, from the start or after its pages were given
    /// back, which might take the guard along.
    #[test]
    fn every_stack_has_a_guard_whatever_happened_to_its_slot() {
        for guards in all_guards() {
            let maker = maker(200, guards);
            for _ in 0..3 {
                let mut all = all_of(&maker);
                assert!(maker.new_stack(SIZE, false).is_err(), "there are 200");
                for stack in &mut all {
                    let guard = stack.guard_range();
                    let (start, end) = (guard.start as usize, guard.end as usize);
                    assert_eq!(end - start, GUARD);
                    assert_eq!(end, stack.range().start, "the guard is just below");
                    assert_eq!(stack.top() as usize, stack.range().end);
                    assert!(
                        !is_accessible(end - 1) && !is_accessible(start),
                        "{guards:?}"
                    );
                    assert!(is_accessible(end));
                    bytes(&mut **stack).fill(0xa5);
                }
            }
        }
    }

    /// Fault: bytes of the last user, near the top or deep down; in a slot that keeps pages and in one that does not.
    #[test]
    fn a_slot_shows_nothing_of_its_last_user() {
        for guards in all_guards() {
            let maker = maker(200, guards);
            for _ in 0..3 {
                let mut all = all_of(&maker);
                for stack in &mut all {
                    let bytes = bytes(&mut **stack);
                    assert!(bytes.iter().all(|byte| *byte == 0));
                    bytes.fill(0xa5);
                }
            }
            assert_eq!(maker.0.live(), 0);
        }
    }
}
