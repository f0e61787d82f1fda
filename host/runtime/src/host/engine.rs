//! wasmtime's settings for a [`Host`](super::Host): many small instances, fast to make and drop.

use std::num::NonZeroUsize;

use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails,
};

use super::Cache;
use crate::{BuildError, Preemption, configure};

/// Linear memories that one place in the pool stands for. A component that needs more takes more
/// places. Two, because a component of an adapter and a program often has two.
pub(super) const MEMORIES_PER_PLACE: u32 = 2;
/// Tables that one place stands for.
pub(super) const TABLES_PER_PLACE: u32 = 8;
/// The most places a pool may have: beyond it the address space of the memories runs out.
const MAX_INSTANCES: u32 = 10_000;

/// Elements that a table may have. A pool sets this aside as address space only.
const TABLE_ELEMENTS: usize = 100_000;
/// Bytes of wasmtime's own bookkeeping for one instance of a component. A limit of memory, too: it is in
/// no linear memory.
const COMPONENT_INSTANCE_SIZE: usize = 1 << 20;
/// The same for a core instance.
const CORE_INSTANCE_SIZE: usize = 1 << 20;
/// How much of a memory is zeroed by hand when it is reused, instead of by the system. Instances of
/// guests with a small stack fit whole; of 1,000 places with two memories each, used once, 512 MiB stay
/// resident. `tests/bench` settles it.
const MEMORY_KEEP_RESIDENT: usize = 256 << 10;
/// The same for a table.
const TABLE_KEEP_RESIDENT: usize = 16 << 10;
/// Memories given back to the system at once, to share the cost of telling all cores.
const DECOMMIT_BATCH: usize = 64;
/// Places kept warm for components that are not the one to be instantiated.
const WARM_SLOTS: u32 = 256;
/// Frames of wasm in a backtrace.
const BACKTRACE_FRAMES: Option<NonZeroUsize> = NonZeroUsize::new(32);

/// Whether guests must compute the same on every machine, at some cost in speed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Deterministic {
    No,
    Yes,
}

/// Makes the engine.
pub(super) fn engine(
    preemption: Preemption,
    instances: u32,
    cache: &Cache,
    backtrace_details: bool,
    deterministic: Deterministic,
) -> Result<Engine, BuildError> {
    if instances == 0 || instances > MAX_INSTANCES {
        return Err(BuildError::Setting(format!(
            "a pool of {instances} instances makes no sense: ask for at least 1 and at most {MAX_INSTANCES}"
        )));
    }
    let mut config = Config::new();
    configure(&mut config, preemption);
    if deterministic == Deterministic::Yes {
        config.cranelift_nan_canonicalization(true);
        config.relaxed_simd_deterministic(true);
    }
    config.wasm_backtrace_details(if backtrace_details {
        WasmBacktraceDetails::Enable
    } else {
        WasmBacktraceDetails::Disable
    });
    config.wasm_backtrace_max_frames(BACKTRACE_FRAMES);
    config.cache(super::cache::open(cache));

    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_stacks(instances)
        .total_memories(instances * MEMORIES_PER_PLACE)
        .total_tables(instances * TABLES_PER_PLACE)
        .total_gc_heaps(instances)
        // Only counted; the memories and tables of a component say how many places it takes.
        .total_core_instances(u32::MAX)
        .max_memories_per_module(MEMORIES_PER_PLACE * 8)
        .max_tables_per_module(TABLES_PER_PLACE * 8)
        .max_component_instance_size(COMPONENT_INSTANCE_SIZE)
        .max_core_instance_size(CORE_INSTANCE_SIZE)
        .table_elements(TABLE_ELEMENTS)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT)
        .table_keep_resident(TABLE_KEEP_RESIDENT)
        .decommit_batch_size(DECOMMIT_BATCH)
        .max_unused_warm_slots(WARM_SLOTS);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).map_err(BuildError::Engine)
}
