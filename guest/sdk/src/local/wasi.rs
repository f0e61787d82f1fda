//! Where an in-guest executor sleeps, in a component: in `wasi:io/poll`.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

mod bindings {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::undocumented_unsafe_blocks,
        clippy::multiple_unsafe_ops_per_block,
        reason = "generated from wit/"
    )]

    wit_bindgen::generate!({
        path: ["wit/exec/deps/io", "wit"],
        world: "hart:guest/local",
        generate_all,
    });
}

use bindings::wasi::clocks::monotonic_clock;
use wasi::io::poll::{Pollable, poll};

/// The bindings of WASI that this crate's pollables are made of, for `with` in other bindings:
///
/// ```ignore
/// wit_bindgen::generate!({
///     world: "my-world",
///     with: { "wasi:io/poll@0.2.0": hart_guest::wasi::io::poll },
/// });
/// ```
pub mod wasi {
    pub use super::bindings::wasi::{clocks, io};
}

/// A waker leaves it, and the worker takes it when it would sleep. There is one thread: nothing has to be ordered.
#[derive(Default)]
pub(super) struct Token(AtomicBool);

impl Token {
    pub(super) fn leave(&self) {
        self.0.store(true, Relaxed);
    }

    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Relaxed)
    }
}

/// Nanoseconds on a clock that never goes back.
pub(super) fn now() -> u64 {
    monotonic_clock::now()
}

/// A pollable for a time, kept for as long as that is the time to wait for.
#[derive(Default)]
pub(super) struct Alarm(Option<(u64, Pollable)>);

impl Alarm {
    fn at(&mut self, time: u64) -> &Pollable {
        if self.0.as_ref().is_none_or(|(at, _)| *at != time) {
            self.0 = None;
        }
        let (_, pollable) = self
            .0
            .get_or_insert_with(|| (time, monotonic_clock::subscribe_instant(time)));
        pollable
    }

    /// Waits until one of the pollables is ready, or the time has come; the places of those that are ready.
    pub(super) fn wait<'a>(
        &'a mut self,
        pollables: impl Iterator<Item = &'a Pollable>,
        until: Option<u64>,
    ) -> Vec<u32> {
        let mut all: Vec<&Pollable> = pollables.collect();
        let pollables = all.len();
        if let Some(time) = until {
            all.push(self.at(time));
        }
        let mut ready = poll(&all);
        ready.retain(|&place| (place as usize) < pollables);
        ready
    }
}
