//! wasmtime's settings for a [`Host`](super::Host): many small instances, fast to make and drop.

use std::num::NonZeroUsize;

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use super::dense::{Dense, Guards, Layout};
use super::pool::{self, Beside, MEMORIES_PER_PLACE, Plan, PoolScan, Profile, TABLES_PER_PLACE};
use super::pool::{STACKS_PER_PLACE, STACKS_PER_PLACE_ASYNC};
use super::room::{Promise, Room};
use super::settings::{Setting, size};
use crate::{BuildError, Preemption, configure};

/// Elements that a table may have. A pool sets this aside as address space only.
pub(super) const TABLE_ELEMENTS: usize = 100_000;
/// Memories that a module may define.
pub(super) const MEMORIES_PER_MODULE: u32 = 16;
/// Tables that a module may define.
pub(super) const TABLES_PER_MODULE: u32 = 64;
/// Bytes of a stack, for guests and the host functions that they call: wasmtime's default.
const STACK: usize = 2 << 20;
/// Bytes of wasmtime's own bookkeeping for one instance of a component. A limit of memory, too: it is in
/// no linear memory.
pub(super) const COMPONENT_INSTANCE_SIZE: usize = 1 << 20;
/// The same for a core instance.
const CORE_INSTANCE_SIZE: usize = 1 << 20;
/// How much of a memory is zeroed by hand when it is reused, instead of by the system. Instances of
/// guests with a small stack fit whole; of 1,000 places, used once, 256 MiB stay resident. `tests/bench` settles it.
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

/// Which components an engine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Those that use no component-model async.
    Plain,
    /// Those that do.
    Concurrent,
}

impl Kind {
    /// Stacks that one place of the pool stands for.
    pub(super) fn stacks_per_place(self) -> u32 {
        match self {
            Self::Plain => STACKS_PER_PLACE,
            Self::Concurrent => STACKS_PER_PLACE_ASYNC,
        }
    }
}

/// What a host's engines are made for.
pub(super) struct Wanted {
    pub(super) preemption: Preemption,
    pub(super) instances: u32,
    pub(super) profile: Profile,
    pub(super) scan: PoolScan,
    pub(super) backtrace_details: bool,
    pub(super) deterministic: Deterministic,
    /// Whether a pool begins small.
    pub(super) grows: bool,
}

/// An engine, and what was decided about it.
pub(super) struct Made {
    pub(super) engine: Engine,
    pub(super) plan: Plan,
    pub(super) promise: Promise,
    /// Where memories and stacks are, in the dense profile.
    pub(super) dense: Option<Dense>,
    /// Where the engine's pool is a small one.
    pub(super) rest: Option<Rest>,
}

/// The engine that has a plan's whole pool, not made yet.
pub(super) struct Rest(Config);

impl Rest {
    pub(super) fn make(&self) -> Result<Engine, BuildError> {
        Engine::new(&self.0).map_err(BuildError::Engine)
    }
}

/// Makes the engine.
pub(super) fn engine(wanted: &Wanted, kind: Kind) -> Result<Made, BuildError> {
    let beside = Beside {
        tables: u64::from(TABLES_PER_PLACE) * (TABLE_ELEMENTS * size_of::<usize>()) as u64,
        stack: STACK as u64,
        stacks: u64::from(kind.stacks_per_place()),
    };
    let mut plan = pool::plan(
        wanted.instances,
        wanted.profile,
        wanted.scan,
        wanted.grows,
        beside,
        &Room::look(wanted.profile, wanted.scan),
    )?;
    // Before the pool is there, so that two that are made at once do not both see the same room.
    let mut promise = Promise::new(plan.mappings, plan.bytes);
    let mut config = config(wanted, kind, &plan);
    let (mut dense, mut rest) = (None, None);
    match plan.dense {
        None => {
            config.allocation_strategy(pool(kind, &plan, plan.places)?);
            if plan.first < plan.places {
                rest = Some(Rest(config.clone()));
                config.allocation_strategy(pool(kind, &plan, plan.first)?);
            }
        }
        Some(guards) => {
            let asked = plan.places;
            let mapped = map(kind, &mut plan, guards)?;
            if plan.places < asked {
                promise = Promise::new(plan.mappings, plan.bytes);
            }
            mapped.configure(&mut config);
            dense = Some(mapped);
        }
    }
    let engine = Engine::new(&config).map_err(BuildError::Engine)?;
    plan.settings.extend([
        Setting::new(
            "preemption",
            wanted.preemption,
            "as asked, or the default; it is compiled into guests' code",
        ),
        Setting::new(
            "memory-keep-resident",
            size(MEMORY_KEEP_RESIDENT as u64),
            "so much of a used memory is zeroed by hand, which is faster than giving it back",
        ),
    ]);
    if dense.is_none() {
        plan.settings.extend([
            Setting::new(
                "decommit-batch",
                DECOMMIT_BATCH,
                "memories are given back together, so that other cores are told less often",
            ),
            Setting::new(
                "warm-slots",
                WARM_SLOTS,
                "so many places stay set up for components that are not the one to be started",
            ),
        ]);
    }
    Ok(Made {
        engine,
        plan,
        promise,
        dense,
        rest,
    })
}

