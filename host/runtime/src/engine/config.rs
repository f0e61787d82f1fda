//! wasmtime's settings for a [`Host`](crate::Host): many small instances, fast to make and drop.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;

use wasmtime::component::Component;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use crate::base::error::BuildError;
use crate::base::setting::{Setting, size};
use crate::base::stats::PoolStats;
use crate::engine::baseline::Baseline;
use crate::engine::dense::{Dense, Guards, Layout};
use crate::engine::keep::Keep;
use crate::engine::plan::{self, Beside, Bounds, Plan};
use crate::engine::profile::{PoolScan, Profile};
use crate::engine::room::Room;
use crate::engine::slots::{
    Kind, MEMORIES_PER_MODULE, MEMORIES_PER_SLOT, TABLE_ELEMENTS, TABLES_PER_MODULE,
    TABLES_PER_SLOT,
};
use crate::quota::process_limits::Reservation;
use crate::sched::preemption::{Preemption, configure};

/// Bytes of a stack that guests may use: wasmtime's default.
pub(crate) const WASM_STACK: usize = 512 << 10;
/// Bytes of a stack for the host functions that they call: what wasmtime leaves them. A host function that finds them too
/// few ends the process.
const HOST_STACK: usize = (2 << 20) - WASM_STACK;
/// How many bytes guests may be given.
pub(crate) const WASM_STACKS: RangeInclusive<usize> = (4 << 10)..=(1 << 30);
/// Stacks are whole pages, whatever size those have.
const STACK_UNIT: usize = 64 << 10;
/// Bytes of wasmtime's own bookkeeping for one instance of a component, or for a core instance. A pool sets nothing
/// aside for it; each run's memory is what limits it.
const INSTANCE_SIZE: usize = 1 << 30;
/// Slots kept warm for components that are not the one to be instantiated.
const WARM_SLOTS: u32 = 256;
/// Frames of wasm in a backtrace, where the embedder has no other number.
const BACKTRACE_FRAMES: Option<NonZeroUsize> = NonZeroUsize::new(32);

/// Whether guests must compute the same on every machine, at some cost in speed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deterministic {
    No,
    Yes,
}

/// What a host's engines are made for.
pub(crate) struct Wanted {
    pub(crate) preemption: Preemption,
    pub(crate) instances: u32,
    pub(crate) profile: Profile,
    /// Bytes of a stack that guests may use.
    pub(crate) wasm_stack: usize,
    pub(crate) scan: PoolScan,
    /// Bytes that a memory should be able to have, where that is more than is usual.
    pub(crate) memory: Option<u64>,
    pub(crate) backtrace_details: bool,
    pub(crate) deterministic: Deterministic,
    /// Settings of the embedder's own, which come before hart's.
    pub(crate) own: Vec<Box<OwnConfig>>,
}

/// Settings of the embedder's own.
pub(crate) type OwnConfig = dyn Fn(&mut Config) + Send + Sync;

/// The smallest component.
const NOTHING: &[u8] = b"\0asm\x0d\0\x01\0";

impl Wanted {
    /// Bytes of a stack.
    fn stack(&self) -> usize {
        (self.wasm_stack + HOST_STACK).next_multiple_of(STACK_UNIT)
    }

    /// Makes the engine, and sees that it runs components: settings of the embedder's own may contradict hart's.
    fn engine(&self, config: &Config) -> Result<Engine, BuildError> {
        if self.own.is_empty() {
            return Engine::new(config).map_err(BuildError::Engine);
        }
        let engine = Engine::new(config).map_err(BuildError::Config)?;
        Component::from_binary(&engine, NOTHING).map_err(BuildError::Config)?;
        Ok(engine)
    }
}

/// An engine with its pool of instances.
pub(crate) struct Pool {
    pub(crate) kind: Kind,
    pub(crate) engine: Engine,
    /// How many instances fit.
    pub(crate) slots: u64,
    /// How large what is loaded may be.
    pub(crate) bounds: Bounds,
    pub(crate) settings: Vec<Setting>,
    /// What compiles code that is there sooner.
    pub(crate) baseline: Baseline,
    /// Where memories and stacks are, in the dense profile.
    dense: Option<Dense>,
    /// What the pool may come to use, out of the process's budget.
    _reservation: Reservation,
}

impl Pool {
    /// Adds what wasmtime says that it holds.
    pub(crate) fn count(&self, stats: &mut PoolStats) {
        if let Some(metrics) = self.engine.pooling_allocator_metrics() {
            stats.component_instances += metrics.component_instances();
            stats.core_instances += metrics.core_instances();
            stats.memories += metrics.memories() as u64;
            stats.tables += metrics.tables() as u64;
            stats.stacks += metrics.stacks() as u64;
            stats.kept_bytes += (metrics.unused_memory_bytes_resident()
                + metrics.unused_table_bytes_resident()) as u64;
        }
        if let Some(dense) = &self.dense {
            dense.count(stats);
        }
    }

