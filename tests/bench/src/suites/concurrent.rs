//! Guests that use component-model async: many tasks in one instance, on one event loop.
//!
//! | case | hart | the peer |
//! | --- | --- | --- |
//! | `sleepers` | wakes a second of 10,000 tasks that sleep 10 ms in turn, alone on the machine | tokio, a thread |
//! | `wake/N` | how late tasks of such a guest are, beside N guests that spin | the same |
//! | `fan-out` | a guest that spawns and awaits 1,000 tasks that compute, on two workers | on one |
//! | `fan-out/inside` | the same work in futures of the guest's own, on two workers | on one: nothing is gained |
//! | `memory` | a pending task inside of one instance | a guest of WASI 0.2 that is parked |
//!
//! A guest is one group, however many tasks it holds: among 128 guests that spin its share is 2 / 129 of a core,
//! 1.55 %. In `wake` its 10,000 tasks sleep two minutes each, so that 83 wake in a second, and work for 5 us each; with
//! what the event loop takes for it, a row's figure, that was 46 % of its share on a busy machine, where guests use a
//! quarter of theirs in suite `latency`: a wake that comes alone takes 20 to 120 us all told, for 10,000 tasks are in
//! nobody's cache. With rests of 20 s it was 65 to 130 % of its share, and with rests of a minute 60 %: whoever asks for
//! more than a fair share waits, for 65 ms whenever it had used a slice too much.

mod fan_out;
pub(crate) mod memory;
mod sleepers;
mod suite;

use crate::measure::Bench;

pub(crate) fn run(bench: &mut Bench) {
    sleepers::run(bench);
    fan_out::run(bench);
    memory::run(bench);
}
