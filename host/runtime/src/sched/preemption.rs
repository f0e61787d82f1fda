//! How guests are interrupted: the one setting that is compiled into their code.

use std::fmt;
use std::time::Duration;

/// How a guest that will not yield loses its core.
///
/// Beside the places in its code that the mode says, a guest can lose it wherever it comes back from a host call, in
/// both modes that preempt: where somebody waits and its slice of time is used up, or where it must end.
///
/// The mode is compiled into a component's code, so it is a property of the engine: code compiled for
/// one mode is refused by an engine of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preemption {
    /// One clock thread increments the engine's epoch every `slice` while somebody waits for a core
    /// or a limit, cancel or close concerns a running guest. A guest alone on the machine pays nothing
    /// but the checks in its code.
    Epoch {
        /// How long a guest may run while others wait. Default: 1 ms; less than 100 us counts as that.
        /// It is shorter (a quarter, at least) while very many wait, and twice as long where few do
        /// that have not just woken.
        slice: Duration,
    },
    /// A check every `slice` units of fuel (about one unit per instruction). Exact and repeatable: the
    /// same component is interrupted at the same places in every run, but for those in host calls. Default: 1,000,000 units.
    Fuel {
        /// Units of fuel between two checks.
        slice: u64,
    },
    /// Never. A guest that loops keeps its thread for as long as it likes, past every time limit, past
    /// `cancel` and past `close`. For trusted guests only.
    ///
    /// Its neighbours are served all the same: where somebody waits, another thread takes the worker's
    /// place, and the guest goes on in the background. At most as many as there are workers, or 16, can be
    /// stuck so at once.
    None,
}

impl Preemption {
    /// The default slice of [`Preemption::Epoch`]: 1 ms, as `tests/bench` found responsive enough at a
    /// cost that it could not measure.
    pub const DEFAULT_SLICE: Duration = Duration::from_millis(1);
    /// The default slice of [`Preemption::Fuel`]: 1,000,000 units, one to two percent slower than none.
    pub const DEFAULT_FUEL_SLICE: u64 = 1_000_000;

    /// Epochs, 1 ms apart.
    pub fn epoch() -> Self {
        Self::Epoch {
            slice: Self::DEFAULT_SLICE,
        }
    }

    /// Fuel, a check every 1,000,000 units.
    pub fn fuel() -> Self {
        Self::Fuel {
            slice: Self::DEFAULT_FUEL_SLICE,
        }
    }

    /// The word for this mode in messages and options: `epoch`, `fuel` or `none`.
    pub fn mode(&self) -> &'static str {
        match self {
            Self::Epoch { .. } => "epoch",
            Self::Fuel { .. } => "fuel",
            Self::None => "none",
        }
    }

    /// Whether a slice of this length makes sense: not zero.
    pub(crate) fn is_valid(&self) -> bool {
        match self {
            Self::Epoch { slice } => !slice.is_zero(),
            Self::Fuel { slice } => *slice > 0,
            Self::None => true,
        }
    }
}

impl Default for Preemption {
    fn default() -> Self {
        Self::epoch()
    }
}

impl fmt::Display for Preemption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epoch { slice } => write!(f, "epoch every {slice:?}"),
            Self::Fuel { slice } => write!(f, "fuel every {slice} units"),
            Self::None => f.write_str("none"),
        }
    }
}

/// Sets what scheduling needs in a configuration of the embedder's own: the interruption that
/// `preemption` names, and no component-model event loop in the store, which halves the cost of a
/// call and which plain WASI 0.2 components do not need.
///
/// Everything else stays as the caller set it. Call it before `Engine::new`, then
/// [`Runtime::attach`](crate::Runtime::attach) the engine with the same `preemption`.
///
/// ```
/// use hart_host::{Preemption, configure};
///
/// let mut config = wasmtime::Config::new();
/// configure(&mut config, Preemption::epoch());
/// let engine = wasmtime::Engine::new(&config)?;
/// # Ok::<(), wasmtime::Error>(())
/// ```
pub fn configure(config: &mut wasmtime::Config, preemption: Preemption) {
    config.epoch_interruption(matches!(preemption, Preemption::Epoch { .. }));
    config.consume_fuel(matches!(preemption, Preemption::Fuel { .. }));
    config.concurrency_support(false);
}
