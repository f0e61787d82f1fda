//! A guest under many seeds.

use crate::{
    config::Config,
    faults::Faults,
    guest::{GuestError, Simulated},
    oracle::Failure,
    random::stream,
    schedule::Schedule,
};
use std::ops::Range;

/// Runs that may be spent on making a failing one smaller.
const TRIES: usize = 60;

/// Seeds, and what machines are made of them. What is not given is drawn from each seed.
///
/// # Examples
///
/// A test of a guest is a few lines; the panic's message has the seed, and how to replay it:
///
/// ```
/// use hart_sim::{Faults, Guest, Seeds};
///
/// # fn component() -> &'static [u8] {
/// #     br#"(component
/// #         (core module $m (func (export "f") (result i32) i32.const 42))
/// #         (core instance $i (instantiate $m))
/// #         (func (export "answer") (result u32) (canon lift (core func $i "f"))))"#
/// # }
/// // #[test]
/// fn the_guest_holds_up() {
///     let guest = Guest::new(component()).unwrap().invoke("answer()");
///     Seeds::new(0..100).faults(Faults::of([])).check(&guest);
/// }
/// # the_guest_holds_up();
/// ```
#[derive(Clone, Debug)]
#[must_use = "seeds do nothing until they are checked"]
pub struct Seeds {
    range: Range<u64>,
    harts: Option<usize>,
    schedule: Option<Schedule>,
    faults: Faults,
}

/// A seed that fails.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Found {
    /// The machine.
    pub config: Config,
    /// What fails.
    pub failure: Failure,
    /// A smaller machine that fails in the same way; the same one, if there is none.
    pub smaller: Config,
    /// How that one fails.
    pub smaller_failure: Failure,
}

impl Seeds {
    /// These seeds, without faults.
    pub fn new(range: Range<u64>) -> Self {
        Self {
            range,
            harts: None,
            schedule: None,
            faults: Faults::none(),
        }
    }

    /// How many harts; else 2 to 8.
    pub fn harts(mut self, harts: usize) -> Self {
        self.harts = Some(harts);
        self
    }

    /// Which hart goes on next; else drawn.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// What goes wrong. A guest that such faults end, or that fails because of them, is no failure.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// The machine of a seed.
    pub fn config(&self, seed: u64) -> Config {
        let mut rng = stream(seed, 6);
        let harts = rng.usize(2..=8);
        let schedule = match rng.u32(..5) {
            0 => Schedule::RoundRobin,
            1 => Schedule::Pct(rng.u32(1..5)),
            _ => Schedule::Random,
        };
        Config {
            harts: self.harts.unwrap_or(harts),
            schedule: self.schedule.unwrap_or(schedule),
            faults: self.faults,
            guest_must_succeed: true,
            ..Config::new(seed)
        }
    }

    /// Runs the guest under every seed, until one fails; `before` is told each seed.
    ///
    /// # Errors
    ///
    /// As [`Guest::run`](crate::Guest::run).
    pub fn explore(
        &self,
        guest: &impl Simulated,
        mut before: impl FnMut(u64),
    ) -> Result<Option<Found>, GuestError> {
        for seed in self.range.clone() {
            before(seed);
            let config = self.config(seed);
            if let Some(failure) = guest.outcome(&config)?.failure {
                let (smaller, smaller_failure) = smaller(guest, &config, &failure)?;
                return Ok(Some(Found {
                    config,
                    failure,
                    smaller,
                    smaller_failure,
                }));
            }
        }
        Ok(None)
    }

    /// Runs the guest under every seed.
    ///
    /// # Panics
    ///
    /// At the first seed that fails, with the seed and the failure in the message; and if the guest cannot be
    /// run at all.
    #[track_caller]
    pub fn check(&self, guest: &impl Simulated) {
        match self.explore(guest, |_| {}) {
            Ok(None) => {}
            Ok(Some(found)) => panic!(
                "seed {} fails: {}\nto run it again: Seeds::new({}..{}), or hart sim {}",
                found.config.seed,
                found.failure,
                found.config.seed,
                found.config.seed + 1,
                found.config.options()
            ),
            Err(error) => panic!("the guest cannot be run: {error}"),
        }
    }
}

impl Found {
    /// The options of `hart sim` that make the same machine.
    pub fn options(&self) -> String {
        self.config.options()
    }

    /// Those that make the smaller one.
    pub fn smaller_options(&self) -> String {
        self.smaller.options()
    }
}

/// A smaller machine on which the guest fails in the same way: fewer faults, fewer harts, less chance.
fn smaller(
    guest: &impl Simulated,
    config: &Config,
    failure: &Failure,
) -> Result<(Config, Failure), GuestError> {
    let mut best = (config.clone(), failure.clone());
    let mut left = TRIES;
    'again: loop {
        for smaller in candidates(&best.0) {
            if left == 0 {
                return Ok(best);
            }
            left -= 1;
            if let Some(found) = guest.outcome(&smaller)?.failure
                && found.oracle == failure.oracle
            {
                best = (smaller, found);
                continue 'again;
            }
        }
        return Ok(best);
    }
}

fn candidates(config: &Config) -> Vec<Config> {
    let faults = config.faults.kinds().map(|kind| Config {
        faults: config.faults.without(kind),
        ..config.clone()
    });
    let harts = [config.harts / 2, config.harts - 1]
        .into_iter()
        .filter(|&harts| harts > 0)
        .map(|harts| Config {
            harts,
            ..config.clone()
        });
    let schedules = config.schedule.simpler().into_iter();
    let schedules = schedules.map(|schedule| Config {
        schedule,
        ..config.clone()
    });
    faults.chain(harts).chain(schedules).collect()
}
