//! A run as one page of HTML, which needs nothing else and opens offline.
//!
//! Data is JSON inside of a script element, escaped so that no name can end it; the page's own script makes
//! text of it and nothing else.

use crate::{
    late::{Late, latest},
    run::Outcome,
    timeline::Timeline,
};
use hart_host::escape_json;
use std::{collections::HashMap, fmt::Write};

/// The page; the data goes where `@DATA@` is.
const PAGE: &str = include_str!("report.html");

/// Polls that are drawn, tasks and names that are listed, points of the line of queued tasks: more makes a browser slow.
const POLLS: usize = 60_000;
const TASKS: usize = 2_000;
const NAMES: usize = 2_000;
const POINTS: usize = 4_000;

/// What stands above a run.
#[derive(Default)]
pub(crate) struct Head<'a> {
    pub(crate) title: &'a str,
    pub(crate) summary: String,
    pub(crate) failure: Option<String>,
    /// What it depends on beside component, input, seed and options; `None` where it is not simulated.
    pub(crate) depends: Option<&'a [String]>,
}

/// The page of a run; the one that it is compared with stands under it.
pub(crate) fn page(head: &Head<'_>, shown: &Timeline, under: Option<&Timeline>) -> String {
    let mut json = Json::default();
    json.text("title", head.title);
    json.text("summary", &head.summary);
    json.text("failure", head.failure.as_deref().unwrap_or_default());
    if let Some(depends) = head.depends {
        json.list("depends", depends, |json, text| json.string(text));
    }
    let runs: Vec<_> = [Some(shown), under].into_iter().flatten().collect();
    json.list("runs", &runs, |json, run| json.0.push_str(&data(run)));
    PAGE.replacen("@DATA@", &json.finish(), 1)
}

impl Outcome {
    /// The run as a page of HTML; it must have kept its trace. `title` says what ran, `depends_on` what it
    /// depends on beside component, input, seed and options.
    pub fn html_report(&self, title: &str, depends_on: &[String]) -> String {
        let stats = &self.stats;
        let head = Head {
            title,
            summary: format!(
                "{} harts, {} steps, {} ns of virtual time, {} tasks, {} preemptions, trace hash {:016x}. Times are the machine's: they follow from a cost model and not from this computer.",
                stats.harts.len(),
                stats.steps,
                stats.time,
                stats.tasks,
                stats.preemptions,
                stats.hash
            ),
            failure: self.failure.as_ref().map(ToString::to_string),
            depends: Some(depends_on),
        };
        page(&head, &Timeline::new(self), None)
    }
}

/// One run.
fn data(timeline: &Timeline) -> String {
    let mut json = Json::default();
    json.number("end", timeline.end);
    json.look(timeline);
    json.list("harts", &timeline.harts, |json, hart| {
        json.row(&[
            hart.busy,
            hart.idle,
            hart.polls,
            hart.steals,
            hart.stolen,
            hart.parks,
        ]);
    });
    json.groups(timeline);
    json.names(timeline);
    let tasks = &timeline.tasks;
    json.number("taskCount", tasks.len() as u64);
    json.list("taskGroups", tasks, |json, task| json.or_minus(task.group));
    let listed = &tasks[..tasks.len().min(TASKS)];
    json.list("tasks", listed, |json, task| {
        json.0.push('[');
        json.string(&task.name);
        json.0.push(',');
        json.or_minus(task.group);
        let _ = write!(
            json.0,
            ",{},{},{},{},{},",
            task.polls, task.moves, task.busy, task.waited, task.born
        );
        json.or_minus(task.ended);
        json.0.push(']');
    });
    json.drawn(timeline);
    json.list("marks", &timeline.marks, |json, mark| {
        json.0.push('[');
        json.or_minus(mark.hart);
        let _ = write!(json.0, ",{},", mark.at);
        json.string(&mark.what);
        json.0.push(']');
    });
    let every = timeline.queued.len().div_ceil(POINTS).max(1);
    let points: Vec<_> = timeline.queued.chunks(every).collect();
    json.list("queued", &points, |json, chunk| {
        let most = chunk.iter().map(|point| point.1).max().unwrap_or(0);
        json.row(&[chunk[0].0, most]);
    });
    json.histogram(timeline);
    json.finish()
}

/// What tasks of one name did together.
#[derive(Default)]
struct Together {
    tasks: u64,
    polls: u64,
    busy: u64,
    waited: u64,
    latest: u64,
}

/// An object that is being written.
#[derive(Default)]
struct Json(String);

impl Json {
    fn key(&mut self, key: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.string(key);
        self.0.push(':');
    }

    fn string(&mut self, text: &str) {
        self.0.push('"');
        escape_json(text, &mut self.0);
        self.0.push('"');
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        self.string(text);
    }

    fn number(&mut self, key: &str, number: u64) {
        self.key(key);
        let _ = write!(self.0, "{number}");
    }

    fn or_minus(&mut self, number: Option<impl Into<u64>>) {
        match number {
            Some(number) => {
                let _ = write!(self.0, "{}", number.into());
            }
            None => self.0.push_str("-1"),
        }
    }

