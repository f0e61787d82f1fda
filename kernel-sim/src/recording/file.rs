//! Reads the file.
//!
//! The file is Chrome's trace format with one event in a line, which is how it is read: a line at a time, so that a file
//! of any size needs no more memory than its polls.

use crate::{
    config::MAX_HARTS,
    late::Late,
    report,
    stats::HartStats,
    timeline::{Account, Poll, Timeline, Wait},
};
use serde::Deserialize;
use std::{
    collections::HashMap,
    fmt,
    io::{self, BufRead, Read as _},
    time::Duration,
};

/// The longest line, in bytes: names have 256 at most, escaped.
const LINE: u64 = 64 << 10;

/// Events that are read at most.
const EVENTS: usize = 10_000_000;

/// What workers did: their polls and waits, and who woke whom.
#[derive(Debug)]
pub struct Recording {
    /// Groups, with what their shares follow from.
    pub(super) groups: Vec<Origin>,
    pub(super) timeline: Timeline,
}

/// A group as it was.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) name: String,
    pub(super) weight: u32,
    pub(super) slice: Option<Duration>,
    /// Its tenant's number, name and weight.
    pub(super) tenant: Option<(String, String, u32)>,
}

/// Why a file is no recording.
#[derive(Debug)]
pub struct RecordingError {
    /// Counted from 1.
    line: usize,
    why: String,
}

/// An event of Chrome's format, as far as it is of interest.
#[derive(Deserialize)]
struct Line {
    ph: String,
    #[serde(default)]
    tid: u32,
    #[serde(default)]
    name: String,
    #[serde(default)]
    cat: String,
    /// Microseconds.
    #[serde(default)]
    ts: f64,
    #[serde(default)]
    dur: f64,
    #[serde(default)]
    id: u64,
    #[serde(default)]
    args: HashMap<String, serde_json::Value>,
}

/// A recording that is being read.
#[derive(Default)]
struct Reader {
    groups: Vec<Origin>,
    /// By the number of the run.
    group_of: HashMap<String, u32>,
    task_of: HashMap<String, u32>,
    tasks: Vec<Account>,
    polls: Vec<Poll>,
    waits: Vec<Wait>,
    /// By the number of a thread.
    hart_of: HashMap<u32, u32>,
    /// The last poll of each hart.
    last: Vec<Option<usize>>,
    /// Where arrows begin, by their number.
    arrows: HashMap<u64, (u32, u64)>,
    /// Polls, by their hart and their beginning.
    begun: HashMap<(u32, u64), usize>,
}

// === impl Recording ===

impl Recording {
    /// Reads what [`Trace::write`](hart_host::Trace::write) has written.
    ///
    /// # Errors
    ///
    /// A text that is something else, or without a single poll; a file that cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_sim::Recording;
    ///
    /// let text = r#"{"displayTimeUnit":"ns","traceEvents":[
    /// {"ph":"X","pid":1,"tid":1,"cat":"poll","name":"a","ts":0.000,"dur":9.000,"args":{"task":"1","run":"1","waited":"unknown"}}
    /// ]}"#;
    /// let recording = Recording::read(text.as_bytes())?;
    /// assert_eq!((recording.harts(), recording.late().turns), (1, 1));
    /// assert!(Recording::read(&b"PNG"[..]).is_err());
    /// # Ok::<(), hart_sim::RecordingError>(())
    /// ```
    pub fn read(mut from: impl BufRead) -> Result<Self, RecordingError> {
        let mut reader = Reader::default();
        let mut text = String::new();
        for line in 1.. {
            text.clear();
            let failed = |why: String| RecordingError { line, why };
            let read = { from.by_ref() }.take(LINE).read_line(&mut text);
            let read = read.map_err(|error: io::Error| failed(error.to_string()))?;
            if line == 1 {
                if !text.trim_end().ends_with("\"traceEvents\":[") {
                    return Err(failed("it does not begin as a trace of hart does".into()));
                }
                continue;
            }
            let event = text.trim_end().trim_end_matches(',');
            if read == 0 || event == "]}" {
                break;
            }
            let event: Line =
                serde_json::from_str(event).map_err(|error| failed(error.to_string()))?;
            reader.take(event).map_err(failed)?;
        }
        reader.finish()
    }

    /// How many workers did something.
    pub fn harts(&self) -> usize {
        self.timeline.harts.len()
    }

