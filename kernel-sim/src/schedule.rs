//! Which hart goes on next.
//!
//! Time decides first: a hart goes on when its own busy time is over. Within a *window* after the earliest
//! of them the policy may choose another; the one passed over is late by at most the window, as if it had
//! been interrupted. So every order of events that such delays can produce may come up, and none that
//! breaks cause and effect: the machine's clock never goes back.

use crate::random::stream;
use fastrand::Rng;
use std::{fmt, str::FromStr};

/// How the next hart is chosen among those that are ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Schedule {
    /// Any of them, by the seed; the window is drawn too.
    #[default]
    Random,
    /// Probabilistic concurrency testing: the one with the highest priority, which the seed lowers at
    /// this many points.
    Pct(u32),
    /// One after the other.
    RoundRobin,
    /// Strictly by time: no hart is ever late.
    Time,
}

impl Schedule {
    /// Those with less chance in them: a run that fails under one of these too is easier to follow.
    pub(crate) fn simpler(self) -> Vec<Self> {
        match self {
            Self::Time => Vec::new(),
            Self::RoundRobin => vec![Self::Time],
            Self::Pct(bound) => {
                let fewer = (1..bound).map(Self::Pct);
                [Self::Time, Self::RoundRobin]
                    .into_iter()
                    .chain(fewer)
                    .collect()
            }
            Self::Random => vec![Self::Time, Self::RoundRobin, Self::Pct(1), Self::Pct(3)],
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random => f.write_str("random"),
            Self::Pct(bound) => write!(f, "pct:{bound}"),
            Self::RoundRobin => f.write_str("round-robin"),
            Self::Time => f.write_str("time"),
        }
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "random" => Ok(Self::Random),
            "round-robin" => Ok(Self::RoundRobin),
            "time" => Ok(Self::Time),
            "pct" => Ok(Self::Pct(3)),
            _ => text
                .strip_prefix("pct:")
                .and_then(|bound| bound.parse().ok())
                .map(Self::Pct)
                .ok_or_else(|| {
                    format!("no schedule `{text}`: use random, pct, pct:BOUND, round-robin or time")
                }),
        }
    }
}

/// Steps over which the points of [`Schedule::Pct`] are spread. A guess at the length of a run.
const PCT_STEPS: u64 = 4_000;

/// Candidates that are looked at.
pub(crate) const CANDIDATES: usize = 16;

pub(crate) struct Picker {
    policy: Schedule,
    window: u64,
    rng: Rng,
    /// By hart, for PCT.
    priorities: Vec<u64>,
    /// Choices at which PCT lowers a priority, the next one last.
    points: Vec<u64>,
    choices: u64,
    last: usize,
}

impl Picker {
    pub(crate) fn new(policy: Schedule, seed: u64, harts: usize) -> Self {
        let mut rng = stream(seed, 2);
        let (window, points) = match policy {
            Schedule::Random => ([0, 500, 5_000, 50_000][rng.usize(..4)], Vec::new()),
            Schedule::RoundRobin => (5_000, Vec::new()),
            Schedule::Time => (0, Vec::new()),
            Schedule::Pct(bound) => {
                let mut points: Vec<_> = (0..bound).map(|_| rng.u64(0..PCT_STEPS)).collect();
                points.sort_unstable_by(|a, b| b.cmp(a));
                (50_000, points)
            }
        };
        Self {
            policy,
            window,
            // Above all that a lowering gives.
            priorities: (0..harts)
                .map(|_| rng.u64(u64::MAX / 2..u64::MAX))
                .collect(),
            points,
            rng,
            choices: 0,
            last: 0,
        }
    }

    /// How late a hart may be made.
    pub(crate) fn window(&self) -> u64 {
        self.window
    }

    /// Which of `candidates` (harts, the earliest first, at least one) goes on.
    pub(crate) fn pick(&mut self, candidates: &[usize]) -> usize {
        self.choices += 1;
        let at = match self.policy {
            _ if candidates.len() == 1 => 0,
            Schedule::Time => 0,
            Schedule::Random => self.rng.usize(..candidates.len()),
            Schedule::RoundRobin => {
                let after = |hart: usize| {
                    (hart + self.priorities.len() - self.last - 1) % self.priorities.len()
                };
                (0..candidates.len())
                    .min_by_key(|&at| after(candidates[at]))
                    .unwrap_or(0)
            }
            Schedule::Pct(_) => (0..candidates.len())
                .max_by_key(|&at| self.priorities[candidates[at]])
                .unwrap_or(0),
        };
        self.last = candidates[at];
        if self
            .points
            .last()
            .is_some_and(|&point| point <= self.choices)
        {
            self.points.pop();
            self.priorities[self.last] = self.points.len() as u64;
        }
        at
    }
}
