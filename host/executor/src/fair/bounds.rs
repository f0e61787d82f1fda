//! How fair it is.
//!
//! Let `s` be a slice, `w` a group's weight, and a group's lag what it has had less than its share, in CPU time. Groups
//! `a` and `b` compete all the time, with tasks enough to use their shares; nothing else takes the cores.
//!
//! **One lane.** The turn is that of the earliest virtual deadline, and every worker takes it from the same order, in which
//! what is in flight counts. So `a` gets a turn only if its deadline is no later than that of `b`: before the turn its
//! virtual time was ahead by no more than `b`'s slice, and after it by no more than its own slice more. The lead of `a` over
//! `b`, in virtual time, is at most one turn of each: `s / w(a) + s / w(b)`, where a turn may be longer than a slice by the
//! time between two preemption points. This does not depend on the number of workers. A worker may take a
//! group that it had last for one whose turn ends up to half a slice before, unless somebody has just woken: that much is
//! added.
//!
//! **Several lanes**, of `L`:
//!
//! 1. *Use that is not settled.* A lane settles a group when it has used a slice there, or stops to compete there. What the
//!    others have not seen is less than a slice for each lane, and what is in flight there, which is charged at the next
//!    preemption point. So in the order of one lane `a` may seem to be further behind than it is by `L * s / w(a)`. It is
//!    charged all the same: the difference does not grow.
//! 2. *Lanes that lag.* A worker leaves its own order for the next turn of another lane if that would have been over a slice
//!    before its own begins. So long as that is not so, a group in the other lane is behind by its turn and a slice at most:
//!    `2 * s / w(b)`.
//! 3. *Until somebody looks.* Each worker looks at another lane at every turn and preemption point, but not more often than
//!    [`LOOK`](super::lane::LOOK), one lane after the other. With `n` workers in each domain a lane is looked at `n` times
//!    by the others while each of them has as many turns as there are other lanes: about `n` times in a slice.
//!    A lane that lags gives a group away, once in a slice: all that wait in it lag together, and with a group less they may
//!    keep up; a lane that has more tasks gives at every look. It is at most as far behind as it falls in that time.
//!
//! So, once the groups are where there is room for their weights, the lead of `a` over `b` is at most
//! `(L + 1.5) * s / w(a) + 3 * s / w(b)` and twice the time between two preemption points, however long they run.
//! `kernel-sim` holds every run to that from the beginning (its oracle `Shares` adds a slice of each, which a group may have in
//! flight when it is asked). The share of a group that has had `t` differs from its weight's by no more than that part of
//! `t`.
//!
//! *Load.* Tasks of one group have one virtual time, wherever they wait. A worker also pulls from a lane that has more tasks
//! for each worker, by more than one, if their turn ends no later than its own would: so they spread until every domain
//! has as many, and first in, first out within a group holds for each domain, not for the machine.
//!
//! *Sleep.* A group that wakes begins at `max(its own virtual time, least - a slice)`, where `least` is the lowest of all
//! lanes in which something competes, as its lane saw it up to `L * LOOK` ago. `least` grows, unless a group that lags is
//! pulled: a late one gives a bit more credit. It waits for no turn that ends later than its own, in a lane whose workers come to a preemption point
//! once in a slice: for a slice over the number of the domain's workers, if nobody else has woken.
//!
//! *Rates* are charged when a lane settles. A group may so use up to a slice for each lane beyond its rate, which is taken
//! from the windows that follow.
//!
//! **What was learned from others.** Linux' EEVDF: the order by virtual deadlines; and that a task which moves takes its lag
//! along, where here a group's virtual time is one for all lanes, so that there is nothing to translate. `scx_rusty` and
//! `scx_lavd`: a domain for each last-level cache, balanced by pulling, by greedy workers only when they have nothing or the
//! difference is worth it. Go and BEAM: work is pulled by who runs dry, half of what there is, and the balance is looked at
//! only now and then. Caladan: one line per core that says how its queue stands, read by others without a lock.
