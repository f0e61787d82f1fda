//! The fair lane: groups of tasks, and whose turn it is.
//!
//! **Virtual time.** A group's is the CPU time it has used divided by its weight. It is charged at every
//! preemption point and at the end of every poll. When groups are compared, what their polls in flight have used since
//! is added, so that several workers do not all take the same group for the one that is behind.
//!
//! **Order.** The runnable group with the earliest *virtual deadline* is next: its virtual time plus its
//! slice divided by its weight. Slices shift turns and do not change shares: a group with a shorter slice
//! is served earlier, and for a shorter time. So is a group that wakes, if its recent polls were short: its first turn
//! is expected to take no longer than they did. Otherwise it would wait for every group whose slice begins a bit before
//! its own, which among hundreds of groups that spin in step is a turn of all of them. Within a group it is first in,
//! first out.
//!
//! **Sleep.** A group that becomes runnable starts at `max(its own virtual time, least - a slice)`, where
//! `least` is that of the groups that compete: it is served soon, a debt stays a debt, and sleep is not
//! saved up. The slice is the default one or its own, whichever is longer, so that a short slice costs no credit. A
//! group that was never charged starts at `least` once new groups use more than all others: otherwise a stream of new
//! groups, each done within its first slice, would keep everything else from its turns. A core that other processes take
//! from a running group counts as sleep: what is in flight counts by the clock, and a charge that turns out smaller leaves
//! the group no further behind than a sleeper.
//!
//! **Tenants.** A tenant's weight is shared by those of its groups that compete, by their weights: a group
//! counts with `tenant weight * group weight / sum of group weights`. Groups cannot save up sleep by taking turns at it,
//! either: a tenant has a virtual time of its own, what its groups have used divided by its weight. `even` is where one
//! stands that has had its share: what all have used, divided by the weights of those that competed. A group that becomes
//! runnable starts at `max(its own, least + what its tenant is ahead of even - a slice)`, where the slice is divided by the
//! tenant's whole weight. However many of its groups wake, they are one slice ahead together; and those that spin keep none
//! waiting that has just come. With several lanes nobody knows `even`, and it is `least`.
//!
//! **Slices.** If preemption points come by time ([`Pace::Time`]), a poll keeps its slice, as nearly as the clock can
//! tell, unless the turn is that of a group with a shorter slice. The slice that a poll keeps adapts: shorter if many wait
//! for a turn, longer if few do and none of them has just woken. Turns are ordered by the slices as they were set.
//!
//! **Lanes.** A large machine has a lane for each domain of cores that share a cache, so that no lock is asked for by more
//! than a few of them. A group is one for all lanes: it has a virtual time, which its lanes settle ([`account`]), and in each
//! lane in which it has tasks a part with a place of its own. `least` is that of all lanes ([`board`]). Workers pull from
//! lanes that lag ([`lanes`]). What follows from that is in [`bounds`].
//!
//! **Rates.** A group whose [rate](budget) is used up, or whose tenant's is, does not compete: it is parked
//! until a time, its tasks with it. A worker that takes a turn, or asks at a preemption point, lets those go on whose time
//! has come; a worker that sleeps does so until the first of them.
//!
//! The files, each of which uses only those above it:
//!
//! | file | what it has |
//! | --- | --- |
//! | `id`, `stats`, `slice`, `virtual_time`, `budget` | numbers |
//! | `bounds` | how fair it is, and why |
//! | `guard` | the proof that a lane's lock is held |
//! | `tournament` | who is first where keys grow with time |
//! | `share`, `task_list`, `tenant`, `account`, `part`, `group` | what the lanes know of groups and tenants |
//! | `meter`, `flight` | what a poll has used |
//! | `batch` | several tasks that a worker takes at once |
//! | `heap`, `room`, `running`, `run_order` | which group is next |
//! | `hold` | how long the lock is held, for a bench |
//! | `board` | what each lane tells the others |
//! | `lane` | the lock, and the counts that are read without it |
//! | `compete`, `turn`, `charge`, `migrate` | what happens under the lock |
//! | `lanes` | a lane for each domain, and the way between them |
//!
//! The room uses `sync`, `error`, `planted`, `platform` and `task`. It knows no executor: its functions return what the
//! caller has to notify of.

mod account;
mod batch;
mod board;
mod bounds;
mod budget;
mod charge;
mod compete;
mod flight;
mod group;
mod guard;
mod heap;
#[cfg(feature = "lane-hold")]
pub mod hold;
mod id;
mod lane;
mod lanes;
mod meter;
mod migrate;
mod part;
mod room;
mod run_order;
mod running;
mod share;
mod slice;
mod stats;
mod task_list;
mod tenant;
mod tournament;
mod turn;
mod virtual_time;

#[cfg(all(loom, test))]
pub(crate) use self::migrate::Pulled;
pub(crate) use self::{
    batch::Batch,
    charge::{Pace, Used},
    flight::Flight,
    group::GroupState,
    lanes::{Lanes, Look, Taker},
    meter::Meter,
    share::{Share, check_rate, check_weight},
    slice::clamp,
    tenant::TenantState,
};
pub use self::{
    budget::RATE_WINDOW,
    id::Id,
    share::DEFAULT_WEIGHT,
    slice::{DEFAULT_SLICE, LONGEST_SLICE, LONGEST_TICK, SHORTEST_SLICE},
    stats::GroupStats,
};
