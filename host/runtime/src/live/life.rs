//! One run of an instance, and why it ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use crate::base::stats::RunStats;
use crate::base::sync::lock;
use crate::instance::error::RunError;
use crate::instance::record::RunRecord;
use crate::instance::registry::LiveRun as _;
use crate::quota::kill::Kill;

/// One run of an instance. A flag is set once, with Release, which pairs with the Acquire in [`is`](Self::is): whoever sees it
/// sees what was done before. `begun`, and `gone` of a run that was launched, are set under the lock of its queue.
#[derive(Default)]
pub(super) struct Life {
    record: OnceLock<Arc<RunRecord>>,
    /// Why it ended, or why it never began.
    reason: Mutex<Option<Arc<RunError>>>,
    /// Its driver has begun.
    pub(super) begun: AtomicBool,
    /// Its store is gone.
    pub(super) gone: AtomicBool,
    /// A call was done well.
    pub(super) has_served: AtomicBool,
}

impl Life {
    /// Whoever launches it says this, and its driver, which may be sooner.
    pub(super) fn is_of(&self, record: &Arc<RunRecord>) {
        // Both say the same.
        let _ = self.record.set(record.clone());
    }

    pub(super) fn is_run(&self) -> bool {
        self.record.get().is_some()
    }

    pub(super) fn refuse(&self, error: RunError) {
        *lock(&self.reason) = Some(Arc::new(error));
    }

    pub(super) fn kill(&self, kill: Kill) {
        if let Some(record) = self.record.get() {
            record.kill(kill);
        }
    }

    pub(super) fn stats(&self) -> Option<RunStats> {
        self.record.get().map(|record| record.stats())
    }

    pub(super) fn is(&self, flag: impl Fn(&Self) -> &AtomicBool) -> bool {
        flag(self).load(Ordering::Acquire)
    }

    /// Waits until nothing of the run is left, and says why it ended.
    pub(super) async fn reason(&self) -> Arc<RunError> {
        if let Some(record) = self.record.get() {
            record.finished().wait(|| record.is_over()).await;
        }
        let mut reason = lock(&self.reason);
        let result = || self.record.get().and_then(|record| record.take_result());
        let why = reason.get_or_insert_with(|| {
            // One that ended by itself was let go of: nobody called any more.
            let failed = result().and_then(Result::err);
            Arc::new(failed.unwrap_or(RunError::Cancelled))
        });
        why.clone()
    }
}
