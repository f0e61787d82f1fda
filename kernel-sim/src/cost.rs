//! What things cost on the simulated machine, in virtual nanoseconds.
//!
//! Those marked "measured" come from `hart-sim calibrate target/guests/compute.wasm sort`, a release build, on
//! the 25th of November 2026: a virtual machine with 2 cores of an AMD EPYC, Linux 6.18. What others do on such
//! a computer only ever adds, so they are rounded down. The others are guesses of the right order of magnitude.

/// Hundredths of a nanosecond that a unit of fuel takes. Measured: 7.6.
const FUEL: u64 = 8;
/// Making a guest's task and its instance, and disposing of both: spent at its first poll. Measured: 8,613.
pub(crate) const INSTANCE: u64 = 8_600;
/// A poll of a task, beside what the task itself spends: taking it from the queue and two state changes.
/// Measured: 48.
pub(crate) const POLL: u64 = 48;
/// Looking at one queue of another hart while searching.
pub(crate) const LOOK: u64 = 4;
/// Rounds over all queues that a searcher makes before it gives up (the executor's own constant).
pub(crate) const ROUNDS: u64 = 4;
/// Moving tasks from one queue to another, however many.
pub(crate) const STEAL: u64 = 300;
/// Announcing sleep, or taking that back: a lock and a fence.
pub(crate) const ANNOUNCE: u64 = 100;
/// Entering wait-for-interrupt.
pub(crate) const PARK: u64 = 700;
/// From an interrupt's arrival to the first instruction of the woken hart.
pub(crate) const WAKE: u64 = 7_000;
/// Sending an inter-processor interrupt.
pub(crate) const SEND: u64 = 150;
/// From sending an inter-processor interrupt to its arrival. Measured: 38,000 in all from there to the woken
/// hart's first poll, with `WAKE`, `PARK` and `STEAL`; how it is divided among these is a guess.
pub(crate) const INTERRUPT: u64 = 30_000;
/// Bringing a hart on line.
pub(crate) const BOOT: u64 = 20_000;

/// Having the lock of a fair lane, when all that is behind it is in the core's own cache. Measured: 50, by
/// `hart-bench executor --only lane_hold`.
pub(crate) const LANE_HOLD: u64 = 50;
/// Lines that come one after the other from the core that had the lock before; of the 20 or so that a turn writes the others
/// come meanwhile. Measured: where two cores do nothing but take turns of 50 groups with two tasks, one takes 215 with the hold.
pub(crate) const LANE_LINES: u64 = 7;
/// A line from another core of the same domain. From the literature, not measured here: core-to-core latencies of AMD's
/// Zen 2 and 3 are 20 to 30 within a core complex.
pub(crate) const NEAR: u64 = 25;
/// The same from a core of another domain: 80 to 120 within a socket.
pub(crate) const FAR: u64 = 100;

/// A task of a group goes on where it was not before: what it needs of its data comes again, from a cache that is further
/// away. A guess, for a guest that has little: some twenty lines. For one that computes on much it is a hundred times as
/// much.
pub(crate) const MOVED: u64 = 500;

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
    /// Nanoseconds of a guest's task with an instance of its own, beside what it computes.
    pub const INSTANCE: f64 = INSTANCE as f64;
    /// Nanoseconds of a poll of a future, beside what it spends itself.
    pub const POLL: f64 = POLL as f64;
    /// Nanoseconds of taking tasks from another queue.
    pub const STEAL: f64 = STEAL as f64;
    /// Nanoseconds of a look at another hart's queue.
    pub const LOOK: f64 = LOOK as f64;
    /// Looks at each queue before a hart sleeps: those of its search, and one after its announcement.
    pub const LOOKS: u32 = ROUNDS as u32 + 1;
    /// Nanoseconds from a hart's last task to its sleep, where there is one other: a search, the
    /// announcement, and one more look.
    pub const IDLE: f64 = (ANNOUNCE + 2 * LOOK * (ROUNDS + 1)) as f64;
    /// Nanoseconds for which a core has a fair lane's lock that another core of its domain had before.
    pub const LANE: f64 = (LANE_HOLD + LANE_LINES * NEAR) as f64;
    /// Nanoseconds of sending an interrupt.
    pub const SEND: f64 = SEND as f64;
    /// Nanoseconds from an interrupt's sending to the first poll of the hart that it wakes: interrupt, wake,
    /// and finding what was queued.
    pub const WAKE: f64 = (INTERRUPT + WAKE + PARK + STEAL) as f64;
}
