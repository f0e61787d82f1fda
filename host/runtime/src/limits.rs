//! What a run, a task or a tenant may use, and the names of those limits in errors.

use std::fmt;
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// What a run may use. Every field that is `None` takes the default written beside it.
///
/// Limits of a *run* are shared by its root and everything the root spawns; limits of a *task* hold
/// for each guest task by itself. Reaching one ends the task that reached it, or refuses the spawn,
/// with an error that names the limit.
///
/// ```
/// use hart_host::Limits;
/// use std::time::Duration;
///
/// let limits = Limits::new().memory(256 << 20).timeout(Duration::from_secs(5));
/// assert_eq!(limits.memory_or_default(), 256 << 20);
/// assert_eq!(limits.depth_or_default(), 64);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes for the whole run: linear memories, tables, and what the host holds for it (inputs of
    /// tasks, results not yet joined). Default 805,306,368 (768 MiB).
    pub memory: Option<u64>,
    /// Bytes of linear memory and tables for one task. Default: as the run's.
    pub task_memory: Option<u64>,
    /// CPU time for the whole run. Default: none.
    pub cpu_time: Option<Duration>,
    /// CPU time for one task. Default: none.
    pub task_cpu_time: Option<Duration>,
    /// How much of a core the whole run may use, in thousandths: 500 is half a core, 2,000 are two.
    /// Kept over windows of 100 ms; a run that has used its part of one waits for the next. Default:
    /// none.
    pub cpu_rate: Option<u32>,
    /// Units of fuel for the whole run, in [`Preemption::Fuel`](crate::Preemption::Fuel) mode only. Exact for a
    /// run of one task; tasks that run at the same time may pass it by a slice each. Default: none.
    pub fuel: Option<u64>,
    /// Units of fuel for one task, in the same mode only. Exact. Default: none.
    pub task_fuel: Option<u64>,
    /// Time on the clock for the whole run, from its start. Default: none.
    pub timeout: Option<Duration>,
    /// Tasks alive at the same time, the root and those that wait for a place included.
    /// Default 100,000.
    pub tasks: Option<u64>,
    /// How deep spawns may nest: the root has depth 0. Default 64.
    pub depth: Option<u32>,
    /// Spawns that wait for a place in the pool of instances. One that would be one more is refused; with 0 every
    /// spawn is that would have to wait. Default 100,000.
    pub queued: Option<u64>,
    /// Spawns per second, those of one second at once; more are refused. Default: none.
    pub spawn_rate: Option<u64>,
    /// Handles of resources that one task may hold: files, sockets, streams, tasks. One more is a trap.
    /// Default 100,000.
    pub handles: Option<u32>,
    /// Bytes of one task's input. Default 67,108,864 (64 MiB).
    pub input_bytes: Option<u64>,
    /// Bytes of one task's result. Default 67,108,864 (64 MiB).
    pub result_bytes: Option<u64>,
    /// Bytes that the run may write to standard output and standard error together. Default: none
    /// where they are inherited, 16,777,216 (16 MiB) for each stream that is captured.
    pub output_bytes: Option<u64>,
    /// Threads for blocking file operations, for the whole host: [`Host`](crate::Host)s read it from
    /// their own limits and only where they make their own tokio runtime. Default 16.
    pub blocking_threads: Option<u64>,
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty),* $(,)?) => {
        $($(#[$doc])* #[must_use] pub fn $name(mut self, $name: $type) -> Self {
            self.$name = Some($name);
            self
        })*
    };
}

impl Limits {
    /// The default of [`Limits::memory`]: 768 MiB.
    pub const DEFAULT_MEMORY: u64 = 768 * MIB;
    /// The default of [`Limits::tasks`].
    pub const DEFAULT_TASKS: u64 = 100_000;
    /// The default of [`Limits::depth`].
    pub const DEFAULT_DEPTH: u32 = 64;
    /// The default of [`Limits::queued`].
    pub const DEFAULT_QUEUED: u64 = 100_000;
    /// The default of [`Limits::handles`].
    pub const DEFAULT_HANDLES: u32 = 100_000;
    /// The default of [`Limits::input_bytes`]: 64 MiB.
    pub const DEFAULT_INPUT_BYTES: u64 = 64 * MIB;
    /// The default of [`Limits::result_bytes`]: 64 MiB.
    pub const DEFAULT_RESULT_BYTES: u64 = 64 * MIB;
    /// The default of [`Limits::output_bytes`] for a captured stream: 16 MiB.
    pub const DEFAULT_CAPTURED_BYTES: u64 = 16 * MIB;
    /// The default of [`Limits::blocking_threads`].
    pub const DEFAULT_BLOCKING_THREADS: u64 = 16;

