//! How guests end: killed from outside, or by themselves.
//!
//! What is below a guest that was killed, or that closed its scope, ends with it. There may be very many of them, and
//! whoever ends them may be anybody: the embedder's event loop, the clock, a guest in the middle of a host call. So the
//! caller only says that it is to be done, and the run pays for it: a task of the run's own group does it, in the fair
//! lane, and gives way like a guest that has used its slice.
//!
//! # Protocol
//!
//! 1. Killing sets the reason first (the first one stays) and closes the scope ([`Guest::close`]), which says why; every
//!    spawn looks at that under the scope's lock, so a child is either seen below or refused. The guest goes into its
//!    tree's queue ([`begin`]), once: a second entry would find nothing that the first one does not. That takes the same
//!    time however many are below.
//! 2. From then on whatever ends below ends for that reason, also what is not reached yet: see [`Guest::killed`]. A
//!    guest that adopts a child meanwhile is either reached later, or its scope is closed and it is refused.
//! 3. A run has one such task at a time. For each guest in the queue it goes down the tree and gives all of them their
//!    reason: what ends one of them may end others, for another reason. Then it takes them out of the queue for slots
//!    and drops their stores. Whoever disposes of a guest's future, for whatever reason, calls [`finish`]: the future's
//!    own `Drop` sees to that.
//! 4. An executor that is closed drops the task, and all the others, which tells their joiners.
//! 5. [`finish`], once: the store is gone; memory, the slots in the pool and the live counts are given back; then the
//!    outcome becomes visible and joiners are woken. Whoever has joined can rely on nothing of the task being left.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hart_executor::{Verdict, yield_now};

use crate::base::span::SpanEnd;
use crate::base::stats::RunStats;
use crate::base::sync::lock;
use crate::instance::admission::SlotGuard;
use crate::instance::cap::Cap;
use crate::instance::ended::Ended;
use crate::instance::events::{Event, TaskEnd};
use crate::instance::guest::{Guest, Tree};
use crate::instance::record::{Root, RunRecord};
use crate::quota::kill::Kill;
use crate::sched::clock::timers::Expire;

/// Guests that are looked after between two looks at whether others wait.
const AT_ONCE: usize = 16;

/// Ends a guest and everything below it. The caller only learns that it will be so.
pub(crate) fn kill(guest: &Arc<Guest>, kill: Kill) {
    // Before the guest can see that its scope is closed, and end because of that.
    guest.control.kill(kill);
    guest.close(kill);
    if guest.depth == 0 {
        // All of its run see it at their next preemption point. It is one task of the run, and is not to wait for
        // its turn: that is how soon a run ends.
        guest.run.account.kill(kill);
        guest.control.reap_now();
    }
    begin(guest);
}

/// Ends everything below a guest, which goes on and can spawn no more.
pub(crate) fn kill_children(guest: &Arc<Guest>, kill: Kill) {
    if guest.close(kill) {
        begin(guest);
    }
}

/// Sets the timer that ends a guest in time, if it has a deadline.
pub(crate) fn set_timer(guest: &Arc<Guest>) {
    if let Some(deadline) = guest.deadline {
        let target: Arc<dyn Expire> = guest.clone();
        guest.control.set_timer(deadline, Arc::downgrade(&target));
    }
}

impl Expire for Guest {
    fn expire(self: Arc<Self>) {
        if let Some(timeout) = self.timeout {
            // The reason first: what is below is cancelled, this one ran out of time.
            self.control.kill(Kill::Limit(timeout));
            kill(&self, Kill::Cancelled);
        }
    }
}

impl Root for Guest {
    fn kill(self: Arc<Self>, reason: Kill) {
        kill(&self, reason);
    }
}

