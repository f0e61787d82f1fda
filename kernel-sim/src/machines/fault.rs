//! What goes wrong between machines.

use crate::faults::Kind;

/// A kind of fault of several machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Fault {
    /// A message is lost.
    Loss,
    /// A message takes long, and others overtake it.
    Delay,
    /// A message arrives twice.
    Duplicate,
    /// A machine cannot reach the stream for a while, nor be reached.
    Partition,
    /// A machine loses all that it knows, and starts again later. There are jobs that crash every machine that runs them.
    Crash,
    /// A machine stands still for a while.
    Pause,
    /// The clocks of machines are not equally fast.
    Drift,
    /// Leases are extended late.
    Slow,
    /// The stream's server closes all connections, and knows only what it has stored.
    Restart,
    /// A machine's worker is stopped: it ends its jobs or gives them back, and starts again.
    Drain,
    /// A machine has no room for a run though the worker has.
    Full,
}

impl Fault {
    /// Whether the lease of a job may run out while it is run.
    pub(crate) fn breaks_leases(self) -> bool {
        !matches!(self, Self::Drift | Self::Restart | Self::Drain | Self::Full)
    }

    /// Whether a job may be delivered so often that it is given up.
    pub(crate) fn takes_deliveries(self) -> bool {
        !matches!(self, Self::Drift | Self::Full | Self::Drain)
    }
}

impl Kind for Fault {
    const ALL: &'static [Self] = &[
        Self::Loss,
        Self::Delay,
        Self::Duplicate,
        Self::Partition,
        Self::Crash,
        Self::Pause,
        Self::Drift,
        Self::Slow,
        Self::Restart,
        Self::Drain,
        Self::Full,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Delay => "delay",
            Self::Duplicate => "duplicate",
            Self::Partition => "partition",
            Self::Crash => "crash",
            Self::Pause => "pause",
            Self::Drift => "drift",
            Self::Slow => "slow",
            Self::Restart => "restart",
            Self::Drain => "drain",
            Self::Full => "full",
        }
    }

    fn number(self) -> u16 {
        self as u16
    }
}
