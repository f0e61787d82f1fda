//! How a task is to be run, beyond its function and arguments.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};
use std::time::Duration;

/// How a task is to be run. What is not set is inherited from the task that spawns, and limits only
/// ever get narrower: more than the parent has is cut to that.
///
/// ```
/// use std::time::Duration;
/// use hart_guest::{Options, Rights, task};
///
/// #[task]
/// fn guess(seed: u64) -> u64 {
///     seed / 2
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let careful = Options::new()
///     .name("guess")
///     .memory(16 << 20)
///     .timeout(Duration::from_secs(2))
///     .deny(Rights::FILESYSTEM | Rights::NETWORK | Rights::SPAWN);
/// assert_eq!(guess.spawn_with(8, &careful)?.join()?, 4);
/// # Ok(())
/// # }
/// ```
///
/// Only hart measures and enforces; natively only `timeout` and denying [`Rights::SPAWN`] have an
/// effect, and with the feature `sequential` only the latter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    pub(crate) name: Option<String>,
    pub(crate) fuel: Option<u64>,
    pub(crate) cpu_time: Option<Duration>,
    pub(crate) memory: Option<u64>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_tasks: Option<u32>,
    pub(crate) denied: Rights,
    pub(crate) reuse: bool,
    pub(crate) anywhere: bool,
}

impl Options {
    /// Options that change nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A name for traces, statistics and error messages; without one it is the function's. At most
    /// 64 bytes of it are kept.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Fuel that the task may use, in wasmtime's units (about one per instruction). Takes effect
    /// only in hosts that meter fuel.
    #[must_use]
    pub fn fuel(mut self, units: u64) -> Self {
        self.fuel = Some(units);
        self
    }

    /// CPU time that the task may use.
    #[must_use]
    pub fn cpu_time(mut self, time: Duration) -> Self {
        self.cpu_time = Some(time);
        self
    }

    /// Memory that the task's instance may use, in bytes.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Time on the clock from spawning until the task is ended.
    #[must_use]
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }

    /// Tasks that this task and everything below it may have alive at the same time.
    #[must_use]
    pub fn max_tasks(mut self, count: u32) -> Self {
        self.max_tasks = Some(count);
        self
    }

    /// Takes rights away from the task and from everything that it spawns, in addition to those
    /// taken away before.
    #[must_use]
    pub fn deny(mut self, rights: Rights) -> Self {
        self.denied |= rights;
        self
    }

    /// The task may run in an instance in which another task of this run has ended that was spawned with this, too,
    /// and its own instance may be used again in that way. Starting it is then several times cheaper.
    ///
    /// It finds whatever was left there: statics, thread locals, the heap. So it is for tasks that would have been
    /// correct as calls one after the other in one program. What is worth keeping, a table or a cache, is then made
    /// once for many tasks. What leaks adds up: nothing but the end of the instance frees it. And where a task works on
    /// what somebody else sent, whoever takes it over through a fault in it has the tasks that follow, too, which is what
    /// instances of their own protect from.
    ///
    /// The host never does it across runs, between tasks that were denied different rights, or after one that
    /// failed, trapped, exited or was ended from outside. An instance that keeps a handle open is not used again, and
    /// Rust's standard library keeps some: that of a task which prints, or opens a file by its path. Only hart has
    /// instances; natively it has no effect.
    ///
    /// ```
    /// use std::sync::OnceLock;
    /// use hart_guest::{Options, task};
    ///
    /// #[task]
    /// fn square(number: u8) -> u32 {
    ///     static SQUARES: OnceLock<Vec<u32>> = OnceLock::new();
    ///     SQUARES.get_or_init(|| (0..256).map(|n| n * n).collect())[usize::from(number)]
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let options = Options::new().reuse();
    /// assert_eq!(square.spawn_with(7, &options)?.join()?, 49);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn reuse(mut self) -> Self {
        self.reuse = true;
        self
    }

    /// The task may run on another machine: it goes there if it would have to wait here, for an instance or for a core. It is
    /// joined, cancelled and closed as any other. Its input and its result travel, and so do its limits and what it was
    /// denied; nothing else does. So a spawn is [`Denied`](crate::SpawnError::Denied) where the task would have directories,
    /// the network or variables of this machine, unless these are denied to it, and where the host does not allow this
    /// (`hart run -S remote` does). What it may do there, the owner of that machine says.
    ///
    /// A task that went elsewhere may run twice, where a machine dies in between: it is for tasks that may. It prints where
    /// it runs, and what it spawns runs there. Natively this has no effect.
    ///
    /// ```
    /// use hart_guest::{Options, Rights, task};
    ///
    /// #[task]
    /// fn words(text: String) -> usize {
    ///     text.split_whitespace().count()
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let options = Options::new().anywhere().deny(Rights::FILESYSTEM | Rights::NETWORK);
    /// assert_eq!(words.spawn_with("one two".to_string(), &options)?.join()?, 2);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn anywhere(mut self) -> Self {
        self.anywhere = true;
        self
    }
}

/// What a task may be denied: a set, combined with `|`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Rights(u8);

impl Rights {
    /// Any directory at all, and the store of `wasi:keyvalue`.
    pub const FILESYSTEM: Self = Self(1);
    /// Changing what is in directories and in that store; reading stays allowed.
    pub const FILESYSTEM_WRITE: Self = Self(1 << 1);
    /// TCP, UDP and name look-ups.
    pub const NETWORK: Self = Self(1 << 2);
    /// Environment variables and values of `wasi:config`: the task sees none.
    pub const ENVIRONMENT: Self = Self(1 << 3);
    /// Standard output and standard error: what the task writes is dropped.
    pub const OUTPUT: Self = Self(1 << 4);
    /// Spawning tasks of its own: that gives [`SpawnError::Denied`](crate::SpawnError::Denied).
    pub const SPAWN: Self = Self(1 << 5);

    const NAMES: [(Self, &str); 6] = [
        (Self::FILESYSTEM, "FILESYSTEM"),
        (Self::FILESYSTEM_WRITE, "FILESYSTEM_WRITE"),
        (Self::NETWORK, "NETWORK"),
        (Self::ENVIRONMENT, "ENVIRONMENT"),
        (Self::OUTPUT, "OUTPUT"),
        (Self::SPAWN, "SPAWN"),
    ];

    /// No right at all: nothing is denied.
    pub const fn none() -> Self {
        Self(0)
    }

    /// Every right, for a task that only computes.
    pub const fn all() -> Self {
        Self((1 << 6) - 1)
    }

    /// Whether all of `others` are in it.
    pub const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    #[cfg(all(target_family = "wasm", not(feature = "sequential")))]
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }
}

impl BitOr for Rights {
    type Output = Self;

    fn bitor(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }
}

impl BitOrAssign for Rights {
    fn bitor_assign(&mut self, others: Self) {
        self.0 |= others.0;
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Self::NAMES
            .iter()
            .filter(|(right, _)| self.contains(*right))
            .map(|(_, name)| *name)
            .collect();
        write!(f, "Rights({})", names.join(" | "))
    }
}
