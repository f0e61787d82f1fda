//! What the machine knows of every task, from outside the executor: the promises about them are checked here.

use super::{
    info::{Ending, GroupInfo, Name, TaskInfo},
    state::{State, Status},
};
use crate::{
    cost,
    oracle::Oracle,
    trace::{Event, TaskNumber},
};
use hart_host::simulate::Admitted;

/// Polls of every busy hart in a round of the starvation oracle.
const ROUND: u32 = 64;

impl State {
    pub(crate) fn add_task(&mut self, name: Name, group: Option<u32>, daemon: bool) -> TaskNumber {
        let task = u32::try_from(self.tasks.len()).expect("fewer tasks than that");
        self.tasks.push(TaskInfo {
            name,
            group,
            queued: false,
            polling: false,
            ready: None,
            ending: None,
            spawning: true,
            cancelled: false,
            guest: false,
            daemon,
            times: 0,
            last: None,
        });
        self.live += 1;
        self.record(self.current, Event::Spawned { task });
        self.enqueue(task);
        task
    }

    /// A guest that has its slot in the pool.
    pub(crate) fn add_guest(&mut self, guest: &Admitted<'_>) -> TaskNumber {
        let group = match self.group_of_run.get(&guest.run) {
            Some(group) => *group,
            None => {
                self.groups.push(GroupInfo {
                    name: guest.group.name().to_owned(),
                    ..GroupInfo::default()
                });
                let group = u32::try_from(self.groups.len() - 1).expect("fewer groups than that");
                self.group_of_run.insert(guest.run, group);
                group
            }
        };
        let task = self.add_task(guest.name.to_owned().into(), Some(group), false);
        let info = &mut self.tasks[task as usize];
        info.guest = true;
        info.spawning = false;
        task
    }

    fn enqueue(&mut self, task: TaskNumber) {
        self.queued += 1;
        self.peak_queued = self.peak_queued.max(self.queued);
        let round = self.round;
        let info = &mut self.tasks[task as usize];
        info.queued = true;
        info.times += 1;
        if info.group.is_none() {
            self.oldest.push_back((task, info.times, round));
        }
        while let Some(&(task, times, _)) = self.oldest.front() {
            let info = &self.tasks[task as usize];
            if info.queued && info.times == times {
                break;
            }
            self.oldest.pop_front();
        }
    }

    fn dequeue(&mut self, task: TaskNumber) {
        if std::mem::take(&mut self.tasks[task as usize].queued) {
            self.queued -= 1;
        }
    }

    /// The task's waker is called.
    pub(crate) fn woken(&mut self, task: TaskNumber) {
        let info = &self.tasks[task as usize];
        if info.ending.is_some() || info.ready.is_some() || info.queued {
            return;
        }
        self.record(self.current, Event::Woken { task });
        if self.tasks[task as usize].polling {
            // To be polled again; no hart can take it before this poll ends.
            self.tasks[task as usize].queued = true;
        } else {
            self.enqueue(task);
        }
    }

    pub(crate) fn begin_poll(&mut self, task: TaskNumber) {
        let hart = self.current;
        self.record(hart, Event::Poll { task });
        let info = &self.tasks[task as usize];
        let (name, closed) = (info.name.clone(), self.closed);
        if info.polling {
            self.fail(Oracle::PolledOnce, || {
                format!("task {task} ({name}) is polled while it is polled")
            });
        } else if info.ending.is_some() || info.ready.is_some() {
            self.fail(Oracle::EndsOnce, || {
                format!("task {task} ({name}) is polled after its end")
            });
        } else if closed {
            self.fail(Oracle::Close, || {
                format!("task {task} ({name}) is polled after the close")
            });
        } else if info.cancelled {
            self.fail(Oracle::Cancel, || {
                format!("task {task} ({name}) is polled after it was cancelled")
            });
        } else if !info.queued {
            self.fail(Oracle::PolledForAReason, || {
                format!("task {task} ({name}) is polled though nobody woke it")
            });
        }
        if self.failure.is_some() {
            return;
        }
        self.dequeue(task);
        self.tasks[task as usize].polling = true;
        if let Some(group) = self.tasks[task as usize].group {
            self.groups[group as usize].polls += 1;
        }
        if let Some(hart) = hart {
            self.harts[hart].polling = Some(task);
            self.harts[hart].at_point = false;
            self.count_poll(hart);
            let info = &mut self.tasks[task as usize];
            let last = info.last.replace(hart);
            // A future without a group is a few lines.
            if info.group.is_some() && last.is_some_and(|last| last != hart) {
                self.harts[hart].stats.moved += 1;
                self.harts[hart].pending += cost::MOVED;
            }
        }
    }

    pub(crate) fn end_poll(&mut self, task: TaskNumber, ready: bool, panicking: bool) {
        if self.failure.is_some() {
            return;
        }
        let hart = self.current;
        if let Some(hart) = hart {
            self.harts[hart].polling = None;
        }
        let info = &self.tasks[task as usize];
        let at_point = hart.is_some_and(|hart| self.harts[hart].at_point);
        if info.guest && info.queued && at_point && !ready {
            self.preemptions += 1;
            self.record(hart, Event::Preempted { task });
        }
        self.record(hart, Event::Polled { task, ready });
        let info = &mut self.tasks[task as usize];
        info.polling = false;
        let woken = std::mem::take(&mut info.queued);
        if ready {
            info.ready = Some(Ending::Completed);
        } else if panicking {
            info.ready = Some(Ending::Panicked);
        } else if woken && !info.cancelled {
            self.enqueue(task);
        }
    }

