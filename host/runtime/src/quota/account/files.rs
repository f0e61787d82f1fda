//! File descriptors that are counted for runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Account, Need};
use crate::quota::limits::LimitReached;

/// One descriptor, counted for a run while this lives.
pub(crate) struct HeldFile {
    account: Arc<Account>,
}

impl HeldFile {
    /// Counts one more, or names the limit that forbids it.
    pub(crate) fn new(account: &Arc<Account>) -> Result<Arc<Self>, LimitReached> {
        let need = Need {
            files: 1,
            ..Need::default()
        };
        let counted = account.reserve(need).and_then(|()| {
            account
                .host_files
                .take(account.files_to_share())
                .inspect_err(|_| account.release_file())
        });
        match counted {
            Ok(()) => Ok(Arc::new(Self {
                account: account.clone(),
            })),
            Err(reached) => {
                // The guest has an error code only, which names no limit.
                if !account.told_of_files.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "a guest of {} is refused a file: {reached}",
                        account.group.name()
                    );
                }
                Err(reached)
            }
        }
    }
}

impl Drop for HeldFile {
    fn drop(&mut self) {
        self.account.release_file();
        self.account.host_files.give_back();
    }
}

impl Account {
    /// What its tenant holds, or itself where it has none, if that may be as many as there are.
    fn files_to_share(&self) -> Option<u64> {
        let (limits, files) = match &self.tenant {
            Some(tenant) => (&tenant.limits, &tenant.files),
            None => (&self.limits, &self.files),
        };
        limits
            .files
            .is_none()
            .then(|| files.load(Ordering::Relaxed))
    }

    /// Gives back a file descriptor.
    fn release_file(&self) {
        self.files.fetch_sub(1, Ordering::Relaxed);
        if let Some(tenant) = &self.tenant {
            tenant.files.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
