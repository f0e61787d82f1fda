//! What one lane has of a group.

use super::{
    guard::{Guarded, LaneId},
    task_list::GroupTasks,
    virtual_time::Virtual,
};
use crate::{
    platform::WorkerId,
    sync::{Apart, Arc, AtomicBool, AtomicUsize, Ordering::Relaxed},
};

pub(super) struct Part {
    /// The lane has room for it. Set under the lane's lock.
    pub(super) admitted: AtomicBool,
    /// For how many groups the lane has promised room.
    groups: Arc<AtomicUsize>,
    pub(super) tasks: Apart<Guarded<GroupTasks>>,
    pub(super) standing: Apart<Guarded<Standing>>,
}

/// Where a group stands in a lane.
#[derive(Clone, Copy, Default)]
pub(super) struct Standing {
    /// Runnable tasks.
    pub(super) len: usize,
    /// The group's; with several lanes a copy: see [`account`](super::account).
    pub(super) virtual_time: Virtual,
    /// What is in the copy alone.
    pub(super) unsettled: Unsettled,
    /// The changes that the copy has seen.
    pub(super) seen: usize,
    /// Polls in flight.
    pub(super) polls: u64,
    /// The sum of the times at which they began or were last charged.
    pub(super) began: u128,
    /// What the group adds to its tenant's sum while it competes, or to the lane's.
    pub(super) active_weight: usize,
    /// With several lanes, what it adds to this lane's.
    pub(super) lane_weight: usize,
    /// Its slice as it is counted while it competes.
    pub(super) active_slice: usize,
    pub(super) parked: bool,
    /// It has had no turn since it woke.
    pub(super) woken: bool,
    /// A recent average of how long its polls took, nanoseconds; zero before the first one.
    pub(super) poll_time: u64,
    /// It has had a turn since it was made.
    pub(super) had_turn: bool,
    /// The worker that had its last turn.
    pub(super) last: WorkerId,
    /// Where it is in a heap, if it is in one.
    pub(super) place: usize,
    /// Its place among the groups with polls in flight.
    pub(super) runs_at: Option<usize>,
    /// It has polls in flight, and no more before its rate allows them.
    pub(super) held: bool,
}

/// What was used in a lane since it last settled.
#[derive(Clone, Copy, Default)]
pub(super) struct Unsettled {
    pub(super) virtual_time: Virtual,
    /// Nanoseconds.
    pub(super) cpu: u64,
    /// When the first of it began.
    pub(super) since: u64,
}

impl Part {
    /// What the lane `lane` has of a new group; `groups` counts those for which it has room.
    pub(super) fn new(lane: LaneId, groups: Arc<AtomicUsize>) -> Self {
        Self {
            admitted: AtomicBool::new(false),
            groups,
            tasks: Apart(Guarded::new(lane, GroupTasks::default())),
            standing: Apart(Guarded::new(lane, Standing::default())),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.admitted.load(Relaxed) {
            // Relaxed: a count of room, which the lane reads under its lock.
            self.groups.fetch_sub(1, Relaxed);
        }
    }
}
