//! Timers.

use super::Sim;
use crate::machine::Occurrence;
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// Waits for virtual time to pass: from [`Sim::sleep`]. The time begins with the first poll.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Sleep {
    sim: Sim,
    nanoseconds: u64,
    deadline: Option<u64>,
    timer: Option<(u64, u64)>,
}

impl Sleep {
    pub(super) fn new(sim: Sim, nanoseconds: u64) -> Self {
        Self {
            sim,
            nanoseconds,
            deadline: None,
            timer: None,
        }
    }

    fn stop(&mut self) {
        let timer = self.timer.take();
        let old = timer.and_then(|key| self.sim.machine().lock().unschedule(key));
        // Not under the lock: it holds a waker.
        drop(old);
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.stop();
        let waker = cx.waker().clone();
        let sim = self.sim.clone();
        let mut state = sim.machine().lock();
        let end = state.now + self.nanoseconds;
        let deadline = *self.deadline.get_or_insert(end);
        if state.now >= deadline {
            drop(state);
            return Poll::Ready(());
        }
        let hart = state.current;
        let late = state.draw_late().unwrap_or(0);
        let key = state.schedule(deadline + late, Occurrence::Timer { hart, waker });
        drop(state);
        self.timer = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.stop();
    }
}
