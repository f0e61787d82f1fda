//! How the pool of instances is cut to what is asked for and what the machine gives.
//!
//! A *slot* stands for one linear memory, eight tables and a stack (two, in a pool for components that use
//! component-model async); what a component needs more of takes more slots.

use crate::base::error::BuildError;
use crate::base::setting::{Setting, size};
use crate::engine::dense::{self, Guards};
use crate::engine::keep::Keep;
use crate::engine::profile::{PoolScan, Profile};
use crate::engine::room::Room;
use crate::engine::slots::{MAX_INSTANCES, MEMORIES_PER_SLOT, RESERVATIONS, TABLE_ELEMENTS, WHOLE};

/// Mappings of a stack: the stack and its guard.
const STACK_MAPPINGS: u64 = 2;
/// Mappings of a memory in use, at most: its image, what is before and after that, what is not accessible.
const MEMORY_MAPPINGS: u64 = 4;

/// Bytes that code may reach after a memory without a check: wasmtime's default.
const GUARD: u64 = 32 << 20;
/// Slots below which a smaller reservation is better than fewer slots. Guessed: a run of the default depth
/// needs 65.
const LEAST: u64 = 128;

/// How the pool is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) slots: u32,
    /// Bytes of address space for each memory; no memory becomes larger.
    pub(crate) reservation: u64,
    pub(crate) guard: u64,
    pub(crate) bounds: Bounds,
    /// Whether memories begin as a copy-on-write mapping of what they begin with.
    pub(crate) images: bool,
    pub(crate) scan: bool,
    /// How stacks of a dense pool are guarded; other pools are wasmtime's own.
    pub(crate) dense: Option<Guards>,
    /// Mappings that may come with guests.
    pub(crate) mappings: u64,
    /// Bytes of address space, all told.
    pub(crate) bytes: u64,
    pub(crate) settings: Vec<Setting>,
}

/// How large what is loaded may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Bytes of a linear memory.
    pub(crate) memory: u64,
    /// Elements of a table.
    pub(crate) table: usize,
}

/// Bytes of address space that a slot takes beside its memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beside {
    pub(crate) tables: u64,
    pub(crate) stack: u64,
    /// How many stacks.
    pub(crate) stacks: u64,
}

impl Beside {
    fn bytes(&self) -> u64 {
        self.tables + self.stack * self.stacks
    }

    /// Mappings, which are there from the start.
    fn mappings(&self) -> u64 {
        STACK_MAPPINGS * self.stacks
    }
}

/// Cuts a pool of `asked` slots to the room there is. A memory of the dense profile may have 64 MiB, or `memory` if the
/// host's limits allow a run more than is usual.
pub(crate) fn plan(
    asked: u32,
    profile: Profile,
    scan: PoolScan,
    memory: Option<u64>,
    beside: Beside,
    room: &Room,
) -> Result<Plan, BuildError> {
    if asked == 0 || asked > MAX_INSTANCES {
        return Err(BuildError::Setting(format!(
            "a pool of {asked} instances makes no sense: ask for at least 1 and at most {MAX_INSTANCES}"
        )));
    }
    let mut settings = Vec::new();
    let cost = Cost::new(profile, beside, room);
    let (slots, why) = within_mappings(asked, &cost, room)?;
    let (reservation, slots, why) = within_bytes(slots, why, profile, memory, &cost, room)?;
    if slots < asked {
        tracing::warn!("the pool has {slots} instances: {why}");
    }
    settings.push(Setting::new("instances", slots, why));
    settings.push(Setting::new(
        "memory-reservation",
        size(reservation),
        if profile == Profile::Dense {
            "the dense profile; no memory can become larger, and code checks bounds".into()
        } else if reservation == WHOLE {
            "code needs no bounds checks".into()
        } else {
            format!(
                "{} of address space are there for {slots} instances; no memory can become larger, and code checks bounds",
                size(room.bytes >> 20 << 20),
            )
        },
    ));
    let images = profile == Profile::Fast;
    settings.push(Setting::new(
        "memory-images",
        if images { "mapped" } else { "copied" },
        if images {
            "an instance begins with a mapping of what its memory begins with"
        } else {
            "the dense profile; a mapped image takes mappings of its own"
        },
    ));
    let dense = (profile == Profile::Dense).then_some(room.guards);
    if let Some(guards) = dense {
        settings.push(match guards {
            Guards::Marked => Setting::new(
                "stack-guards",
                "marked",
                "the kernel marks the pages of a guard, so that stacks take no mappings",
            ),
            Guards::Protected => Setting::new(
                "stack-guards",
                "protected",
                "the kernel cannot mark pages, as Linux 6.13 does: each stack takes 2 mappings",
            ),
        });
    }
    let (scan, why) = scans(scan, profile, room)?;
    settings.push(Setting::new(
        "pool-scan",
        if scan { "on" } else { "off" },
        why,
    ));
    Ok(Plan {
        slots,
        reservation,
        guard: cost.guard,
        bounds: match profile {
            Profile::Fast => Bounds {
                memory: reservation,
                table: TABLE_ELEMENTS,
            },
            Profile::Dense => Bounds {
                memory: reservation,
                table: dense::TABLE_ELEMENTS,
            },
        },
        images,
        scan,
        dense,
        mappings: u64::from(slots) * cost.later_mappings,
        bytes: u64::from(slots) * cost.bytes(reservation),
        settings,
    })
}

