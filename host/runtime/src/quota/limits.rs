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
    /// Bytes that one linear memory may have. What would be larger does not grow, and the guest is told so: no task ends.
    /// Default: what the pool has for a memory.
    pub memory_size: Option<u64>,
    /// The same for the elements of one table.
    pub table_elements: Option<u64>,
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
    /// Tasks alive at the same time, the root and those that wait for a slot included.
    /// Default 100,000.
    pub tasks: Option<u64>,
    /// How deep spawns may nest: the root has depth 0. Default 64.
    pub depth: Option<u32>,
    /// Spawns that wait for a slot in the pool of instances. One that would be one more is refused; with 0 every
    /// spawn is that would have to wait. Default 100,000.
    pub queued: Option<u64>,
    /// Spawns per second, those of one second at once; more are refused. Default: none.
    pub spawn_rate: Option<u64>,
    /// Handles of the host's resources that the whole run may hold: files, sockets, streams, pollables, tasks and their
    /// options. Each is [`HANDLE_BYTES`](Self::HANDLE_BYTES) of the run's memory. A pollable is two: itself and what it
    /// waits for. The first [`TASK_HANDLES`](Self::TASK_HANDLES) of each task do not count, so that a task can always
    /// write its output. What a task had at once stays counted until it ends, however many it drops. One more ends the
    /// task. Default 32,768.
    ///
    /// What a guest makes without the host (`resource.new`, ends of streams and futures, waitable sets) is counted for each
    /// task by itself, and not as memory. With component-model async a task may have as many handles as fit into an eighth
    /// of the run's memory, and one that was spawned a 32nd of that (64 at least).
    pub handles: Option<u32>,
    /// File descriptors that the host holds for the whole run: open files and directories, and sockets, which a stream of
    /// one keeps open. Directories that the run was granted do not count. A guest that asks for one more gets an error
    /// (`insufficient-memory` for files, `new-socket-limit` or `out-of-memory` for sockets) and goes on; it is refused
    /// as well where the [host's](crate::HostBuilder::files) are used up. Default: 1,024, and at most half of the host's. A
    /// tenant has no default; it gets no more while it holds twice as many as are free, nor does a run of no tenant.
    pub files: Option<u64>,
    /// Bytes of one task's input. Default 16,777,216 (16 MiB).
    pub input_bytes: Option<u64>,
    /// Bytes of one task's result. Default 16,777,216 (16 MiB).
    pub result_bytes: Option<u64>,
    /// Bytes that one call may copy from a guest to the host: strings, lists, and what a guest's function returns (where
    /// the host reads it as `Val`s, each element of a list is some 30 bytes). A call that would copy more ends the task.
    /// Nothing else runs on its core while they are copied. Default 16,777,216 (16 MiB), and enough for
    /// [`input_bytes`](Self::input_bytes) and [`result_bytes`](Self::result_bytes) where those are larger.
    pub hostcall_fuel: Option<u64>,
    /// Random bytes that one call may ask for; more end the task (in WASI 0.3 it gets fewer). Default 1,048,576 (1 MiB).
    pub random_bytes: Option<u64>,
    /// Bytes that the run may write to standard output and standard error together. Default: none
    /// where they are inherited, 16,777,216 (16 MiB) for each stream that is captured.
    pub output_bytes: Option<u64>,
    /// Threads that wait for file operations, for the whole host: [`Host`](crate::Host)s read it from their own limits. A
    /// run uses at most a quarter of them at a time, a tenant half, and each at least one; the rest of their operations
    /// wait, in turn between runs. Name look-ups have a quarter as many threads of their own, and
    /// [capabilities](crate::Capability) as many. Default 16.
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
    pub const DEFAULT_HANDLES: u32 = 32_768;
    /// The default of [`Limits::files`], where that is no more than half of what the host has.
    pub const DEFAULT_FILES: u64 = 1_024;
    /// Handles that each task may hold beside [`Limits::handles`].
    pub const TASK_HANDLES: u32 = 8;
    /// Bytes of the run's memory that a handle takes.
    pub const HANDLE_BYTES: u64 = 256;
    /// Handles of a task with component-model async may take one part in so many of the run's memory.
    pub(crate) const OWN_HANDLES_PART: u64 = 8;
    /// A task that was spawned may have one in so many of them, and so many in any case.
    pub(crate) const SPAWNED_PART: u32 = 32;
    pub(crate) const SPAWNED_LEAST: u32 = 64;
    /// The default of [`Limits::input_bytes`]: 16 MiB.
    pub const DEFAULT_INPUT_BYTES: u64 = 16 * MIB;
    /// The default of [`Limits::result_bytes`]: 16 MiB.
    pub const DEFAULT_RESULT_BYTES: u64 = 16 * MIB;
    /// The default of [`Limits::hostcall_fuel`]: 16 MiB.
    pub const DEFAULT_HOSTCALL_FUEL: u64 = 16 * MIB;
    /// The default of [`Limits::random_bytes`]: 1 MiB.
    pub const DEFAULT_RANDOM_BYTES: u64 = MIB;
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
        /// Sets [`Limits::memory_size`], bytes.
        memory_size: u64,
        /// Sets [`Limits::table_elements`].
        table_elements: u64,
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
        /// Sets [`Limits::files`].
        files: u64,
        /// Sets [`Limits::input_bytes`].
        input_bytes: u64,
        /// Sets [`Limits::result_bytes`].
        result_bytes: u64,
        /// Sets [`Limits::hostcall_fuel`], bytes.
        hostcall_fuel: u64,
        /// Sets [`Limits::random_bytes`].
        random_bytes: u64,
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

    /// [`Limits::hostcall_fuel`] or its default.
    ///
    /// ```
    /// use hart_host::Limits;
    ///
    /// assert!(Limits::new().hostcall_fuel_or_default() > 16 << 20);
    /// assert!(Limits::new().input_bytes(64 << 20).hostcall_fuel_or_default() > 64 << 20);
    /// assert_eq!(Limits::new().hostcall_fuel(4096).hostcall_fuel_or_default(), 4096);
    /// ```
    pub fn hostcall_fuel_or_default(&self) -> u64 {
        /// For what goes with an input or a result, such as the entry's name.
        const BESIDE: u64 = 64 << 10;

        self.hostcall_fuel.unwrap_or_else(|| {
            let largest = self
                .input_bytes_or_default()
                .max(self.result_bytes_or_default());
            Self::DEFAULT_HOSTCALL_FUEL
                .max(largest)
                .saturating_add(BESIDE)
        })
    }

    /// [`Limits::random_bytes`] or its default.
    pub fn random_bytes_or_default(&self) -> u64 {
        self.random_bytes.unwrap_or(Self::DEFAULT_RANDOM_BYTES)
    }

    /// What is set here, and what is set in `defaults` where nothing is set here.
    #[must_use]
    pub fn or(self, defaults: &Limits) -> Self {
        Self {
            memory: self.memory.or(defaults.memory),
            task_memory: self.task_memory.or(defaults.task_memory),
            memory_size: self.memory_size.or(defaults.memory_size),
            table_elements: self.table_elements.or(defaults.table_elements),
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
            files: self.files.or(defaults.files),
            input_bytes: self.input_bytes.or(defaults.input_bytes),
            result_bytes: self.result_bytes.or(defaults.result_bytes),
            hostcall_fuel: self.hostcall_fuel.or(defaults.hostcall_fuel),
            random_bytes: self.random_bytes.or(defaults.random_bytes),
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
    /// [`Limits::handles`].
    Handles,
    /// [`Limits::files`].
    Files,
    /// [`Limits::hostcall_fuel`].
    HostcallFuel,
    /// [`Limits::random_bytes`].
    RandomBytes,
    /// Memory of the tenant.
    TenantMemory,
    /// CPU time of the tenant.
    TenantCpuTime,
    /// Fuel of the tenant.
    TenantFuel,
    /// Live tasks of the tenant.
    TenantTasks,
    /// File descriptors of the tenant.
    TenantFiles,
    /// File descriptors of all guests: [`HostBuilder::files`](crate::HostBuilder::files).
    HostFiles,
    /// Spawns per second of the tenant.
    TenantSpawnRate,
    /// Places in the host's pool of instances.
    Instances,
    /// The same, for a run that does not [wait](crate::RunBuilder::waits) for a slot, because a guest's host call has
    /// started it.
    InnerInstances,
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
            Self::Handles => "handles",
            Self::Files => "files",
            Self::HostcallFuel => "hostcall_fuel",
            Self::RandomBytes => "random_bytes",
            Self::TenantMemory => "tenant memory",
            Self::TenantCpuTime => "tenant cpu_time",
            Self::TenantFuel => "tenant fuel",
            Self::TenantTasks => "tenant tasks",
            Self::TenantFiles => "tenant files",
            Self::HostFiles => "host files",
            Self::TenantSpawnRate => "tenant spawn_rate",
            Self::Instances | Self::InnerInstances => "instances",
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
            | Self::HostcallFuel
            | Self::RandomBytes
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
            | Self::TenantFiles
            | Self::TenantSpawnRate => "raise it in the tenant's limits",
            Self::HostFiles => {
                "raise the process's limit of open files, and `HostBuilder::files` where that is set"
            }
            Self::Instances => "raise it with `HostBuilder::instances`",
            Self::InnerInstances => {
                "a run that a guest's host call starts cannot wait for a slot, or guests would wait for each other: raise it with `HostBuilder::instances`, or make fewer such calls at a time"
            }
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