/// Maps the dense profile's memories and stacks, and cuts the plan to what the system grants.
fn map(kind: Kind, plan: &mut Plan, guards: Guards) -> Result<Dense, BuildError> {
    let layout = Layout {
        memory: largest_memory(plan)?,
        memory_kept: MEMORY_KEEP_RESIDENT,
        stack: STACK,
        stacks: u64::from(kind.stacks_per_place()),
        guards,
    };
    let (dense, places) = Dense::map(plan.places, layout).map_err(|error| {
        BuildError::Setting(format!(
            "the system grants no memory for a single instance ({error}): raise `ulimit -d`, or set vm.overcommit_memory to 0"
        ))
    })?;
    if places < plan.places {
        plan.cut(
            places,
            "the system grants no larger mapping: raise `ulimit -d`, or set vm.overcommit_memory to 0, for more",
        );
    }
    Ok(dense)
}

/// Bytes that a linear memory may have.
fn largest_memory(plan: &Plan) -> Result<usize, BuildError> {
    usize::try_from(plan.reservation)
        .map_err(|_| BuildError::Setting("a 64-bit system is needed".into()))
}

fn config(wanted: &Wanted, kind: Kind, plan: &Plan) -> Config {
    let mut config = Config::new();
    configure(&mut config, wanted.preemption);
    config.concurrency_support(kind == Kind::Concurrent);
    if wanted.deterministic == Deterministic::Yes {
        config.cranelift_nan_canonicalization(true);
        config.relaxed_simd_deterministic(true);
    }
    config.wasm_backtrace_details(if wanted.backtrace_details {
        WasmBacktraceDetails::Enable
    } else {
        WasmBacktraceDetails::Disable
    });
    config.wasm_backtrace_max_frames(BACKTRACE_FRAMES);
    config.async_stack_size(STACK);
    config.memory_reservation(plan.reservation);
    config.memory_guard_size(plan.guard);
    config.guard_before_linear_memory(plan.guard > 0);
    config.memory_init_cow(plan.images);
    config
}

/// wasmtime's own pool, of so many instances.
fn pool(kind: Kind, plan: &Plan, instances: u32) -> Result<InstanceAllocationStrategy, BuildError> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_stacks(instances * kind.stacks_per_place())
        .total_memories(instances * MEMORIES_PER_PLACE)
        .total_tables(instances * TABLES_PER_PLACE)
        .total_gc_heaps(instances)
        // Only counted; the memories and tables of a component say how many places it takes.
        .total_core_instances(u32::MAX)
        .max_memories_per_module(MEMORIES_PER_MODULE)
        .max_tables_per_module(TABLES_PER_MODULE)
        .max_memory_size(largest_memory(plan)?)
        .max_component_instance_size(COMPONENT_INSTANCE_SIZE)
        .max_core_instance_size(CORE_INSTANCE_SIZE)
        .table_elements(plan.bounds.table)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT)
        .table_keep_resident(TABLE_KEEP_RESIDENT)
        .decommit_batch_size(DECOMMIT_BATCH)
        .max_unused_warm_slots(WARM_SLOTS)
        .pagemap_scan(if plan.scan { Enabled::Yes } else { Enabled::No });
    Ok(InstanceAllocationStrategy::Pooling(pool))
}
