//! What a trace says, put together: polls, waits, arrows, faults. For pictures.

use crate::{
    run::Outcome,
    stats::HartStats,
    trace::{Event, TaskNumber},
};
use hart_host::TraceWriter;
use std::borrow::Cow;
use std::io;

/// A poll.
#[derive(Debug)]
pub(crate) struct Poll {
    pub(crate) hart: u32,
    pub(crate) task: TaskNumber,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) preempted: bool,
    /// Where and when the task was queued for it, if that was on a hart.
    pub(crate) queued: Option<(u32, u64)>,
    /// How long the task was queued.
    pub(crate) waited: u64,
    /// It goes on where its core was taken: it waited for its share, and was not late.
    pub(crate) resumes: bool,
}

/// A wait for an interrupt.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) hart: u32,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// Something that went wrong on purpose, or that ended.
#[derive(Debug)]
pub(crate) struct Mark {
    pub(crate) hart: Option<u32>,
    pub(crate) at: u64,
    pub(crate) what: String,
}

/// One task's account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) name: Cow<'static, str>,
    pub(crate) group: Option<u32>,
    pub(crate) polls: u64,
    pub(crate) busy: u64,
    pub(crate) waited: u64,
    pub(crate) born: u64,
    pub(crate) ended: Option<u64>,
    /// Polls on another hart than the one before.
    pub(crate) moves: u32,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Timeline {
    pub(crate) end: u64,
    pub(crate) harts: Vec<HartStats>,
    pub(crate) groups: Vec<String>,
    pub(crate) polls: Vec<Poll>,
    pub(crate) waits: Vec<Wait>,
    pub(crate) marks: Vec<Mark>,
    /// Every change of how many tasks are queued.
    pub(crate) queued: Vec<(u64, u64)>,
    pub(crate) tasks: Vec<Account>,
}

impl Timeline {
    pub(crate) fn new(outcome: &Outcome) -> Self {
        let mut reader = Reader {
            timeline: Self {
                end: outcome.stats.time,
                harts: outcome.stats.harts.clone(),
                groups: outcome.groups.clone(),
                polls: Vec::new(),
                waits: Vec::new(),
                marks: Vec::new(),
                queued: Vec::new(),
                tasks: { outcome.tasks.iter() }
                    .map(|(name, group)| Account {
                        name: name.clone(),
                        group: *group,
                        ..Account::default()
                    })
                    .collect(),
            },
            running: vec![None; outcome.stats.harts.len()],
            parked: vec![None; outcome.stats.harts.len()],
            queued: vec![None; outcome.tasks.len()],
            last_hart: vec![None; outcome.tasks.len()],
            preempted: vec![false; outcome.tasks.len()],
            count: 0,
        };
        for record in &outcome.trace {
            reader.read(record.at, record.hart, record.event);
        }
        for hart in 0..reader.parked.len() {
            let end = reader.timeline.end;
            reader.resumed(hart, end);
        }
        reader.timeline
    }
}

type Queued = Option<(Option<u32>, u64)>;

struct Reader {
    timeline: Timeline,
    /// By hart: the poll that is under way, by its place.
    running: Vec<Option<usize>>,
    parked: Vec<Option<u64>>,
    /// By task.
    queued: Vec<Queued>,
    last_hart: Vec<Option<u32>>,
    /// By task: its core was taken.
    preempted: Vec<bool>,
    count: u64,
}

impl Reader {
    fn read(&mut self, at: u64, hart: Option<u32>, event: Event) {
        match event {
            Event::Spawned { task } => {
                self.timeline.tasks[task as usize].born = at;
                self.enqueue(task, hart, at);
            }
            Event::Woken { task } => self.enqueue(task, hart, at),
            Event::Poll { task } => self.poll(task, hart, at),
            Event::Polled { .. } => self.polled(hart, at),
            Event::Preempted { .. } => {
                if let Some(poll) = self.under_way(hart) {
                    poll.preempted = true;
                }
            }
            Event::Ended { task } => {
                self.timeline.tasks[task as usize].ended = Some(at);
                self.dequeue(task, at);
            }
            Event::Parked => {
                if let Some(hart) = hart {
                    self.parked[hart as usize] = Some(at);
                }
            }
            Event::Resumed => {
                if let Some(hart) = hart {
                    self.resumed(hart as usize, at);
                }
            }
            Event::Announced
            | Event::Retracted
            | Event::Sent { .. }
            | Event::Interrupt
            | Event::Timer
            | Event::Stole { .. } => {}
            other => self.timeline.marks.push(Mark {
                hart,
                at,
                what: other.to_string(),
            }),
        }
    }

    fn under_way(&mut self, hart: Option<u32>) -> Option<&mut Poll> {
        let poll = self.running[hart? as usize]?;
        Some(&mut self.timeline.polls[poll])
    }

    fn enqueue(&mut self, task: TaskNumber, hart: Option<u32>, at: u64) {
        let queued = &mut self.queued[task as usize];
        if queued.is_none() {
            *queued = Some((hart, at));
            self.count += 1;
            self.timeline.queued.push((at, self.count));
        }
    }

