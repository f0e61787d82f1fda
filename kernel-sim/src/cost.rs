//! What things cost on the simulated machine, in virtual nanoseconds.
//!
//! All are guesses of the right order of magnitude for a server core, made so that no cost is zero and
//! none drowns the others; a calibration against real runs would settle them. Only ratios matter to
//! what the oracles see.

/// A poll of a task, beside what the task itself spends: taking it from the queue and two state changes.
pub(crate) const POLL: u64 = 60;
/// Looking at one queue of another hart while searching.
pub(crate) const LOOK: u64 = 4;
/// Rounds over all queues that a searcher makes before it gives up (the executor's own constant).
pub(crate) const ROUNDS: u64 = 4;
/// Moving tasks from one queue to another, however many.
pub(crate) const STEAL: u64 = 300;
/// Announcing sleep, or taking that back: a lock and a fence.
pub(crate) const ANNOUNCE: u64 = 100;
/// Entering wait-for-interrupt.
pub(crate) const PARK: u64 = 500;
/// From an interrupt's arrival to the first instruction of the woken hart.
pub(crate) const WAKE: u64 = 1_000;
/// Sending an inter-processor interrupt.
pub(crate) const SEND: u64 = 150;
/// From sending an inter-processor interrupt to its arrival.
pub(crate) const INTERRUPT: u64 = 1_500;
/// Bringing a hart on line.
pub(crate) const BOOT: u64 = 20_000;

/// Hundredths of a nanosecond that a unit of fuel takes. A guess; `hart-sim calibrate` with the guest `compute
/// sort` found 8 on a server core, where a poll took 31 ns and waking a sleeping thread 38 us.
const FUEL: u64 = 50;

/// What so many units of fuel take.
pub(crate) fn fuel(units: u64) -> u64 {
    units * FUEL / 100
}

/// Figures of the cost model, as `hart-sim calibrate` compares them with real runs.
#[derive(Debug)]
#[non_exhaustive]
pub struct Cost;

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
impl Cost {
    /// Nanoseconds of a unit of fuel.
    pub const FUEL: f64 = FUEL as f64 / 100.0;
    /// Nanoseconds of a poll of a future, beside what it spends itself.
    pub const POLL: f64 = POLL as f64;
    /// Nanoseconds from an interrupt's sending to the first poll of the hart that it wakes: interrupt, wake,
    /// and finding what was queued.
    pub const WAKE: f64 = (INTERRUPT + WAKE + PARK + STEAL) as f64;
}
