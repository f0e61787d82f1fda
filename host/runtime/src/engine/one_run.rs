//! How many slots a host needs that runs one component once.

use wasmparser::{Parser, Payload};

use crate::engine::analysis::Uses;
use crate::engine::cost;
use crate::engine::header;
use crate::engine::instance_size::{self, Footprint};
use crate::engine::module;
use crate::engine::slots::{DEFAULT_INSTANCES, Kind, MAX_INSTANCES, Needs, slots_for};

/// The fewest slots of such a host.
const FEW: u64 = 4;

/// How many [`instances`](crate::HostBuilder::instances) a host needs for one run of a component (or core module), a
/// binary or what [`Host::precompile`](crate::Host::precompile) made of one: a few if it does not import `hart:exec`, because then the
/// run has one task. [`DEFAULT_INSTANCES`](crate::HostBuilder::DEFAULT_INSTANCES) for everything else, also for text.
///
/// A host of few instances is built sooner, which counts where a program runs a component and ends
/// (`hart-bench startup --only pool`).
///
/// ```
/// use hart_host::{Cache, Host, HostBuilder, instances_for};
///
/// // (component)
/// let bytes = b"\0asm\x0d\0\x01\0";
/// assert!(instances_for(bytes) < HostBuilder::DEFAULT_INSTANCES);
/// let host = Host::builder().instances(instances_for(bytes)).cache(Cache::Off).build()?;
/// host.load(bytes)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn instances_for(component: &[u8]) -> u32 {
    let slots = match header::read(component) {
        Ok((header, _)) => header.one_run,
        Err(_) => of_binary(component),
    };
    slots
        .and_then(|slots| u32::try_from(slots).ok())
        .filter(|slots| *slots <= MAX_INSTANCES)
        .unwrap_or(DEFAULT_INSTANCES)
}

/// Slots for one run of a component that was looked at; `None` if it may spawn.
pub(crate) fn slots(kind: Kind, uses: &Uses, footprint: Footprint, needs: Needs) -> Option<u64> {
    let slots = needs.slots(kind, footprint.memories, footprint.tables);
    (!uses.spawns()).then(|| slots_for(slots).max(FEW))
}

fn of_binary(bytes: &[u8]) -> Option<u64> {
    let mut uses = Uses::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.ok()?;
        if let Payload::ComponentTypeSection(types) = &payload {
            cost::check_types(&bytes[types.range()]).ok()?;
        }
        if let Payload::CustomSection(section) = &payload
            && module::is_module(bytes)
            && module::is_world(section.name())
        {
            // The component that it is to be may do anything.
            return None;
        }
        uses.read(&payload);
    }
    let mut footprint = instance_size::of(bytes);
    if module::is_module(bytes) {
        // The component that is made of it has one for what the adapter provides.
        footprint.tables = footprint.tables.saturating_add(1);
    }
    slots(uses.kind(), &uses, footprint, uses.needs(footprint.bytes))
}
