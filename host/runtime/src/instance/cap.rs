//! Limits of live tasks that guests set for what is below a task.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use crate::base::sync::lock;
use crate::quota::limits::{LimitKind, LimitReached};

/// A limit of live tasks that a guest's options set for what is below a task.
pub(crate) struct Cap {
    live: AtomicU32,
    max: u32,
    above: Option<Arc<Cap>>,
    /// Held by whoever counts in it; one for all that are above or below each other.
    entering: Arc<Mutex<()>>,
}

impl Cap {
    pub(crate) fn new(max: u32, above: Option<Arc<Cap>>) -> Arc<Self> {
        let entering = above
            .as_ref()
            .map_or_else(Arc::default, |above| above.entering.clone());
        Arc::new(Self {
            live: AtomicU32::new(0),
            max,
            above,
            entering,
        })
    }

    fn chain(first: &Option<Arc<Cap>>) -> impl Iterator<Item = &Arc<Cap>> {
        std::iter::successors(first.as_ref(), |cap| cap.above.as_ref())
    }

    /// Counts one more task in every cap, or in none: in none, too, if `counted` elsewhere it cannot be.
    pub(crate) fn enter(
        first: &Option<Arc<Cap>>,
        counted: impl FnOnce() -> Result<(), LimitReached>,
    ) -> Result<(), LimitReached> {
        let _entering = first.as_ref().map(|cap| lock(&cap.entering));
        let full = Self::chain(first).find(|cap| cap.live.load(Ordering::Relaxed) >= cap.max);
        if let Some(cap) = full {
            return Err(LimitReached::new(LimitKind::MaxTasks, u64::from(cap.max)));
        }
        counted()?;
        for cap in Self::chain(first) {
            cap.live.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(crate) fn leave(first: &Option<Arc<Cap>>) {
        for cap in Self::chain(first) {
            cap.live.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
