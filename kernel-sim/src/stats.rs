//! What a run amounted to.

use std::fmt;

/// What one hart did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HartStats {
    /// Polls, and references to cancelled tasks that it dropped.
    pub polls: u64,
    /// How often it moved tasks to its queue.
    pub steals: u64,
    /// How many.
    pub stolen: u64,
    /// How often it waited for an interrupt.
    pub parks: u64,
    /// Virtual nanoseconds that it waited.
    pub idle: u64,
    /// Virtual nanoseconds that its tasks spent.
    pub busy: u64,
    /// Tasks of groups that it went on with and that were polled on another hart before.
    pub moved: u64,
    /// Virtual nanoseconds for which it waited for locks of fair lanes and had them.
    pub lanes: u64,
}

/// What a run amounted to. The same case gives the same, to the last bit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// A hash of every event: two runs with the same one did the same.
    pub hash: u64,
    /// Steps of workers.
    pub steps: u64,
    /// Virtual nanoseconds from start to end.
    pub time: u64,
    /// Tasks spawned.
    pub tasks: u64,
    /// Polls that a preemption point ended.
    pub preemptions: u64,
    /// By hart.
    pub harts: Vec<HartStats>,
}

impl Stats {
    /// All harts' together.
    pub fn total(&self) -> HartStats {
        self.harts
            .iter()
            .fold(HartStats::default(), |all, hart| HartStats {
                polls: all.polls + hart.polls,
                steals: all.steals + hart.steals,
                moved: all.moved + hart.moved,
                lanes: all.lanes + hart.lanes,
                stolen: all.stolen + hart.stolen,
                parks: all.parks + hart.parks,
                idle: all.idle + hart.idle,
                busy: all.busy + hart.busy,
            })
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        writeln!(
            f,
            "trace hash {:016x}, {} steps, {} ns, {} tasks, {} preemptions",
            self.hash, self.steps, self.time, self.tasks, self.preemptions
        )?;
        writeln!(
            f,
            "{:>6} {:>10} {:>8} {:>8} {:>8} {:>14} {:>14}",
            "hart", "polls", "steals", "stolen", "parks", "busy ns", "idle ns"
        )?;
        let row = |f: &mut fmt::Formatter<'_>, name: &str, hart: &HartStats| {
            writeln!(
                f,
                "{name:>6} {:>10} {:>8} {:>8} {:>8} {:>14} {:>14}",
                hart.polls, hart.steals, hart.stolen, hart.parks, hart.busy, hart.idle
            )
        };
        for (at, hart) in self.harts.iter().enumerate() {
            row(f, &at.to_string(), hart)?;
        }
        row(f, "all", &total)
    }
}