impl Plan {
    /// What its slots keep, of so many bytes.
    pub(crate) fn keep(&self, most: u64) -> Keep {
        let slots = u64::from(self.slots);
        match self.dense {
            Some(_) => Keep::dense(slots, most),
            None => Keep::pool(slots, most),
        }
    }

    /// Cuts it to fewer slots: the system has refused what the rest would take.
    pub(crate) fn cut(&mut self, slots: u32, why: &str) {
        self.mappings = self.mappings / u64::from(self.slots) * u64::from(slots);
        self.bytes = self.bytes / u64::from(self.slots) * u64::from(slots);
        self.slots = slots;
        tracing::warn!("the pool has {slots} instances: {why}");
        self.settings.retain(|setting| setting.name != "instances");
        self.settings
            .insert(0, Setting::new("instances", slots, why));
    }
}

/// What one slot takes.
struct Cost {
    /// Mappings, at most.
    mappings: u64,
    /// Those of them that are not there from the start.
    later_mappings: u64,
    /// Memories, each with the guard behind it.
    memories: u64,
    guard: u64,
    /// Bytes of address space beside the memories.
    beside: u64,
}

impl Cost {
    fn new(profile: Profile, beside: Beside, room: &Room) -> Self {
        match profile {
            Profile::Fast => {
                let later_mappings = MEMORY_MAPPINGS * u64::from(MEMORIES_PER_SLOT);
                Self {
                    mappings: beside.mappings() + later_mappings,
                    later_mappings,
                    memories: u64::from(MEMORIES_PER_SLOT),
                    guard: GUARD,
                    beside: beside.bytes(),
                }
            }
            // Tables are on the heap.
            Profile::Dense => {
                let stacks = dense::stacks(room.guards) * beside.stacks;
                let mappings = match room.guards {
                    Guards::Marked => 0,
                    Guards::Protected => STACK_MAPPINGS * stacks,
                };
                Self {
                    mappings,
                    later_mappings: mappings,
                    memories: u64::from(MEMORIES_PER_SLOT) * dense::MEMORIES,
                    guard: 0,
                    beside: stacks * (beside.stack + dense::GUARD as u64),
                }
            }
        }
    }

    /// Bytes of address space.
    fn bytes(&self, reservation: u64) -> u64 {
        self.memories * (reservation + self.guard) + self.beside
    }
}