    /// Makes the engine.
    pub(crate) fn new(wanted: &Wanted, kind: Kind) -> Result<Self, BuildError> {
        if !WASM_STACKS.contains(&wanted.wasm_stack) {
            return Err(BuildError::Setting(format!(
                "guests cannot have {} bytes of stack: give them 4 KiB to 1 GiB",
                wanted.wasm_stack
            )));
        }
        let beside = Beside {
            tables: u64::from(TABLES_PER_SLOT) * (TABLE_ELEMENTS * size_of::<usize>()) as u64,
            stack: wanted.stack() as u64,
            stacks: u64::from(kind.stacks_per_slot()),
        };
        let room = Room::look(wanted.profile, wanted.scan);
        let mut plan = plan::plan(
            wanted.instances,
            wanted.profile,
            wanted.scan,
            wanted.memory,
            beside,
            &room,
        )?;
        let keep = plan.keep(room.kept);
        // Before the pool is there, so that two that are made at once do not both see the same room.
        let mut reservation = Reservation::new(plan.mappings, plan.bytes, keep.bytes);
        let mut config = config(wanted, kind, &plan);
        let baseline = match wanted.deterministic {
            Deterministic::No => Baseline::new(&config, wanted.preemption),
            Deterministic::Yes => Baseline::none(),
        };
        let mut dense = None;
        match plan.dense {
            None => {
                config.allocation_strategy(pool(kind, &plan, keep)?);
            }
            Some(guards) => {
                let asked = plan.slots;
                let mapped = map(kind, &mut plan, keep, guards, wanted.stack())?;
                if plan.slots < asked {
                    reservation = Reservation::new(plan.mappings, plan.bytes, keep.bytes);
                }
                mapped.configure(&mut config);
                dense = Some(mapped);
            }
        }
        let engine = wanted.engine(&config)?;
        plan.settings.extend([
        Setting::new(
            "preemption",
            wanted.preemption,
            "as asked, or the default; it is compiled into guests' code",
        ),
        Setting::new(
            "memory-keep-resident",
            size(keep.memory as u64),
            "so much of a used memory is zeroed by hand, which is faster than giving it back; all pools of the process together keep a 16th of the memory that there is, at most",
        ),
        Setting::new(
            "pool-keep-resident",
            size(keep.bytes),
            "the most that slots which nobody uses keep of memories and tables; the rest is given back at once",
        ),
    ]);
        if dense.is_none() {
            plan.settings.push(Setting::new(
                "warm-slots",
                WARM_SLOTS,
                "so many slots stay set up for components that are not the one to be started",
            ));
        }
        Ok(Self {
            kind,
            engine,
            slots: u64::from(plan.slots),
            bounds: plan.bounds,
            settings: plan.settings,
            baseline,
            dense,
            _reservation: reservation,
        })
    }
}

/// Maps the dense profile's memories and stacks, and cuts the plan to what the system grants.
fn map(
    kind: Kind,
    plan: &mut Plan,
    keep: Keep,
    guards: Guards,
    stack: usize,
) -> Result<Dense, BuildError> {
    let layout = Layout {
        memory: largest_memory(plan)?,
        memory_kept: keep.memory,
        stack,
        stacks: u64::from(kind.stacks_per_slot()),
        guards,
    };
    let (dense, slots) = Dense::map(plan.slots, layout).map_err(|error| {
        BuildError::Setting(format!(
            "the system grants no memory for a single instance ({error}): raise `ulimit -d`, or set vm.overcommit_memory to 0"
        ))
    })?;
    if slots < plan.slots {
        plan.cut(
            slots,
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
    config.wasm_backtrace_max_frames(BACKTRACE_FRAMES);
    for own in &wanted.own {
        own(&mut config);
    }
    // A guest that waits for shared memory to change could not be preempted.
    config.shared_memory(false);
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
    config.async_stack_size(wanted.stack());
    config.max_wasm_stack(wanted.wasm_stack);
    config.memory_reservation(plan.reservation);
    config.memory_guard_size(plan.guard);
    config.guard_before_linear_memory(plan.guard > 0);
    config.memory_init_cow(plan.images);
    config
}

/// wasmtime's own pool.
fn pool(kind: Kind, plan: &Plan, keep: Keep) -> Result<InstanceAllocationStrategy, BuildError> {
    let instances = plan.slots;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_stacks(instances * kind.stacks_per_slot())
        .total_memories(instances * MEMORIES_PER_SLOT)
        .total_tables(instances * TABLES_PER_SLOT)
        .total_gc_heaps(instances)
        // Only counted; the memories and tables of a component say how many slots it takes.
        .total_core_instances(u32::MAX)
        .max_memories_per_module(MEMORIES_PER_MODULE)
        .max_tables_per_module(TABLES_PER_MODULE)
        .max_memory_size(largest_memory(plan)?)
        .max_component_instance_size(INSTANCE_SIZE)
        .max_core_instance_size(INSTANCE_SIZE)
        .table_elements(plan.bounds.table)
        .linear_memory_keep_resident(keep.memory)
        .table_keep_resident(keep.table)
        // At once, whatever its size: see `keep`.
        .decommit_batch_size(1)
        .max_unused_warm_slots(WARM_SLOTS)
        .pagemap_scan(if plan.scan { Enabled::Yes } else { Enabled::No });
    Ok(InstanceAllocationStrategy::Pooling(pool))
}
