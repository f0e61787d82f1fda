//! How the pool of instances is cut to what is asked for and what the machine gives.
//!
//! A *place* stands for one linear memory, eight tables and a stack (two, in a pool for components that use
//! component-model async); what a component needs more of takes more places.

use super::dense::{self, Guards};
use super::engine::{COMPONENT_INSTANCE_SIZE, TABLE_ELEMENTS};
use super::room::Room;
use super::settings::{Setting, size};
use crate::BuildError;

/// Linear memories that one place in the pool stands for.
pub(super) const MEMORIES_PER_PLACE: u32 = 1;
/// Tables that one place stands for.
pub(super) const TABLES_PER_PLACE: u32 = 8;
/// Stacks that one place stands for.
pub(super) const STACKS_PER_PLACE: u32 = 1;
/// The same in a pool for components that use component-model async: a task of theirs that waits in the middle
/// of a call keeps its stack while the event loop serves others on another one.
pub(super) const STACKS_PER_PLACE_ASYNC: u32 = 2;
/// The most places a pool may have.
pub(super) const MAX_INSTANCES: u32 = 100_000;
/// Places of a pool that is to grow, at first. The suite `startup` of `hart-bench` shows what it saves.
const FIRST: u32 = 16;

/// Mappings of a stack: the stack and its guard.
const STACK_MAPPINGS: u64 = 2;
/// Mappings of a memory in use, at most: its image, what is before and after that, what is not accessible.
const MEMORY_MAPPINGS: u64 = 4;

/// Bytes that code may reach after a memory without a check: wasmtime's default.
const GUARD: u64 = 32 << 20;
/// With so much reserved for each memory, code needs no bounds checks.
const WHOLE: u64 = 4 << 30;
/// What is reserved for each memory, the first that fits. A memory cannot become larger.
pub(super) const RESERVATIONS: [u64; 4] = [WHOLE, 1 << 30, 256 << 20, 64 << 20];
/// Places below which a smaller reservation is better than fewer places. Guessed: a run of the default depth
/// needs 65.
const LEAST: u64 = 128;

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
    /// - No memory grows beyond 64 MiB, no table beyond 8,000 elements.
    /// - Each place takes 132 MiB of address space, which counts for `ulimit -v` and `ulimit -d`, and is all of it
    ///   set aside where vm.overcommit_memory is 2: the pool is made smaller where that is short. Guests' memory and
    ///   stacks are in no core dump.
    Dense,
}

/// Whether the pool asks the kernel which pages a guest has written, to reset only those.
///
/// It makes instances with large memories several times as fast to reset. But a page that was written and
/// then moved to a swap device is missed, and the next guest in that place could see it. So it must never be
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

/// How the pool is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) places: u32,
    /// How many of them are there from the start.
    pub(super) first: u32,
    /// Bytes of address space for each memory; no memory becomes larger.
    pub(super) reservation: u64,
    pub(super) guard: u64,
    pub(super) bounds: Bounds,
    /// Whether memories begin as a copy-on-write mapping of what they begin with.
    pub(super) images: bool,
    pub(super) scan: bool,
    /// How stacks of a dense pool are guarded; other pools are wasmtime's own.
    pub(super) dense: Option<Guards>,
    /// Mappings that may come with guests.
    pub(super) mappings: u64,
    /// Bytes of address space, all told.
    pub(super) bytes: u64,
    pub(super) settings: Vec<Setting>,
}

/// How large what is loaded may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Bytes of a linear memory.
    pub(super) memory: u64,
    /// Elements of a table.
    pub(super) table: usize,
    /// Bytes of the heap for an instance, where wasmtime has no pool that counts them.
    pub(super) bookkeeping: Option<u64>,
}

/// Bytes of address space that a place takes beside its memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside {
    pub(super) tables: u64,
    pub(super) stack: u64,
    /// How many stacks.
    pub(super) stacks: u64,
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

