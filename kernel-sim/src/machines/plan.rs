//! What the jobs of a case do, and on which terms the workers take them. All of it comes from the seed.

use fastrand::Rng;
use hart_host::work::JobStatus;

use crate::random::{log_uniform, one_in, stream};

pub(crate) const MILLISECOND: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000 * MILLISECOND;

/// When the last job is submitted at the latest.
const SUBMITTED: u64 = 20 * SECOND;

/// On which terms jobs are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Nanoseconds.
    pub(crate) lease: u64,
    pub(crate) deliveries: u32,
    /// For how many nanoseconds the stream remembers the ids of messages.
    pub(crate) remembers: u64,
}

/// What a job does when it is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    Ends(JobStatus),
    /// It runs until it is cancelled.
    Spins,
    /// It crashes its machine.
    Crashes,
}

/// A job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) submitted_at: u64,
    pub(crate) does: Does,
    /// Nanoseconds that a run takes.
    pub(crate) lasts: u64,
    /// How long after it was submitted it is cancelled.
    pub(crate) cancelled_after: Option<u64>,
}

impl Terms {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut rng = stream(seed, 20);
        Self {
            lease: log_uniform(&mut rng, SECOND, 8 * SECOND),
            deliveries: rng.u32(2..=6),
            remembers: log_uniform(&mut rng, SECOND, 120 * SECOND),
        }
    }
}

impl Plan {
    /// That of a job, whatever other jobs there are.
    pub(crate) fn draw(seed: u64, job: u32, terms: &Terms) -> Self {
        let mut rng = stream(seed, 1_000 + u64::from(job));
        let does = match rng.u32(..20) {
            0..=1 => Does::Spins,
            2 => Does::Crashes,
            3..=4 => Does::Ends(JobStatus::Error),
            5..=7 => Does::Ends(JobStatus::Failed),
            _ => Does::Ends(JobStatus::Ok),
        };
        let is_cancelled = does == Does::Spins || one_in(&mut rng, 5);
        Self {
            submitted_at: rng.u64(..SUBMITTED),
            does,
            lasts: log_uniform(&mut rng, 10 * MILLISECOND, 3 * terms.lease),
            cancelled_after: is_cancelled.then(|| cancelled_after(&mut rng, terms)),
        }
    }
}

fn cancelled_after(rng: &mut Rng, terms: &Terms) -> u64 {
    log_uniform(rng, MILLISECOND, 5 * terms.lease)
}
