//! How the pool of instances is cut to what is asked for and what the machine gives.
//!
//! A *place* stands for one linear memory, eight tables and a stack; what a component needs more of takes
//! more places.

use super::room::Room;
use super::settings::{Setting, size};
use crate::BuildError;

/// Linear memories that one place in the pool stands for.
pub(super) const MEMORIES_PER_PLACE: u32 = 1;
/// Tables that one place stands for.
pub(super) const TABLES_PER_PLACE: u32 = 8;
/// The most places a pool may have.
pub(super) const MAX_INSTANCES: u32 = 100_000;

/// Mappings of a stack, which are there from the start: the stack and its guard.
const STACK_MAPPINGS: u64 = 2;
/// Mappings of a memory in use, at most: its image, what is before and after that, what is not accessible.
const MEMORY_MAPPINGS: u64 = 4;

/// Bytes that code may reach after a memory without a check: wasmtime's default.
const GUARD: u64 = 32 << 20;
/// With so much reserved for each memory, code needs no bounds checks.
const WHOLE: u64 = 4 << 30;
/// What is reserved for each memory, the first that fits. A memory cannot become larger.
const RESERVATIONS: [u64; 4] = [WHOLE, 1 << 30, 256 << 20, 64 << 20];
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
    /// As many instances as possible: memories have no guard and no image that is mapped, so that each
    /// instance takes up to 4 mappings, some 16,000 of the usual 65,530. Code checks every access to memory,
    /// what a memory begins with is copied for every instance, and no memory grows beyond 64 MiB.
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
    /// Bytes of address space for each memory; no memory becomes larger.
    pub(super) reservation: u64,
    pub(super) guard: u64,
    /// Whether memories begin as a copy-on-write mapping of what they begin with.
    pub(super) images: bool,
    pub(super) scan: bool,
    /// Mappings that may come with guests.
    pub(super) mappings: u64,
    /// Bytes of address space, all told.
    pub(super) bytes: u64,
    pub(super) settings: Vec<Setting>,
}

/// Bytes of address space that a place takes beside its memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside {
    pub(super) tables: u64,
    pub(super) stack: u64,
}

/// Cuts a pool of `asked` places to the room there is.
pub(super) fn plan(
    asked: u32,
    profile: Profile,
    scan: PoolScan,
    beside: Beside,
    room: &Room,
) -> Result<Plan, BuildError> {
    if asked == 0 || asked > MAX_INSTANCES {
        return Err(BuildError::Setting(format!(
            "a pool of {asked} instances makes no sense: ask for at least 1 and at most {MAX_INSTANCES}"
        )));
    }
    let mut settings = Vec::new();
    let (places, why) = within_mappings(asked, profile, room)?;
    let (reservation, places, why) = within_bytes(places, why, profile, beside, room)?;
    if places < asked {
        tracing::warn!("the pool has {places} instances: {why}");
    }
    settings.push(Setting::new("instances", places, why));
    let guard = if profile == Profile::Dense { 0 } else { GUARD };
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
    let (scan, why) = scans(scan, room)?;
    settings.push(Setting::new(
        "pool-scan",
        if scan { "on" } else { "off" },
        why,
    ));
    Ok(Plan {
        places,
        reservation,
        guard,
        images,
        scan,
        mappings: u64::from(places) * memory_mappings(profile),
        bytes: u64::from(places) * (reservation + guard + beside.tables + beside.stack),
        settings,
    })
}

/// Mappings that a memory takes at most.
fn memory_mappings(profile: Profile) -> u64 {
    let each = match profile {
        Profile::Fast => MEMORY_MAPPINGS,
        // What is accessible, and what is not.
        Profile::Dense => 2,
    };
    each * u64::from(MEMORIES_PER_PLACE)
}

fn within_mappings(asked: u32, profile: Profile, room: &Room) -> Result<(u32, String), BuildError> {
    let each = STACK_MAPPINGS + memory_mappings(profile);
    let most = room.mappings.map_or(u64::MAX, |mappings| mappings / each);
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
    beside: Beside,
    room: &Room,
) -> Result<(u64, u32, String), BuildError> {
    let guard = if profile == Profile::Dense { 0 } else { GUARD };
    // The rest is for everything else in the process, and for compiling.
    let bytes = room.bytes / 4 * 3;
    let fit = |reservation: u64| {
        // One guard more is before the first memory.
        bytes.saturating_sub(guard) / (reservation + guard + beside.tables + beside.stack)
    };
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
            (smallest + guard + beside.tables + beside.stack) / 3 * 4 / 1024 + 1,
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

fn scans(scan: PoolScan, room: &Room) -> Result<(bool, &'static str), BuildError> {
    match scan {
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
    };
    const ROOM: Room = Room {
        mappings: Some(64_000),
        bytes: 1 << 47,
        is_limited: false,
        swaps: false,
    };

    fn cut(asked: u32, profile: Profile, room: Room) -> (u32, u64) {
        let plan = plan(asked, profile, PoolScan::Auto, BESIDE, &room).expect("it fits");
        let each = STACK_MAPPINGS + memory_mappings(profile);
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
        assert_eq!(cut(25_000, Profile::Dense, ROOM), (16_000, 64 << 20));
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
        let none = plan(1, Profile::Fast, PoolScan::Auto, BESIDE, &limited(64 << 20));
        assert!(none.unwrap_err().to_string().contains("ulimit -v"));
        let no_mappings = Room {
            mappings: Some(5),
            ..ROOM
        };
        let none = plan(1, Profile::Fast, PoolScan::Auto, BESIDE, &no_mappings);
        assert!(none.unwrap_err().to_string().contains("vm.max_map_count"));
    }

    /// Fault: a pool that misses written pages, on a system that swaps.
    #[test]
    fn pages_are_not_asked_for_where_there_is_swap() {
        let swaps = Room {
            swaps: true,
            ..ROOM
        };
        let with =
            |scan, room: &Room| plan(1, Profile::Fast, scan, BESIDE, room).map(|plan| plan.scan);
        assert!(with(PoolScan::On, &swaps).is_err());
        assert!(with(PoolScan::On, &ROOM).unwrap());
        assert!(!with(PoolScan::Auto, &ROOM).unwrap());
        assert!(!with(PoolScan::Auto, &swaps).unwrap());
    }
}