    /// How many tasks had a turn.
    pub fn tasks(&self) -> usize {
        self.timeline.tasks.len()
    }

    /// Nanoseconds that tasks had a core, all together.
    pub fn busy(&self) -> u64 {
        self.timeline.harts.iter().map(|hart| hart.busy).sum()
    }

    /// How late turns began.
    pub fn late(&self) -> Late {
        Late::of(&self.timeline)
    }

    /// A page of HTML of it; `title` says what ran.
    pub fn html_report(&self, title: &str) -> String {
        report::page(
            &report::Head {
                title,
                summary: self.summary(),
                ..report::Head::default()
            },
            &self.timeline,
            None,
        )
    }

    pub(super) fn summary(&self) -> String {
        let Timeline { polls, end, .. } = &self.timeline;
        format!(
            "{} workers, {} tasks, {} turns in {:.3} s.",
            self.harts(),
            self.timeline.tasks.len(),
            polls.len(),
            *end as f64 / 1e9
        )
    }
}

// === impl Reader ===

impl Reader {
    fn take(&mut self, event: Line) -> Result<(), String> {
        match (&*event.ph, &*event.cat, &*event.name) {
            ("M", _, "hart_group") => self.group(&event),
            ("X", "poll", _) => self.poll(&event),
            ("X", "idle", _) => {
                let (from, to) = span(&event)?;
                let hart = self.hart(event.tid)?;
                self.waits.push(Wait { hart, from, to });
                Ok(())
            }
            ("i", "preemption", _) => {
                let hart = self.hart(event.tid)?;
                if let Some(last) = self.last[hart as usize] {
                    self.polls[last].preempted = true;
                }
                Ok(())
            }
            ("s", ..) => {
                let from = (self.hart(event.tid)?, nanoseconds(event.ts)?);
                self.arrows.insert(event.id, from);
                Ok(())
            }
            ("f", ..) => {
                let to = (self.hart(event.tid)?, nanoseconds(event.ts)?);
                let from = self.arrows.remove(&event.id);
                if let (Some(from), Some(&poll)) = (from, self.begun.get(&to)) {
                    self.polls[poll].queued = Some(from);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn group(&mut self, event: &Line) -> Result<(), String> {
        let text = |key| text(event, key);
        let number = |key| text(key).and_then(|text| text.parse().ok());
        let group = self.group_called(&text("run").unwrap_or_default(), text("group"));
        let tenant = text("tenant_id").zip(text("tenant"));
        let origin = &mut self.groups[group as usize];
        origin.weight = number("weight").unwrap_or(origin.weight).max(1);
        origin.slice = text("slice")
            .and_then(|slice| measured(&slice))
            .map(Duration::from_nanos);
        origin.tenant =
            tenant.map(|(id, name)| (id, name, number("tenant_weight").unwrap_or(100).max(1)));
        Ok(())
    }

    fn poll(&mut self, event: &Line) -> Result<(), String> {
        if self.polls.len() >= EVENTS {
            return Err(format!("it has more than {EVENTS} turns; record less"));
        }
        let (from, to) = span(event)?;
        let hart = self.hart(event.tid)?;
        let name = text(event, "group");
        let run = text(event, "run")
            .or_else(|| name.clone())
            .unwrap_or_default();
        let group = self.group_called(&run, name);
        let id = text(event, "task").ok_or("a turn has no task")?;
        let task = match self.task_of.get(&id) {
            Some(task) => *task,
            None => {
                let task = number(self.tasks.len())?;
                self.tasks.push(Account {
                    name: event.name.clone().into(),
                    group: Some(group),
                    ..Account::default()
                });
                self.task_of.insert(id, task);
                task
            }
        };
        let waited = text(event, "waited").and_then(|waited| measured(&waited));
        self.last[hart as usize] = Some(self.polls.len());
        self.begun.insert((hart, from), self.polls.len());
        self.polls.push(Poll {
            hart,
            task,
            from,
            to,
            preempted: false,
            queued: None,
            waited: waited.unwrap_or(0).min(from),
            resumes: false,
        });
        Ok(())
    }

    fn group_called(&mut self, run: &str, name: Option<String>) -> u32 {
        if let Some(group) = self.group_of.get(run) {
            return *group;
        }
        let group = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        self.groups.push(Origin {
            name: name.unwrap_or_default(),
            weight: 100,
            slice: None,
            tenant: None,
        });
        self.group_of.insert(run.to_owned(), group);
        group
    }

    fn hart(&mut self, thread: u32) -> Result<u32, String> {
        if let Some(hart) = self.hart_of.get(&thread) {
            return Ok(*hart);
        }
        let hart = number(self.last.len())?;
        if self.last.len() >= MAX_HARTS {
            return Err(format!("it has more than {MAX_HARTS} workers"));
        }
        self.last.push(None);
        self.hart_of.insert(thread, hart);
        Ok(hart)
    }

    /// Brings all that was read into order.
    fn finish(self) -> Result<Recording, RecordingError> {
        let Self {
            groups,
            mut tasks,
            mut polls,
            mut waits,
            last,
            ..
        } = self;
        // What was idle before the first turn was not yet asked to do anything.
        let starts = polls
            .iter()
            .map(|poll| poll.from.saturating_sub(poll.waited));
        let Some(begin) = starts.min() else {
            return Err(RecordingError {
                line: 1,
                why: "there is no turn of a task in it; record for longer".into(),
            });
        };
        polls.sort_by_key(|poll| poll.from);
        let mut harts = vec![HartStats::default(); last.len()];
        waits.retain(|wait| wait.to > begin);
        for wait in &mut waits {
            wait.from = wait.from.saturating_sub(begin);
            wait.to = wait.to.saturating_sub(begin);
            let hart = &mut harts[wait.hart as usize];
            hart.parks += 1;
            hart.idle += wait.to - wait.from;
        }
        let mut previous: Vec<Option<usize>> = vec![None; tasks.len()];
        let mut changes = Vec::with_capacity(2 * polls.len());
        for at in 0..polls.len() {
            let before = previous[polls[at].task as usize].replace(at);
            let before = before.map(|before| (polls[before].hart, polls[before].preempted));
            let poll = &mut polls[at];
            (poll.from, poll.to) = (poll.from - begin, poll.to - begin);
            poll.queued = poll
                .queued
                .map(|(hart, since)| (hart, since.saturating_sub(begin)));
            poll.resumes = before.is_some_and(|(_, preempted)| preempted);
            changes.extend([(poll.from - poll.waited, true), (poll.from, false)]);
            let (hart, task) = (
                &mut harts[poll.hart as usize],
                &mut tasks[poll.task as usize],
            );
            hart.polls += 1;
            hart.busy += poll.to - poll.from;
            hart.stolen += u64::from(poll.queued.is_some_and(|(from, _)| from != poll.hart));
            task.moves += u32::from(before.is_some_and(|(hart, _)| hart != poll.hart));
            if task.polls == 0 {
                task.born = poll.from - poll.waited;
            }
            task.polls += 1;
            task.busy += poll.to - poll.from;
            task.waited += poll.waited;
            task.ended = Some(poll.to);
        }
        changes.sort_unstable();
        let mut queued = 0_u64;
        let changes = changes.into_iter().map(|(at, more)| {
            queued = if more {
                queued + 1
            } else {
                queued.saturating_sub(1)
            };
            (at, queued)
        });
        let ends = polls
            .iter()
            .map(|poll| poll.to)
            .chain(waits.iter().map(|wait| wait.to));
        Ok(Recording {
            timeline: Timeline {
                end: ends.max().unwrap_or(0),
                harts,
                groups: groups.iter().map(|group| group.name.clone()).collect(),
                marks: Vec::new(),
                queued: changes.collect(),
                polls,
                waits,
                tasks,
            },
            groups,
        })
    }
}

fn text(event: &Line, key: &str) -> Option<String> {
    event.args.get(key)?.as_str().map(str::to_owned)
}

/// `12 ns`.
fn measured(text: &str) -> Option<u64> {
    text.strip_suffix(" ns")?.parse().ok()
}

fn number(count: usize) -> Result<u32, String> {
    u32::try_from(count).map_err(|_| "it has too many of them".into())
}

/// Times that no recording reaches are mistakes: a thousand years of nanoseconds would not even fit.
fn nanoseconds(microseconds: f64) -> Result<u64, String> {
    let exact = (microseconds * 1000.0).round();
    match (0.0..9e15).contains(&exact) {
        true => Ok(exact as u64),
        false => Err(format!("{microseconds} is no time")),
    }
}

/// From when to when.
fn span(event: &Line) -> Result<(u64, u64), String> {
    let from = nanoseconds(event.ts)?;
    Ok((from, from + nanoseconds(event.dur)?))
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for RecordingError {}