fn within_mappings(asked: u32, cost: &Cost, room: &Room) -> Result<(u32, String), BuildError> {
    let each = cost.mappings;
    let most = room
        .mappings
        .and_then(|mappings| mappings.checked_div(each))
        .unwrap_or(u64::MAX);
    if most == 0 {
        return Err(BuildError::Setting(format!(
            "the system lets this process have no more mappings: raise vm.max_map_count by {each} for each instance (`sysctl vm.max_map_count`), or close other hosts first"
        )));
    }
    if u64::from(asked) <= most {
        return Ok((asked, "as asked".into()));
    }
    let slots = u32::try_from(most).unwrap_or(asked);
    let why = format!(
        "{asked} were asked for, which may take {} mappings, and vm.max_map_count leaves {}: raise it for more",
        u64::from(asked) * each,
        room.mappings.unwrap_or_default(),
    );
    Ok((slots, why))
}

fn within_bytes(
    slots: u32,
    why: String,
    profile: Profile,
    memory: Option<u64>,
    cost: &Cost,
    room: &Room,
) -> Result<(u64, u32, String), BuildError> {
    // The rest is for everything else in the process, and for compiling.
    let bytes = room.bytes / 4 * 3;
    // One guard more is before the first memory.
    let fit = |reservation: u64| bytes.saturating_sub(cost.guard) / cost.bytes(reservation);
    // In the dense profile, no more than is needed: what is beyond takes page tables.
    let needed = match profile {
        Profile::Fast => WHOLE,
        Profile::Dense => memory.unwrap_or(0),
    };
    let more = RESERVATIONS
        .iter()
        .rev()
        .filter(|reservation| **reservation < needed);
    let reservations = &RESERVATIONS[RESERVATIONS.len().saturating_sub(more.count() + 1)..];
    let enough = if room.is_limited {
        u64::from(slots).min(LEAST)
    } else {
        u64::from(slots)
    };
    let smallest = RESERVATIONS[RESERVATIONS.len() - 1];
    let reservation = reservations
        .iter()
        .copied()
        .find(|reservation| fit(*reservation) >= enough)
        .unwrap_or(smallest);
    match fit(reservation) {
        0 => Err(BuildError::Setting(format!(
            "the address space of this process is limited to less than one instance takes: raise `ulimit -v` by {} KiB",
            cost.bytes(smallest) / 3 * 4 / 1024 + 1,
        ))),
        most if most >= u64::from(slots) => Ok((reservation, slots, why)),
        most => {
            let fewer = u32::try_from(most).unwrap_or(slots);
            let why = format!(
                "the address space that is left, {}, has room for no more: raise `ulimit -v` for more",
                size(room.bytes >> 20 << 20),
            );
            Ok((reservation, fewer, why))
        }
    }
}