    /// Every limit at its default.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// Sets [`Limits::memory`], bytes.
        memory: u64,
        /// Sets [`Limits::task_memory`], bytes.
        task_memory: u64,
        /// Sets [`Limits::cpu_time`].
        cpu_time: Duration,
        /// Sets [`Limits::task_cpu_time`].
        task_cpu_time: Duration,
        /// Sets [`Limits::cpu_rate`], thousandths of a core.
        cpu_rate: u32,
        /// Sets [`Limits::fuel`], units.
        fuel: u64,
        /// Sets [`Limits::task_fuel`], units.
        task_fuel: u64,
        /// Sets [`Limits::timeout`].
        timeout: Duration,
        /// Sets [`Limits::tasks`].
        tasks: u64,
        /// Sets [`Limits::depth`].
        depth: u32,
        /// Sets [`Limits::queued`].
        queued: u64,
        /// Sets [`Limits::spawn_rate`], per second.
        spawn_rate: u64,
        /// Sets [`Limits::handles`].
        handles: u32,
        /// Sets [`Limits::input_bytes`].
        input_bytes: u64,
        /// Sets [`Limits::result_bytes`].
        result_bytes: u64,
        /// Sets [`Limits::output_bytes`].
        output_bytes: u64,
        /// Sets [`Limits::blocking_threads`].
        blocking_threads: u64,
    }

    /// [`Limits::memory`] or its default.
    pub fn memory_or_default(&self) -> u64 {
        self.memory.unwrap_or(Self::DEFAULT_MEMORY)
    }

    /// [`Limits::tasks`] or its default.
    pub fn tasks_or_default(&self) -> u64 {
        self.tasks.unwrap_or(Self::DEFAULT_TASKS)
    }

    /// [`Limits::depth`] or its default.
    pub fn depth_or_default(&self) -> u32 {
        self.depth.unwrap_or(Self::DEFAULT_DEPTH)
    }

    /// [`Limits::queued`] or its default.
    pub fn queued_or_default(&self) -> u64 {
        self.queued.unwrap_or(Self::DEFAULT_QUEUED)
    }

    /// [`Limits::handles`] or its default.
    pub fn handles_or_default(&self) -> u32 {
        self.handles.unwrap_or(Self::DEFAULT_HANDLES)
    }

    /// [`Limits::input_bytes`] or its default.
    pub fn input_bytes_or_default(&self) -> u64 {
        self.input_bytes.unwrap_or(Self::DEFAULT_INPUT_BYTES)
    }

    /// [`Limits::result_bytes`] or its default.
    pub fn result_bytes_or_default(&self) -> u64 {
        self.result_bytes.unwrap_or(Self::DEFAULT_RESULT_BYTES)
    }

    /// What is set here, and what is set in `defaults` where nothing is set here.
    #[must_use]
    pub fn or(self, defaults: &Limits) -> Self {
        Self {
            memory: self.memory.or(defaults.memory),
            task_memory: self.task_memory.or(defaults.task_memory),
            cpu_time: self.cpu_time.or(defaults.cpu_time),
            task_cpu_time: self.task_cpu_time.or(defaults.task_cpu_time),
            cpu_rate: self.cpu_rate.or(defaults.cpu_rate),
            fuel: self.fuel.or(defaults.fuel),
            task_fuel: self.task_fuel.or(defaults.task_fuel),
            timeout: self.timeout.or(defaults.timeout),
            tasks: self.tasks.or(defaults.tasks),
            depth: self.depth.or(defaults.depth),
            queued: self.queued.or(defaults.queued),
            spawn_rate: self.spawn_rate.or(defaults.spawn_rate),
            handles: self.handles.or(defaults.handles),
            input_bytes: self.input_bytes.or(defaults.input_bytes),
            result_bytes: self.result_bytes.or(defaults.result_bytes),
            output_bytes: self.output_bytes.or(defaults.output_bytes),
            blocking_threads: self.blocking_threads.or(defaults.blocking_threads),
        }
    }
}

