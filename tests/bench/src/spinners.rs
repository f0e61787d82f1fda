//! Guests that spin until they are stopped.

use crate::{
    ground::{Ground, Group, WEIGHT},
    guest::{Call, Crowd, Pace, State, Tally},
};
use std::{sync::Arc, time::Duration};

/// How long a spinner works between two signs of life.
pub(crate) const PIECE: Duration = Duration::from_micros(50);

#[derive(Default)]
pub(crate) struct Spinners {
    tally: Arc<Tally>,
    crowd: Arc<Crowd>,
    count: usize,
}

impl Spinners {
    /// Starts guests, each a group of its own.
    pub(crate) fn start(ground: &dyn Ground, count: usize, pace: Pace) -> Self {
        let mut spinners = Self::default();
        for _ in 0..count {
            spinners.add(ground, &ground.group(WEIGHT), pace);
        }
        spinners
    }

    /// Starts guests of one group.
    pub(crate) fn of(ground: &dyn Ground, group: &Group, count: usize, pace: Pace) -> Self {
        let mut spinners = Self::default();
        for _ in 0..count {
            spinners.add(ground, group, pace);
        }
        spinners
    }

    fn add(&mut self, ground: &dyn Ground, group: &Group, pace: Pace) {
        let iterations = pace.iterations(PIECE);
        self.call(ground, group, Call::Spin { iterations });
    }

    /// Starts a guest that tells what it has done.
    pub(crate) fn call(&mut self, ground: &dyn Ground, group: &Group, call: Call) {
        let mut state = State::new(&self.crowd);
        state.tally = self.tally.clone();
        drop(ground.start(group, call, state));
        self.count += 1;
    }

    /// Waits until all of them spin.
    pub(crate) fn wait(&self) {
        self.tally.wait_for(self.count);
    }

    /// Pieces of work that they have done.
    pub(crate) fn pieces(&self) -> u64 {
        self.tally.done()
    }

    pub(crate) fn stop(self) {
        self.tally.stop();
        self.crowd.wait();
    }
}