fn scans(
    scan: PoolScan,
    profile: Profile,
    room: &Room,
) -> Result<(bool, &'static str), BuildError> {
    match scan {
        _ if profile == Profile::Dense => Ok((
            false,
            "the dense profile resets what a guest could reach, written or not",
        )),
        PoolScan::Off => Ok((false, "as asked")),
        PoolScan::Auto => Ok((
            false,
            "a swap device that comes later would make it unsafe",
        )),
        PoolScan::On if room.swaps => Err(BuildError::Setting(
            "this system has swap, and a pool that asks the kernel for written pages could show one guest's memory to the next: turn the swap off, or leave pool-scan on `auto`".into(),
        )),
        PoolScan::On => Ok((true, "as asked, and there is no swap")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BESIDE: Beside = Beside {
        tables: 8 << 20,
        stack: 2 << 20,
        stacks: 1,
    };
    const ROOM: Room = Room {
        mappings: Some(64_000),
        bytes: 1 << 47,
        kept: 1 << 30,
        is_limited: false,
        swaps: false,
        guards: Guards::Marked,
    };

    fn cut(asked: u32, profile: Profile, room: Room) -> (u32, u64) {
        let plan = plan(asked, profile, PoolScan::Auto, None, BESIDE, &room).expect("it fits");
        let each = Cost::new(profile, BESIDE, &room).mappings;
        if let Some(mappings) = room.mappings {
            assert!(u64::from(plan.slots) * each <= mappings, "{plan:?}");
        }
        assert!(plan.bytes <= room.bytes, "{plan:?}");
        (plan.slots, plan.reservation)
    }

    /// Fault: a pool that can come to use more mappings or address space than there are, which aborts the
    /// process; one that is smaller than it had to be.
    #[test]
    fn a_pool_fits_what_the_system_allows() {
        assert_eq!(cut(1_000, Profile::Fast, ROOM), (1_000, WHOLE));
        assert_eq!(cut(10_000, Profile::Fast, ROOM), (10_000, WHOLE));
        assert_eq!(cut(20_000, Profile::Fast, ROOM).0, 10_666);
        assert_eq!(cut(25_000, Profile::Dense, ROOM), (25_000, 64 << 20));
        assert_eq!(cut(100_000, Profile::Dense, ROOM).0, 100_000);
        let older = Room {
            guards: Guards::Protected,
            ..ROOM
        };
        assert_eq!(cut(100_000, Profile::Dense, older).0, 32_000);
        let raised = Room {
            mappings: Some(1_000_000),
            ..ROOM
        };
        assert_eq!(cut(100_000, Profile::Fast, raised).0, 100_000);
        let unlimited = Room {
            mappings: None,
            ..ROOM
        };
        assert_eq!(cut(20_000, Profile::Fast, unlimited), (20_000, WHOLE));
    }

    /// Fault: memories of the dense profile that are not as large as the host's limits allow, where there is room; a pool
    /// with fewer slots because of that.
    #[test]
    fn memories_of_the_dense_profile_are_as_large_as_limits_allow() {
        let reservation = |slots, memory| {
            let plan = plan(slots, Profile::Dense, PoolScan::Auto, memory, BESIDE, &ROOM);
            let plan = plan.expect("it fits");
            assert_eq!(plan.slots, slots);
            plan.reservation
        };
        for (memory, is) in [
            (None, 64 << 20),
            (Some(64 << 20), 64 << 20),
            (Some(65 << 20), 256 << 20),
            (Some(1 << 30), 1 << 30),
            (Some(WHOLE), WHOLE),
            (Some(u64::MAX), WHOLE),
        ] {
            assert_eq!(reservation(1_000, memory), is, "{memory:?}");
        }
        assert_eq!(reservation(100_000, Some(u64::MAX)), 256 << 20);
    }

    /// Fault: a host that cannot be made, or has next to no slots, under `ulimit -v`.
    #[test]
    fn a_small_address_space_means_smaller_memories() {
        let limited = |bytes| Room {
            bytes,
            is_limited: true,
            ..ROOM
        };
        let (slots, reservation) = cut(1_000, Profile::Fast, limited(64 << 30));
        assert!(
            slots >= 128 && reservation == 256 << 20,
            "{slots} {reservation}"
        );
        assert_eq!(cut(4, Profile::Fast, limited(64 << 30)), (4, WHOLE));
        let (slots, reservation) = cut(1_000, Profile::Fast, limited(1 << 30));
        assert!(slots >= 1 && reservation == 64 << 20);
        let none = plan(
            1,
            Profile::Fast,
            PoolScan::Auto,
            None,
            BESIDE,
            &limited(64 << 20),
        );
        assert!(none.unwrap_err().to_string().contains("ulimit -v"));
        let no_mappings = Room {
            mappings: Some(5),
            ..ROOM
        };
        let none = plan(1, Profile::Fast, PoolScan::Auto, None, BESIDE, &no_mappings);
        assert!(none.unwrap_err().to_string().contains("vm.max_map_count"));
    }

    /// Fault: a pool that misses written pages, on a system that swaps.
    #[test]
    fn pages_are_not_asked_for_where_there_is_swap() {
        let swaps = Room {
            swaps: true,
            ..ROOM
        };
        let with = |scan, room: &Room| {
            plan(1, Profile::Fast, scan, None, BESIDE, room).map(|plan| plan.scan)
        };
        assert!(with(PoolScan::On, &swaps).is_err());
        assert!(with(PoolScan::On, &ROOM).unwrap());
        assert!(!with(PoolScan::Auto, &ROOM).unwrap());
        assert!(!with(PoolScan::Auto, &swaps).unwrap());
    }
}
