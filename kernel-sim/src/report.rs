//! A run as one page of HTML, which needs nothing else and opens offline.
//!
//! Data is JSON inside of a script element, escaped so that no name can end it; the page's own script makes
//! text of it and nothing else.

use crate::{run::Outcome, timeline::Timeline};
use hart_host::escape_json;
use std::fmt::Write;

/// The page; the data goes where `@DATA@` is.
const PAGE: &str = include_str!("report.html");

/// Polls that are drawn, tasks that are listed, points of the line of queued tasks: more makes a browser slow.
const POLLS: usize = 60_000;
const TASKS: usize = 2_000;
const POINTS: usize = 4_000;

impl Outcome {
    /// The run as a page of HTML; it must have kept its trace. `title` says what ran, `depends_on` what it
    /// depends on beside component, input, seed and options.
    pub fn html_report(&self, title: &str, depends_on: &[String]) -> String {
        PAGE.replacen("@DATA@", &self.data(title, depends_on), 1)
    }

    fn data(&self, title: &str, depends_on: &[String]) -> String {
        let timeline = Timeline::new(self);
        let mut json = Json::default();
        let stats = &self.stats;
        json.text("title", title);
        json.text(
            "summary",
            &format!(
                "{} harts, {} steps, {} ns of virtual time, {} tasks, {} preemptions, trace hash {:016x}. Times are the machine's: they follow from a cost model and not from this computer.",
                stats.harts.len(), stats.steps, stats.time, stats.tasks, stats.preemptions, stats.hash
            ),
        );
        let failure = self.failure.as_ref().map(ToString::to_string);
        json.text("failure", &failure.unwrap_or_default());
        json.list("depends", depends_on, |json, text| json.string(text));
        json.number("end", stats.time);
        json.list("harts", &stats.harts, |json, hart| {
            json.row(&[
                hart.busy,
                hart.idle,
                hart.polls,
                hart.steals,
                hart.stolen,
                hart.parks,
            ]);
        });
        json.groups(self, &timeline);
        json.number("taskCount", self.tasks.len() as u64);
        json.list("taskGroups", &self.tasks, |json, (_, group)| {
            json.or_minus(*group)
        });
        let tasks: Vec<_> = self.tasks.iter().zip(&timeline.tasks).take(TASKS).collect();
        json.list("tasks", &tasks, |json, ((name, group), account)| {
            json.0.push('[');
            json.string(name);
            json.0.push(',');
            json.or_minus(*group);
            let _ = write!(
                json.0,
                ",{},{},{},{},{},",
                account.polls, account.moves, account.busy, account.waited, account.born
            );
            json.or_minus(account.ended);
            json.0.push(']');
        });
        let polls = &timeline.polls[..timeline.polls.len().min(POLLS)];
        json.number("cut", u64::from(polls.len() < timeline.polls.len()));
        json.list("polls", polls, |json, poll| {
            json.row(&[
                poll.hart.into(),
                poll.task.into(),
                poll.from,
                poll.to,
                poll.preempted.into(),
            ]);
        });
        json.list("waits", &timeline.waits, |json, wait| {
            json.row(&[wait.hart.into(), wait.from, wait.to])
        });
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
        json.histogram(&timeline);
        json.finish()
    }
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

    fn groups(&mut self, outcome: &Outcome, timeline: &Timeline) {
        let mut sums = vec![(0, 0); outcome.groups.len()];
        for ((_, group), account) in outcome.tasks.iter().zip(&timeline.tasks) {
            if let Some(group) = group {
                let (busy, polls) = &mut sums[*group as usize];
                *busy += account.busy;
                *polls += account.polls;
            }
        }
        let groups: Vec<_> = outcome.groups.iter().zip(sums).collect();
        self.list("groups", &groups, |json, (name, (busy, polls))| {
            json.0.push('[');
            json.string(name);
            let _ = write!(json.0, ",{busy},{polls}]");
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