    fn dequeue(&mut self, task: TaskNumber, at: u64) -> Queued {
        let queued = self.queued[task as usize].take();
        if queued.is_some() {
            self.count -= 1;
            self.timeline.queued.push((at, self.count));
        }
        queued
    }

    fn poll(&mut self, task: TaskNumber, hart: Option<u32>, at: u64) {
        let queued = self.dequeue(task, at);
        let Some(hart) = hart else { return };
        let waited = queued.map_or(0, |(_, since)| at - since);
        let account = &mut self.timeline.tasks[task as usize];
        account.polls += 1;
        account.waited += waited;
        if self.last_hart[task as usize].replace(hart) != Some(hart) {
            account.moves += 1;
        }
        self.running[hart as usize] = Some(self.timeline.polls.len());
        self.timeline.polls.push(Poll {
            hart,
            task,
            from: at,
            to: at,
            preempted: false,
            queued: queued.and_then(|(hart, since)| Some((hart?, since))),
            waited,
            resumes: self.preempted[task as usize],
        });
    }

    fn polled(&mut self, hart: Option<u32>, at: u64) {
        let Some(poll) = self.under_way(hart) else {
            return;
        };
        poll.to = at;
        let (task, busy, preempted) = (poll.task, at - poll.from, poll.preempted);
        self.preempted[task as usize] = preempted;
        self.timeline.tasks[task as usize].busy += busy;
        if let Some(hart) = hart {
            self.running[hart as usize] = None;
        }
    }

    fn resumed(&mut self, hart: usize, at: u64) {
        if let Some(from) = self.parked[hart].take() {
            self.timeline.waits.push(Wait {
                hart: u32::try_from(hart).unwrap_or(u32::MAX),
                from,
                to: at,
            });
        }
    }
}

impl Outcome {
    /// The trace in Chrome's format; the run must have kept it.
    pub fn chrome_trace(&self) -> String {
        let mut bytes = Vec::new();
        self.write_chrome_trace(&mut bytes)
            .expect("a vector takes everything");
        String::from_utf8(bytes).expect("the writer writes text")
    }

    /// Writes the trace in Chrome's format, in small pieces; the run must have kept it.
    ///
    /// # Errors
    ///
    /// The first one of a write.
    pub fn write_chrome_trace(&self, to: impl io::Write) -> io::Result<()> {
        let timeline = Timeline::new(self);
        let mut trace = TraceWriter::new(to, "simulated machine");
        for hart in 0..self.stats.harts.len() {
            trace.row(row(hart), &format!("hart {hart}"));
        }
        let outside = row(self.stats.harts.len());
        trace.row(outside, "outside");
        for poll in &timeline.polls {
            let (name, group) = &self.tasks[poll.task as usize];
            let group = group.map_or("", |group| &self.groups[group as usize]);
            let args = [
                ("task", poll.task.to_string()),
                ("group", group.to_owned()),
                ("waited", format!("{} ns", poll.waited)),
            ];
            let args = args.each_ref().map(|(key, value)| (*key, value.as_str()));
            trace.slice(poll.hart, "poll", name, poll.from, poll.to, &args);
            if poll.preempted {
                trace.instant(poll.hart, "preemption", "preempted", poll.to);
            }
        }
        for wait in &timeline.waits {
            let what = "wait for interrupt";
            trace.slice(wait.hart, "idle", what, wait.from, wait.to, &[]);
        }
        for mark in &timeline.marks {
            trace.instant(mark.hart.unwrap_or(outside), "fault", &mark.what, mark.at);
        }
        let drawn = timeline.drawn();
        for (id, poll) in (1..).zip(&timeline.polls) {
            if let Some((hart, since)) = poll.queued
                && let Some(since) = inside(&drawn[hart as usize], since)
            {
                // Who is polled where it was queued was woken there; else some hart took it from there.
                let what = if hart == poll.hart { "wake" } else { "steal" };
                trace.arrow(id, what, (hart, since), (poll.hart, poll.from));
            }
        }
        trace.finish().map(drop)
    }
}

fn row(hart: usize) -> u32 {
    u32::try_from(hart).unwrap_or(u32::MAX)
}

impl Timeline {
    /// For each hart, when what is drawn of it begins and ends, in order.
    fn drawn(&self) -> Vec<Vec<(u64, u64)>> {
        let mut drawn = vec![Vec::new(); self.harts.len()];
        for poll in &self.polls {
            drawn[poll.hart as usize].push((poll.from, poll.to));
        }
        for wait in &self.waits {
            drawn[wait.hart as usize].push((wait.from, wait.to));
        }
        for hart in &mut drawn {
            hart.sort_unstable();
        }
        drawn
    }
}

/// Where in something that is drawn this time lies: an arrow from elsewhere would hang in the air. What
/// happens as a poll ends belongs to that poll, as time stands still while code runs.
fn inside(drawn: &[(u64, u64)], at: u64) -> Option<u64> {
    let before = drawn.partition_point(|(from, _)| *from <= at);
    let (from, to) = drawn[before.checked_sub(1)?];
    (at <= to).then(|| at.min(to.saturating_sub(1)).max(from))
}