/// Step 5 of the protocol. The store must be gone. Only the first call counts. A guest that was admitted has `slots`.
pub(crate) fn finish(guest: &Arc<Guest>, ended: Ended, slots: Option<SlotGuard<Guest>>) {
    if guest.begins_to_end() {
        return;
    }
    let run = &guest.run;
    guest.control.end();
    guest.goes_on();
    drop(slots);
    let ended = guest.hold_result(ended);
    if matches!(ended, Ended::Trapped { .. }) {
        run.account.traps.fetch_add(1, Ordering::Relaxed);
    }
    let end = TaskEnd::of(&ended);
    if let TaskEnd::Limit(limit) = end {
        run.reached(limit);
        guest.tell(|task| Event::LimitReached { task, limit });
    }
    guest.tell(|task| Event::TaskEnded { task, end });
    if let Some(span) = &guest.span {
        let stats = || run.account.stats(run.id);
        span.end(&SpanEnd {
            how: end.word(),
            error: end.error().as_deref(),
            stats: (guest.depth == 0).then_some(&stats as &dyn Fn() -> RunStats),
        });
    }
    guest.leave_tree();
    Cap::leave(&guest.caps);
    run.registry.guest_ends();
    if guest.depth == 0 {
        run.root_ended(ended);
        run.account.kill(Kill::Cancelled);
        kill_children(guest, Kill::Cancelled);
        guest.set_finished();
        run.task_gone();
    } else {
        // The count first: a joiner may look at it.
        let last = run.account.task_ends() == 0;
        guest.publish(ended);
        if last {
            run.complete();
        }
    }
    guest.tree.admission.pump();
}

/// Has everything below `guest` ended, and `guest` itself if it was killed. Step 1.
fn begin(guest: &Arc<Guest>) {
    if guest.enters_closing() {
        return;
    }
    let (run, tree) = (&guest.run, &guest.tree);
    {
        let mut closing = lock(&tree.closing);
        closing.tops.push_back(guest.clone());
        if std::mem::replace(&mut closing.at_work, true) {
            return;
        }
    }
    let work = Work {
        run: run.clone(),
        tree: tree.clone(),
    };
    run.runtime
        .spawn_for(&run.account.group, "reaper", work.all());
}

/// The task of step 3.
struct Work {
    run: Arc<RunRecord>,
    tree: Arc<Tree>,
}

impl Work {
    async fn all(self) {
        while let Some(top) = self.next() {
            self.end(top).await;
        }
    }

    fn next(&self) -> Option<Arc<Guest>> {
        let mut closing = lock(&self.tree.closing);
        let top = closing.tops.pop_front();
        closing.at_work = top.is_some();
        if let Some(top) = &top {
            // Before its scope is looked at: what is closed from now on makes a new entry.
            top.leaves_closing();
        }
        top
    }

    async fn end(&self, top: Arc<Guest>) {
        let Some(kill) = top.closed_by() else {
            return;
        };
        let mut victims = Vec::new();
        if top.control.killed().is_some() {
            victims.push(top.clone());
        }
        let mut open = VecDeque::from([top]);
        let mut seen = 0;
        while let Some(guest) = open.pop_front() {
            let mut after = None;
            loop {
                let children = guest.close_and_list(kill, after, AT_ONCE);
                for child in &children {
                    child.control.kill(kill);
                }
                seen += 1 + children.len();
                if seen >= AT_ONCE {
                    seen = 0;
                    self.gives_way().await;
                }
                let Some(last) = children.last() else {
                    break;
                };
                after = Some(last.id);
                victims.extend(children.iter().cloned());
                open.extend(children);
            }
        }
        for victims in victims.chunks(AT_ONCE) {
            // What they hold may be the embedder's, and panic when it is dropped. The others end all the same.
            if catch_unwind(AssertUnwindSafe(|| self.dispose(victims, kill))).is_err() {
                tracing::error!("a destructor panicked while tasks of a run were ended");
            }
            self.gives_way().await;
        }
    }

    fn dispose(&self, victims: &[Arc<Guest>], kill: Kill) {
        for guest in self.tree.admission.withdraw(victims) {
            let kill = guest.control.killed().unwrap_or(kill);
            finish(&guest, Ended::Killed(kill), None);
        }
        for guest in victims {
            guest.control.discard();
        }
    }

    /// Lets others run, if they wait and the slice is used up.
    async fn gives_way(&self) {
        if self.run.account.group.preemption_point() == Verdict::Yield {
            yield_now().await;
        }
    }
}

impl Drop for Work {
    /// Done, or dropped by an executor that is closed: guests that stayed here would keep their run.
    fn drop(&mut self) {
        let tops = {
            let mut closing = lock(&self.tree.closing);
            closing.at_work = false;
            std::mem::take(&mut closing.tops)
        };
        drop(tops);
    }
}
