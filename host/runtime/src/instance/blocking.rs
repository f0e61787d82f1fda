//! What the embedder's code does on the host's threads for a guest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::instance::ending::kill;
use crate::instance::guest::Guest;
use crate::quota::kill::{Kill, Killed};
use crate::sched::io_threads::Meter;

/// What blocks, while it is done for a guest on a thread of the host's. From
/// [`Granted::blocking`](crate::Granted::blocking). Cheap to clone.
#[derive(Clone)]
pub struct Blocking {
    guest: Arc<Guest>,
    meter: Meter,
    /// Nobody waits for it any more.
    left: Arc<AtomicBool>,
}

impl Blocking {
    /// Charges the CPU time that was used since the last look, and says whether to go on. To be called about every
    /// millisecond: by SQLite's progress handler, between two rows, in a loop.
    ///
    /// Where that goes beyond a limit of CPU time, of the run, its tenant or the
    /// [call](crate::Call::cpu), this ends the run, as a guest that computes for too long does.
    ///
    /// # Errors
    ///
    /// Why nobody needs the result any more: the run is being ended, or the future was dropped. Return soon then; no guest
    /// sees what is returned.
    pub fn check(&self) -> Result<(), Killed> {
        let used = self.meter.charge();
        if let Some(limit) = self.guest.control.charge_aside(used) {
            kill(&self.guest, Kill::Limit(limit));
        }
        // Relaxed: it is the only thing that is told.
        let left = self.left.load(Ordering::Relaxed);
        match self.guest.killed() {
            Some(kill) => Err(Killed(kill)),
            None if left => Err(Killed(Kill::Cancelled)),
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for Blocking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocking")
            .field("task", &self.guest.id)
            .finish_non_exhaustive()
    }
}

/// Says so when it is dropped.
struct Leaves(Arc<AtomicBool>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does `operate` on a thread that is lent to the guest's run.
pub(crate) async fn block<R: Send + 'static>(
    guest: Arc<Guest>,
    operate: impl FnOnce(Blocking) -> R + Send + 'static,
) -> R {
    let run = &guest.run;
    let loan = run.io.own.lend(run.id, &run.account).await;
    let work = Blocking {
        meter: loan.meter().clone(),
        guest: guest.clone(),
        left: Arc::default(),
    };
    let _leaves = Leaves(work.left.clone());
    loan.block(move || {
        let done = operate(work.clone());
        // What it has used since its last look counts for limits, too.
        let _ = work.check();
        done
    })
    .await
}