/// Cuts a pool of `asked` places to the room there is.
pub(super) fn plan(
    asked: u32,
    profile: Profile,
    scan: PoolScan,
    grows: bool,
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
    let (places, why) = within_mappings(asked, &cost, room)?;
    let (reservation, places, mut why) = within_bytes(places, why, profile, &cost, room)?;
    if places < asked {
        tracing::warn!("the pool has {places} instances: {why}");
    }
    let first = if grows && profile == Profile::Fast && cost.fits_twice(places, reservation, room) {
        why = format!("{why}; {FIRST} of them from the start, the others once these are taken");
        FIRST
    } else {
        places
    };
    // Those of a small pool come on top of the whole one's.
    let (later, mappings) = if first < places {
        (places + first, u64::from(places) * beside.mappings())
    } else {
        (places, 0)
    };
    settings.push(Setting::new("instances", places, why));
    settings.push(Setting::new(
        "memory-reservation",
        size(reservation),
        if reservation == WHOLE {
            "code needs no bounds checks".into()
        } else if profile == Profile::Dense {
            "the dense profile; no memory can become larger, and code checks bounds".into()
        } else {
            format!(
                "{} of address space are there for {places} instances; no memory can become larger, and code checks bounds",
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
        places,
        first,
        reservation,
        guard: cost.guard,
        bounds: match profile {
            Profile::Fast => Bounds {
                memory: reservation,
                table: TABLE_ELEMENTS,
                bookkeeping: None,
            },
            Profile::Dense => Bounds {
                memory: reservation,
                table: dense::TABLE_ELEMENTS,
                bookkeeping: Some(COMPONENT_INSTANCE_SIZE as u64),
            },
        },
        images,
        scan,
        dense,
        mappings: u64::from(later) * cost.later_mappings + mappings,
        bytes: u64::from(later) * cost.bytes(reservation),
        settings,
    })
}

impl Plan {
    /// Cuts it to fewer places: the system has refused what the rest would take.
    pub(super) fn cut(&mut self, places: u32, why: &str) {
        self.mappings = self.mappings / u64::from(self.places) * u64::from(places);
        self.bytes = self.bytes / u64::from(self.places) * u64::from(places);
        self.places = places;
        self.first = places;
        tracing::warn!("the pool has {places} instances: {why}");
        self.settings.retain(|setting| setting.name != "instances");
        self.settings
            .insert(0, Setting::new("instances", places, why));
    }
}

/// What one place takes.
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
                let later_mappings = MEMORY_MAPPINGS * u64::from(MEMORIES_PER_PLACE);
                Self {
                    mappings: beside.mappings() + later_mappings,
                    later_mappings,
                    memories: u64::from(MEMORIES_PER_PLACE),
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
                    memories: u64::from(MEMORIES_PER_PLACE) * dense::MEMORIES,
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

    /// Whether there is room for a small pool beside the whole one, and a reason for it. Where the address space is
    /// limited, what is not there from the start may be gone later.
    fn fits_twice(&self, places: u32, reservation: u64, room: &Room) -> bool {
        let both = u64::from(places) + u64::from(FIRST);
        places >= 2 * FIRST
            && !room.is_limited
            && room
                .mappings
                .is_none_or(|mappings| both * self.mappings <= mappings)
            && both * self.bytes(reservation) + 2 * self.guard <= room.bytes
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
    let places = u32::try_from(most).unwrap_or(asked);
    let why = format!(
        "{asked} were asked for, which may take {} mappings, and vm.max_map_count leaves {}: raise it for more",
        u64::from(asked) * each,
        room.mappings.unwrap_or_default(),
    );
    Ok((places, why))
}

fn within_bytes(
    places: u32,
    why: String,
    profile: Profile,
    cost: &Cost,
    room: &Room,
) -> Result<(u64, u32, String), BuildError> {
    // The rest is for everything else in the process, and for compiling.
    let bytes = room.bytes / 4 * 3;
    // One guard more is before the first memory.
    let fit = |reservation: u64| bytes.saturating_sub(cost.guard) / cost.bytes(reservation);
    let reservations = match profile {
        Profile::Fast => &RESERVATIONS[..],
        Profile::Dense => &RESERVATIONS[RESERVATIONS.len() - 1..],
    };
    let enough = if room.is_limited {
        u64::from(places).min(LEAST)
    } else {
        u64::from(places)
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
        most if most >= u64::from(places) => Ok((reservation, places, why)),
        most => {
            let fewer = u32::try_from(most).unwrap_or(places);
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
        is_limited: false,
        swaps: false,
        guards: Guards::Marked,
    };

    fn cut(asked: u32, profile: Profile, room: Room) -> (u32, u64) {
        let plan = plan(asked, profile, PoolScan::Auto, false, BESIDE, &room).expect("it fits");
        let each = Cost::new(profile, BESIDE, &room).mappings;
        if let Some(mappings) = room.mappings {
            assert!(u64::from(plan.places) * each <= mappings, "{plan:?}");
        }
        assert!(plan.bytes <= room.bytes, "{plan:?}");
        (plan.places, plan.reservation)
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

    /// Fault: a host that cannot be made, or has next to no places, under `ulimit -v`.
    #[test]
    fn a_small_address_space_means_smaller_memories() {
        let limited = |bytes| Room {
            bytes,
            is_limited: true,
            ..ROOM
        };
        let (places, reservation) = cut(1_000, Profile::Fast, limited(64 << 30));
        assert!(
            places >= 128 && reservation == 256 << 20,
            "{places} {reservation}"
        );
        assert_eq!(cut(4, Profile::Fast, limited(64 << 30)), (4, WHOLE));
        let (places, reservation) = cut(1_000, Profile::Fast, limited(1 << 30));
        assert!(places >= 1 && reservation == 64 << 20);
        let none = plan(
            1,
            Profile::Fast,
            PoolScan::Auto,
            false,
            BESIDE,
            &limited(64 << 20),
        );
        assert!(none.unwrap_err().to_string().contains("ulimit -v"));
        let no_mappings = Room {
            mappings: Some(5),
            ..ROOM
        };
        let none = plan(
            1,
            Profile::Fast,
            PoolScan::Auto,
            false,
            BESIDE,
            &no_mappings,
        );
        assert!(none.unwrap_err().to_string().contains("vm.max_map_count"));
    }

    /// Fault: a small pool and a whole one that together have more mappings or address space than there are, or one
    /// where what there is now may be gone when it is to grow.
    #[test]
    fn a_pool_grows_where_there_is_room_for_both() {
        let first = |places, profile, room: Room| {
            let plan = plan(places, profile, PoolScan::Auto, true, BESIDE, &room).expect("it fits");
            assert_eq!(plan.places, places);
            assert!(plan.bytes <= room.bytes, "{plan:?}");
            plan.first
        };
        assert_eq!(first(1_000, Profile::Fast, ROOM), FIRST);
        assert_eq!(first(2 * FIRST, Profile::Fast, ROOM), FIRST);
        assert_eq!(first(2 * FIRST - 1, Profile::Fast, ROOM), 2 * FIRST - 1);
        assert_eq!(first(1_000, Profile::Dense, ROOM), 1_000);
        let limited = Room {
            is_limited: true,
            ..ROOM
        };
        assert_eq!(first(1_000, Profile::Fast, limited), 1_000);
        let cost = Cost::new(Profile::Fast, BESIDE, &ROOM);
        let few_mappings = |places: u32| Room {
            mappings: Some(u64::from(places) * cost.mappings),
            ..ROOM
        };
        assert_eq!(
            first(1_000, Profile::Fast, few_mappings(1_000 + FIRST)),
            FIRST
        );
        assert_eq!(
            first(1_000, Profile::Fast, few_mappings(1_000 + FIRST - 1)),
            1_000
        );
        // A pool is left with three quarters of the room, so that matters for the smallest only.
        let few_bytes = |places: u32| Room {
            bytes: u64::from(places) * cost.bytes(WHOLE) + 2 * cost.guard,
            ..ROOM
        };
        let least = 2 * FIRST;
        assert_eq!(first(least, Profile::Fast, few_bytes(least + FIRST)), FIRST);
        assert_eq!(
            first(least, Profile::Fast, few_bytes(least + FIRST - 1)),
            least
        );
    }

    /// Fault: a pool that misses written pages, on a system that swaps.
    #[test]
    fn pages_are_not_asked_for_where_there_is_swap() {
        let swaps = Room {
            swaps: true,
            ..ROOM
        };
        let with = |scan, room: &Room| {
            plan(1, Profile::Fast, scan, false, BESIDE, room).map(|plan| plan.scan)
        };
        assert!(with(PoolScan::On, &swaps).is_err());
        assert!(with(PoolScan::On, &ROOM).unwrap());
        assert!(!with(PoolScan::Auto, &ROOM).unwrap());
        assert!(!with(PoolScan::Auto, &swaps).unwrap());
    }
}
