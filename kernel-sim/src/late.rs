//! How late turns began: after a task was spawned or woken, until a hart took it.

use crate::timeline::{Poll, Timeline};
use std::collections::HashMap;

/// Groups that are named as those that ran meanwhile.
const NAMED: usize = 3;

/// How late turns began, in nanoseconds. Turns of a task whose core was taken are not among them: it waits for its share.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Late {
    /// How many turns there are.
    pub turns: u64,
    /// Half of them began no later.
    pub p50: u64,
    /// 99 of a hundred began no later.
    pub p99: u64,
    /// The latest.
    pub longest: Option<Longest>,
}

/// The turn that began the latest.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Longest {
    /// How late it began.
    pub waited: u64,
    /// When it began.
    pub at: u64,
    /// Its task's number.
    pub task: u32,
    /// Its task's name; a guest may have chosen it.
    pub name: String,
    /// Its group's.
    pub group: String,
    /// Those groups that had the most time of the cores meanwhile, and how much; the rest is idle, or hart's own.
    pub meanwhile: Vec<(String, u64)>,
}

impl Late {
    pub(crate) fn of(timeline: &Timeline) -> Self {
        let polls = || timeline.polls.iter().filter(|poll| !poll.resumes);
        let mut waits: Vec<u64> = polls().map(|poll| poll.waited).collect();
        waits.sort_unstable();
        let rank = |percent: usize| match waits.len() {
            0 => 0,
            len => waits[(len * percent).div_ceil(100).clamp(1, len) - 1],
        };
        Self {
            turns: waits.len() as u64,
            p50: rank(50),
            p99: rank(99),
            longest: latest(timeline).map(|at| Longest::of(timeline, &timeline.polls[at])),
        }
    }
}

impl Longest {
    fn of(timeline: &Timeline, late: &Poll) -> Self {
        let since = late.from - late.waited;
        let mut shares: HashMap<&str, u64> = HashMap::new();
        for poll in &timeline.polls {
            let both = poll.to.min(late.from).saturating_sub(poll.from.max(since));
            if both > 0 {
                *shares.entry(group(timeline, poll)).or_default() += both;
            }
        }
        let mut meanwhile: Vec<_> = shares
            .into_iter()
            .map(|(name, time)| (name.to_owned(), time))
            .collect();
        // By name as well: equal ones come in the same order each time.
        meanwhile.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        meanwhile.truncate(NAMED);
        Self {
            waited: late.waited,
            at: late.from,
            task: late.task,
            name: timeline.tasks[late.task as usize].name.to_string(),
            group: group(timeline, late).to_owned(),
            meanwhile,
        }
    }
}

/// The place of the turn that began the latest.
pub(crate) fn latest(timeline: &Timeline) -> Option<usize> {
    let polls = timeline.polls.iter().enumerate();
    let late = polls.filter(|(_, poll)| !poll.resumes);
    late.max_by_key(|(_, poll)| poll.waited).map(|(at, _)| at)
}

fn group<'a>(timeline: &'a Timeline, poll: &Poll) -> &'a str {
    let group = timeline.tasks[poll.task as usize].group;
    group.map_or("", |group| &timeline.groups[group as usize])
}