    /// The task's future is dropped.
    pub(crate) fn future_dropped(&mut self, task: TaskNumber) {
        let closing = self.closing;
        let info = &mut self.tasks[task as usize];
        let (name, polling) = (info.name.clone(), info.polling);
        if info.ending.is_some() || polling {
            self.fail(Oracle::EndsOnce, || {
                format!(
                    "the future of task {task} ({name}) is dropped twice, or while it is polled"
                )
            });
            return;
        }
        let ending = info.ready.unwrap_or(Ending::Dropped);
        let told = info.cancelled || info.spawning || info.guest || closing;
        info.ending = Some(ending);
        self.live -= 1;
        self.last_end = self.now;
        self.dequeue(task);
        self.record(self.current, Event::Ended { task });
        if ending == Ending::Dropped && !told {
            self.fail(Oracle::EndsOnce, || {
                format!("the future of task {task} ({name}) is dropped though nobody cancelled it")
            });
        }
    }

    /// Counts a poll for the starvation oracle. A round is over when every hart that is awake has polled
    /// [`ROUND`] times; in each, a task moves up by that many places in whichever queue it is.
    fn count_poll(&mut self, hart: usize) {
        let this = &mut self.harts[hart];
        this.polls_in_round += 1;
        if !this.polls_in_round.is_multiple_of(ROUND) {
            return;
        }
        let all = self.harts.iter().all(|hart| {
            hart.polls_in_round >= ROUND
                || matches!(hart.status, Status::Parked | Status::Offline | Status::Done)
        });
        if !all {
            return;
        }
        for hart in &mut self.harts {
            hart.polls_in_round = 0;
        }
        self.round += 1;
        // Twice the longest queue, for those that came to its queue before it; and the intervals at which
        // the injector and the fair lane have their turns.
        let bound = 5 + 2 * self.peak_queued as u64 / u64::from(ROUND);
        while let Some(&(task, times, round)) = self.oldest.front() {
            let info = &self.tasks[task as usize];
            if !info.queued || info.times != times || info.polling {
                self.oldest.pop_front();
                continue;
            }
            if self.round - round > bound {
                let name = info.name.clone();
                let polls = (self.round - round) * u64::from(ROUND);
                self.fail(Oracle::NoStarvation, || {
                    format!(
                        "task {task} ({name}) has been queued while every hart that is awake polled {polls} others"
                    )
                });
            }
            break;
        }
    }

    /// The task that the hart polls spends time.
    pub(crate) fn group_spends(&mut self, hart: usize, nanoseconds: u64) {
        let Some(task) = self.harts[hart].polling else {
            return;
        };
        if let Some(group) = self.tasks[task as usize].group {
            self.groups[group as usize].spent += nanoseconds;
        }
    }

    // === checks between steps ===

    /// No hart sleeps beside work: where all that are awake are in polls, and no interrupt is on its way,
    /// no hart looks after a queued task before some poll ends.
    pub(crate) fn check_idle(&mut self) {
        if self.queued > 0
            && self.parked > 0
            && self.awake == 0
            && self.interrupts == 0
            && !self.closing
        {
            let (queued, parked) = (self.queued, self.parked);
            self.fail(Oracle::NoIdleBesideWork, || {
                format!("{queued} tasks are queued, {parked} harts sleep, no interrupt is on its way and no other hart is between polls")
            });
        }
    }

    /// After a close returned.
    pub(crate) fn check_closed(&mut self) {
        let left = self
            .tasks
            .iter()
            .position(|info| info.ending.is_none() && !info.polling && !info.spawning);
        if let Some(task) = left {
            let name = self.tasks[task].name.clone();
            self.fail(Oracle::Close, || {
                format!("the future of task {task} ({name}) is left after the close")
            });
        }
    }

    /// Where nothing will happen by itself any more.
    pub(crate) fn check_quiet(&mut self, no_guests: bool) {
        let stuck = |info: &TaskInfo| info.ending.is_none() && !info.daemon;
        let queued = self
            .tasks
            .iter()
            .position(|info| info.ending.is_none() && info.queued);
        if let Some(task) = queued {
            let name = self.tasks[task].name.clone();
            self.fail(Oracle::WokenIsPolled, || {
                format!("task {task} ({name}) is runnable and nobody polls it: every hart sleeps")
            });
        } else if let Some(task) = self.tasks.iter().position(stuck) {
            let name = self.tasks[task].name.clone();
            self.fail(Oracle::Progress, || {
                format!("task {task} ({name}) waits for something that nobody will do")
            });
        } else if !no_guests {
            self.fail(Oracle::Progress, || {
                "guests wait for a slot in the pool, and nobody will give one back".into()
            });
        }
    }
}
