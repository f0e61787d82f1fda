//! Timers.

use crate::machine::{Machine, Occurrence};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Waits for virtual time to pass: from [`Sim::sleep`](crate::Sim::sleep). The time begins with the first poll.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Sleep {
    machine: Arc<Machine>,
    nanoseconds: u64,
    deadline: Option<u64>,
    timer: Option<(u64, u64)>,
}

impl Sleep {
    pub(crate) fn new(machine: Arc<Machine>, nanoseconds: u64) -> Self {
        Self {
            machine,
            nanoseconds,
            deadline: None,
            timer: None,
        }
    }

    fn stop(&mut self) {
        let timer = self.timer.take();
        let old = timer.and_then(|key| self.machine.lock().unschedule(key));
        // Not under the lock: it holds a waker.
        drop(old);
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.stop();
        let waker = cx.waker().clone();
        let machine = self.machine.clone();
        let mut state = machine.lock();
        let end = state.now.saturating_add(self.nanoseconds);
        let deadline = *self.deadline.get_or_insert(end);
        if state.now >= deadline {
            drop(state);
            return Poll::Ready(());
        }
        let hart = state.current;
        let late = state.draw_late().unwrap_or(0);
        let key = state.schedule(
            deadline.saturating_add(late),
            Occurrence::Timer { hart, waker },
        );
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