    fn row(&mut self, numbers: &[u64]) {
        for (at, number) in numbers.iter().enumerate() {
            let _ = write!(self.0, "{}{number}", if at == 0 { '[' } else { ',' });
        }
        self.0.push(']');
    }

    fn list<T>(&mut self, key: &str, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.key(key);
        self.0.push('[');
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.0.push(',');
            }
            write(self, item);
        }
        self.0.push(']');
    }

    /// The turn that began the latest, and how late turns begin otherwise.
    fn look(&mut self, timeline: &Timeline) {
        let late = Late::of(timeline);
        self.key("late");
        self.row(&[late.turns, late.p50, late.p99]);
        let Some(longest) = late.longest else {
            return;
        };
        self.key("latest");
        self.row(&[longest.task.into(), longest.waited, longest.at]);
        self.text("latestName", &longest.name);
        self.text("latestGroup", &longest.group);
        self.list("meanwhile", &longest.meanwhile, |json, (group, time)| {
            json.0.push('[');
            json.string(group);
            let _ = write!(json.0, ",{time}]");
        });
    }

    fn groups(&mut self, timeline: &Timeline) {
        let mut sums = vec![(0, 0); timeline.groups.len()];
        for task in &timeline.tasks {
            if let Some(group) = task.group {
                let (busy, polls) = &mut sums[group as usize];
                *busy += task.busy;
                *polls += task.polls;
            }
        }
        let groups: Vec<_> = timeline.groups.iter().zip(sums).collect();
        self.list("groups", &groups, |json, (name, (busy, polls))| {
            json.0.push('[');
            json.string(name);
            let _ = write!(json.0, ",{busy},{polls}]");
        });
    }

    /// What tasks of one name did, and which of them each task is; those that had the most of the cores come first.
    fn names(&mut self, timeline: &Timeline) {
        let mut all: HashMap<&str, Together> = HashMap::new();
        for task in &timeline.tasks {
            let sum = all.entry(&task.name).or_default();
            sum.tasks += 1;
            sum.polls += task.polls;
            sum.busy += task.busy;
            sum.waited += task.waited;
        }
        for poll in timeline.polls.iter().filter(|poll| !poll.resumes) {
            let name = &*timeline.tasks[poll.task as usize].name;
            if let Some(sum) = all.get_mut(name) {
                sum.latest = sum.latest.max(poll.waited);
            }
        }
        let mut listed: Vec<_> = all.into_iter().collect();
        listed.sort_by(|(a, of_a), (b, of_b)| of_b.busy.cmp(&of_a.busy).then(a.cmp(b)));
        self.number("nameCount", listed.len() as u64);
        listed.truncate(NAMES);
        let number: HashMap<&str, u64> = (0..)
            .zip(&listed)
            .map(|(at, (name, _))| (*name, at))
            .collect();
        self.list("names", &listed, |json, (name, sum)| {
            json.0.push('[');
            json.string(name);
            let _ = write!(
                json.0,
                ",{},{},{},{},{}]",
                sum.tasks, sum.polls, sum.busy, sum.waited, sum.latest
            );
        });
        self.list("taskNames", &timeline.tasks, |json, task| {
            json.or_minus(number.get(&*task.name).copied());
        });
    }

    /// What is drawn of harts: everything, or what is around the turn that began the latest.
    fn drawn(&mut self, timeline: &Timeline) {
        let all = &timeline.polls;
        let middle = latest(timeline).unwrap_or(0);
        let first = middle
            .saturating_sub(POLLS / 2)
            .min(all.len().saturating_sub(POLLS));
        let polls = &all[first..all.len().min(first + POLLS)];
        let is_cut = polls.len() < all.len();
        self.number("cut", u64::from(is_cut));
        self.list("polls", polls, |json, poll| {
            json.row(&[
                poll.hart.into(),
                poll.task.into(),
                poll.from,
                poll.to,
                poll.preempted.into(),
            ]);
        });
        let (from, to) = match (polls.first(), polls.last()) {
            (Some(first), Some(last)) if is_cut => (first.from, last.from),
            _ => (0, u64::MAX),
        };
        let waits: Vec<_> = { timeline.waits.iter() }
            .filter(|wait| wait.to >= from && wait.from <= to)
            .collect();
        self.list("waits", &waits, |json, wait| {
            json.row(&[wait.hart.into(), wait.from, wait.to])
        });
    }

    /// Waits by powers of four, from 256 ns on.
    fn histogram(&mut self, timeline: &Timeline) {
        let mut counts: Vec<(u64, u64)> = (4..16).map(|power| (1 << (2 * power), 0)).collect();
        for poll in &timeline.polls {
            let last = counts.len() - 1;
            let at = counts.iter().position(|(below, _)| poll.waited < *below);
            counts[at.unwrap_or(last)].1 += 1;
        }
        let used = counts
            .iter()
            .rposition(|(_, count)| *count > 0)
            .unwrap_or(0);
        counts.truncate(used + 1);
        self.list("histogram", &counts, |json, (below, count)| {
            json.row(&[*below, *count])
        });
    }

    fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}
