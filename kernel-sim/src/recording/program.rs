//! What each task of a recording did, as something that a task of a machine can do again.
//!
//! A task computes as long as it had a core. Where it was woken or spawned while another task had a core, it waits for that
//! task to come to the same point. Where something else woke it (a timer, a socket, a request), that comes as long after its
//! turn as it did. What it does not do again is what follows from the machine: who takes a core from whom, and when.

use crate::timeline::{Poll, Timeline};

/// What a task does.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Program {
    /// When it comes from outside; `None` if a task starts it.
    pub(super) starts_at: Option<u64>,
    pub(super) steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// Nanoseconds.
    Compute(u64),
    /// Starts a task, by its number.
    Start(u32),
    /// Wakes one.
    Wake(u32),
    /// Lets others go first.
    Yield,
    /// Waits for something outside, nanoseconds.
    Sleep(u64),
    /// Until it has been woken so many times in all.
    Woken(u64),
}

/// The programs of all tasks.
pub(super) fn programs(timeline: &Timeline) -> Vec<Program> {
    let polls = &timeline.polls;
    let mut of_task: Vec<Vec<usize>> = vec![Vec::new(); timeline.tasks.len()];
    let mut of_hart: Vec<Vec<usize>> = vec![Vec::new(); timeline.harts.len()];
    for (at, poll) in polls.iter().enumerate() {
        of_task[poll.task as usize].push(at);
        of_hart[poll.hart as usize].push(at);
    }
    // Which poll of another task woke or started it for this one.
    let source = |poll: &Poll| {
        let (hart, since) = poll.queued?;
        let row = &of_hart[hart as usize];
        let before = row.partition_point(|&at| polls[at].from <= since);
        let at = row[before.checked_sub(1)?];
        (since <= polls[at].to && polls[at].task != poll.task).then_some((at, since))
    };
    let mut programs = vec![Program::default(); timeline.tasks.len()];
    // What each poll does for others, and when.
    let mut deeds: Vec<Vec<(u64, Step)>> = vec![Vec::new(); polls.len()];
    // How each poll came about.
    let mut causes = vec![Step::Yield; polls.len()];
    for (task, turns) in (0..).zip(&of_task) {
        let mut woken = 0;
        for (nth, &at) in turns.iter().enumerate() {
            let poll = &polls[at];
            let queued = poll.from - poll.waited;
            let Some(before) = nth.checked_sub(1).map(|nth| &polls[turns[nth]]) else {
                match source(poll) {
                    Some((by, since)) => deeds[by].push((since, Step::Start(task))),
                    None => programs[task as usize].starts_at = Some(queued),
                }
                continue;
            };
            causes[at] = match source(poll) {
                _ if before.preempted => Step::Compute(0),
                Some((by, since)) => {
                    woken += 1;
                    deeds[by].push((since, Step::Wake(task)));
                    Step::Woken(woken)
                }
                None if queued < before.to => Step::Yield,
                None => Step::Sleep(queued - before.to),
            };
        }
    }
    for (program, turns) in programs.iter_mut().zip(&of_task) {
        for (nth, &at) in turns.iter().enumerate() {
            if nth > 0 {
                program.then(causes[at]);
            }
            let mut done = polls[at].from;
            let deeds = &mut deeds[at];
            deeds.sort_by_key(|(since, _)| *since);
            for (since, deed) in deeds.drain(..) {
                program.then(Step::Compute(since.saturating_sub(done)));
                program.then(deed);
                done = done.max(since);
            }
            program.then(Step::Compute(polls[at].to.saturating_sub(done)));
        }
    }
    programs
}

impl Program {
    fn then(&mut self, step: Step) {
        match (self.steps.last_mut(), step) {
            (_, Step::Compute(0)) => {}
            (Some(Step::Compute(time)), Step::Compute(more)) => *time += more,
            _ => self.steps.push(step),
        }
    }
}
