//! Workloads of futures: parts of a known shape, mixed by the seed.
//!
//! Every part holds up under every fault: what it spawns may be refused, cancelled or closed at any time,
//! and it ends all the same. What it expects where nothing of that happened, it says with [`Sim::expect`].

mod compute;
mod fair;
mod talk;
mod trouble;

use crate::{random::stream, sim::Sim};
use fastrand::Rng;
use std::{fmt, str::FromStr};

/// The shape of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// A tree of tasks that spawn and join their children.
    Tree,
    /// Rounds of many short tasks, all joined.
    Fork,
    /// One task spawns many whose lengths differ a hundredfold, and joins none.
    Skew,
    /// Spawns from outside, in bursts.
    Burst,
    /// Tasks that yield all the time, while others come from outside.
    Busy,
    /// Many tasks that wait for the same thing, again and again.
    Storm,
    /// Producers and consumers on bounded channels.
    Channel,
    /// Groups with weights that compute all the time: their shares are checked.
    Fair,
    /// A group that sleeps an instant after every turn, beside others that do not.
    Nap,
    /// Tasks that are cancelled at some moment.
    Cancel,
    /// Tasks that panic.
    Panic,
    /// Tasks that wait for ever, and are woken for nothing.
    Daemon,
    /// A task closes the executor.
    Close,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Tree,
        Self::Fork,
        Self::Skew,
        Self::Burst,
        Self::Busy,
        Self::Storm,
        Self::Channel,
        Self::Fair,
        Self::Nap,
        Self::Cancel,
        Self::Panic,
        Self::Daemon,
        Self::Close,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Fork => "fork",
            Self::Skew => "skew",
            Self::Burst => "burst",
            Self::Busy => "busy",
            Self::Storm => "storm",
            Self::Channel => "channel",
            Self::Fair => "fair",
            Self::Nap => "nap",
            Self::Cancel => "cancel",
            Self::Panic => "panic",
            Self::Daemon => "daemon",
            Self::Close => "close",
        }
    }
}

/// A part of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it does.
    pub shape: Shape,
    /// Roughly how many tasks; for groups that compute, how many milliseconds.
    pub size: u32,
}

/// What a machine has to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// All at once.
    pub parts: Vec<Part>,
}

impl Workload {
    /// One to four parts of up to 40 tasks.
    pub fn draw(seed: u64) -> Self {
        let mut rng = stream(seed, 3);
        let parts = (0..rng.usize(1..=4))
            .map(|_| Part {
                shape: Shape::ALL[rng.usize(..Shape::ALL.len())],
                size: rng.u32(2..=40),
            })
            .collect();
        Self { parts }
    }

    /// Begins it, from outside every hart.
    pub fn start(&self, sim: &Sim) {
        for (at, part) in self.parts.iter().enumerate() {
            let rng = sim.random(at as u64);
            part.start(sim, rng);
        }
    }
}

impl Part {
    fn start(self, sim: &Sim, rng: Rng) {
        let size = self.size.max(1);
        match self.shape {
            Shape::Tree => compute::tree(sim, size, rng),
            Shape::Fork => compute::fork(sim, size, rng),
            Shape::Skew => compute::skew(sim, size, rng),
            Shape::Burst => compute::burst(sim, size, rng),
            Shape::Busy => compute::busy(sim, size, rng),
            Shape::Storm => talk::storm(sim, size, rng),
            Shape::Channel => talk::channel(sim, size, rng),
            Shape::Fair => fair::fair(sim, size, rng),
            Shape::Nap => fair::nap(sim, size, rng),
            Shape::Cancel => trouble::cancel(sim, size, rng),
            Shape::Panic => trouble::panic(sim, size, rng),
            Shape::Daemon => trouble::daemon(sim, size, rng),
            Shape::Close => trouble::close(sim, size, rng),
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for part in &self.parts {
            write!(f, "{separator}{}:{}", part.shape.name(), part.size)?;
            separator = ",";
        }
        Ok(())
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = |text: &str| {
            let (name, size) = text.split_once(':').unwrap_or((text, "16"));
            let shape = Shape::ALL
                .into_iter()
                .find(|shape| shape.name() == name)
                .ok_or_else(|| {
                    let names: Vec<_> = Shape::ALL.iter().map(|shape| shape.name()).collect();
                    format!(
                        "no workload `{name}`: use some of {}, each with `:SIZE` if you like",
                        names.join(",")
                    )
                })?;
            let size = size
                .parse()
                .map_err(|_| format!("`{size}` is no size: give a number, as in `{name}:16`"))?;
            Ok(Part { shape, size })
        };
        let parts: Result<Vec<_>, String> = text.split(',').map(part).collect();
        Ok(Self { parts: parts? })
    }
}
