//! A guest task that runs on another machine: it has a place in the tree of its run, and no slot, store or instance here.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;

use crate::instance::ended::Ended;
use crate::instance::ending::{finish, kill};
use crate::instance::guest::Guest;
use crate::quota::kill::Kill;

/// Waits for the end of a task elsewhere, as a task of its run.
struct Away {
    guest: Arc<Guest>,
    /// Dropped before it is done, it ends the task there.
    ended: BoxFuture<'static, Ended>,
}

/// Has a guest end as the future says.
pub(crate) fn send(guest: &Arc<Guest>, ended: BoxFuture<'static, Ended>) {
    let away = Away {
        guest: guest.clone(),
        ended,
    };
    let run = &guest.run;
    let task = run.runtime.executor.build_task().kind("away");
    let task = task.name(guest.name.clone()).group(&run.account.group);
    // An executor that is closed has dropped the task, which has told its joiners.
    if let Ok(handle) = task.try_spawn(away) {
        guest.control.spawned(handle.task());
    }
    // A kill that came before found nothing to drop.
    if let Some(reason) = guest.killed() {
        kill(guest, reason);
    }
}

impl Future for Away {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.ended.as_mut().poll(cx).map(|ended| {
            let guest = &self.guest;
            let ended = ended.explained(Some(&guest.name), || None);
            let ended = match guest.killed() {
                Some(kill) if ended.is_of_the_guest() => Ended::Killed(kill),
                _ => ended,
            };
            finish(guest, ended, None);
        })
    }
}

impl Drop for Away {
    /// However the executor disposes of the task: the outcome, if there is none yet.
    fn drop(&mut self) {
        let kill = self.guest.control.killed().unwrap_or(Kill::Cancelled);
        finish(&self.guest, Ended::Killed(kill), None);
    }
}
