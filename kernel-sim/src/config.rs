//! What a machine is like, and what goes wrong with it.

use crate::{faults::Faults, schedule::Schedule};

/// The most harts that a machine has.
pub const MAX_HARTS: usize = 1024;

/// Harts that share a cache, if nothing else is said.
pub const IN_DOMAIN: usize = 8;

/// A machine and what goes wrong with it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Everything random comes from it.
    pub seed: u64,
    /// How many harts, 1 to [`MAX_HARTS`].
    pub harts: usize,
    /// How many of them share a cache: those are a domain. At least 1.
    pub in_domain: usize,
    /// All of them have one fair lane, whatever caches they share: to compare with.
    pub one_lane: bool,
    /// Which of them goes on next.
    pub schedule: Schedule,
    /// What goes wrong.
    pub faults: Faults,
    /// Keeps every event, not only the last.
    pub keep_trace: bool,
    /// Steps after which a run counts as one that never ends.
    pub max_steps: u64,
    /// Lets other harts go on where a task's wake or spawn has just sent an interrupt. Finds more; but no
    /// task may call a waker, or spawn, while it holds a lock that others want.
    pub pause_in_wakes: bool,
    /// Counts a guest that fails, though no fault harmed it, as a broken promise.
    pub guest_must_succeed: bool,
}

impl Config {
    /// Four harts, a random schedule, no faults.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            harts: 4,
            in_domain: IN_DOMAIN,
            one_lane: false,
            schedule: Schedule::Random,
            faults: Faults::none(),
            keep_trace: false,
            max_steps: 20_000_000,
            pause_in_wakes: false,
            guest_must_succeed: false,
        }
    }

    /// The same for guests: their stacks must not be left in the middle of a call.
    pub(crate) fn of_guests(&self) -> Self {
        Self {
            pause_in_wakes: false,
            ..self.clone()
        }
    }

    /// What makes this machine again, as options of the command line.
    pub fn options(&self) -> String {
        let domain = match self.in_domain {
            IN_DOMAIN => String::new(),
            harts => format!(" --domain {harts}"),
        };
        format!(
            "--seed {} --harts {}{domain} --schedule {} --faults {}",
            self.seed, self.harts, self.schedule, self.faults
        )
    }
}
