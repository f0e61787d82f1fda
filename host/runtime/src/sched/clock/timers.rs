//! Deadlines in order, with removal: guests end long before most of theirs.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// Something with a deadline.
pub(crate) trait Expire: Send + Sync {
    /// The deadline has come. Runs on the clock thread: must not block nor drop a store.
    fn expire(self: Arc<Self>);
}

/// Names one deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerKey {
    deadline: Instant,
    /// Tells equal deadlines apart.
    sequence: u64,
}

#[derive(Default)]
pub(super) struct Timers {
    queue: BTreeMap<TimerKey, Weak<dyn Expire>>,
    next: u64,
}

impl Timers {
    /// Adds a deadline; says whether it is the first now.
    pub(super) fn insert(
        &mut self,
        deadline: Instant,
        target: Weak<dyn Expire>,
    ) -> (TimerKey, bool) {
        let key = TimerKey {
            deadline,
            sequence: self.next,
        };
        self.next += 1;
        self.queue.insert(key, target);
        (
            key,
            self.queue
                .first_key_value()
                .is_some_and(|(first, _)| *first == key),
        )
    }

    pub(super) fn remove(&mut self, key: TimerKey) -> Option<Weak<dyn Expire>> {
        self.queue.remove(&key)
    }

    /// The next deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|(key, _)| key.deadline)
    }

    /// Takes what is due.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Arc<dyn Expire>> {
        let mut due = Vec::new();
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().deadline > now {
                break;
            }
            due.extend(entry.remove().upgrade());
        }
        due
    }
}