/// Which limit was reached. Its name (as displayed) is the name of the field of [`Limits`] or of the
/// guest's option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitKind {
    /// [`Limits::memory`].
    Memory,
    /// [`Limits::task_memory`], or what `task-options.set-memory` made of it.
    TaskMemory,
    /// [`Limits::cpu_time`].
    CpuTime,
    /// [`Limits::task_cpu_time`], or `task-options.set-cpu-time`.
    TaskCpuTime,
    /// [`Limits::fuel`].
    Fuel,
    /// [`Limits::task_fuel`], or `task-options.set-fuel`.
    TaskFuel,
    /// [`Limits::timeout`].
    Timeout,
    /// `task-options.set-timeout`.
    TaskTimeout,
    /// [`Limits::tasks`].
    Tasks,
    /// `task-options.set-max-tasks`.
    MaxTasks,
    /// [`Limits::depth`].
    Depth,
    /// [`Limits::queued`].
    Queued,
    /// [`Limits::spawn_rate`].
    SpawnRate,
    /// [`Limits::input_bytes`].
    InputBytes,
    /// [`Limits::result_bytes`].
    ResultBytes,
    /// [`Limits::output_bytes`].
    OutputBytes,
    /// Memory of the tenant.
    TenantMemory,
    /// CPU time of the tenant.
    TenantCpuTime,
    /// Fuel of the tenant.
    TenantFuel,
    /// Live tasks of the tenant.
    TenantTasks,
    /// Spawns per second of the tenant.
    TenantSpawnRate,
    /// Places in the host's pool of instances.
    Instances,
}

impl LimitKind {
    /// The limit's name, as in [`Limits`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::TaskMemory => "task_memory",
            Self::CpuTime => "cpu_time",
            Self::TaskCpuTime => "task_cpu_time",
            Self::Fuel => "fuel",
            Self::TaskFuel => "task_fuel",
            Self::Timeout => "timeout",
            Self::TaskTimeout => "task timeout",
            Self::Tasks => "tasks",
            Self::MaxTasks => "max-tasks",
            Self::Depth => "depth",
            Self::Queued => "queued",
            Self::SpawnRate => "spawn_rate",
            Self::InputBytes => "input_bytes",
            Self::ResultBytes => "result_bytes",
            Self::OutputBytes => "output_bytes",
            Self::TenantMemory => "tenant memory",
            Self::TenantCpuTime => "tenant cpu_time",
            Self::TenantFuel => "tenant fuel",
            Self::TenantTasks => "tenant tasks",
            Self::TenantSpawnRate => "tenant spawn_rate",
            Self::Instances => "instances",
        }
    }

    /// Whether the limit's value counts nanoseconds.
    fn is_time(self) -> bool {
        matches!(
            self,
            Self::CpuTime
                | Self::TaskCpuTime
                | Self::Timeout
                | Self::TaskTimeout
                | Self::TenantCpuTime
        )
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Memory
            | Self::TaskMemory
            | Self::InputBytes
            | Self::ResultBytes
            | Self::OutputBytes
            | Self::TenantMemory => " bytes",
            Self::Fuel | Self::TaskFuel | Self::TenantFuel => " units",
            Self::SpawnRate | Self::TenantSpawnRate => " per second",
            _ => "",
        }
    }

    /// Who can raise it: a phrase that completes "raise it ...".
    fn remedy(self) -> &'static str {
        match self {
            Self::TaskTimeout | Self::MaxTasks => "the guest set it in the task's options",
            Self::TenantMemory
            | Self::TenantCpuTime
            | Self::TenantFuel
            | Self::TenantTasks
            | Self::TenantSpawnRate => "raise it in the tenant's limits",
            Self::Instances => "raise it with `HostBuilder::instances`",
            _ => "raise it in `Limits`",
        }
    }
}

impl fmt::Display for LimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A limit that was reached, and what it was.
///
/// It is the error that ends a guest which grows past its memory, and the source of the errors that
/// tell of limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitReached {
    /// Which limit.
    pub limit: LimitKind,
    /// Its value: bytes, units, a count, or nanoseconds.
    pub value: u64,
}

impl LimitReached {
    pub(crate) fn new(limit: LimitKind, value: u64) -> Self {
        Self { limit, value }
    }

    pub(crate) fn time(limit: LimitKind, value: Duration) -> Self {
        Self::new(limit, u64::try_from(value.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, value } = self;
        write!(f, "the limit `{limit}` of ")?;
        if limit.is_time() {
            write!(f, "{:?}", Duration::from_nanos(*value))?;
        } else {
            write!(f, "{value}{}", limit.unit())?;
        }
        write!(f, " was reached ({})", limit.remedy())
    }
}

impl std::error::Error for LimitReached {}
