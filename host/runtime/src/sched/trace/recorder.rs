//! What workers append to.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use hart_executor::Group;

use crate::base::sync::lock;
use crate::sched::this_worker::this_worker;
use crate::sched::trace::place::{Clock, Place};

const _: () = assert!(size_of::<Record>() == 40);

/// Records in a chunk of a row.
const CHUNK: usize = 512;

/// Names, and groups, of a chunk that are looked through for one that is there already. Two tasks whose polls alternate
/// have theirs among the last few; of thousands with names of their own, each is kept as often as it comes.
const RECENT: usize = 4;

/// Bytes of names and groups that a chunk holds before it counts as full. A guest's name may have 256, and each request of a
/// server is a group.
const NAMES: usize = 16 << 10;

/// The end of a poll that has none yet.
const OPEN: u64 = u64::MAX;

/// What the workers of a runtime append to.
pub(crate) struct Recorder {
    pub(super) clock: Clock,
    /// By the numbers that a worker may have.
    rows: Box<[Row]>,
    /// Chunks in all rows.
    chunks: AtomicUsize,
    most_chunks: usize,
    /// Who is told of polls that begin late.
    watch: OnceLock<Watch>,
}

/// Is told of each poll for which a task was queued longer than `longest` after it was spawned or woken.
struct Watch {
    longest: u64,
    told: Box<dyn Fn(Duration) + Send + Sync>,
}

/// Two workers' locks are not in one cache line.
#[derive(Default)]
#[repr(align(128))]
struct Row(Mutex<Records>);

#[derive(Default)]
struct Records {
    chunks: VecDeque<Chunk>,
    /// Since when the worker waits, if it does.
    parked: Option<u64>,
    /// Records that were given up, and when the last of them ended.
    forgotten: u64,
    since: u64,
}

#[derive(Clone, Default)]
pub(super) struct Chunk {
    pub(super) records: Vec<Record>,
    names: Vec<Box<str>>,
    groups: Vec<Origin>,
    /// Of all names and groups.
    bytes: usize,
}

/// Whose tasks they are. A copy: the group itself would keep its executor, which keeps the recorder.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) group: u64,
    pub(super) name: Box<str>,
    pub(super) weight: u32,
    pub(super) slice: Duration,
    /// Its tenant's number, name and weight.
    pub(super) tenant: Option<(u64, Box<str>, u32)>,
}

/// A poll, or a wait where it has no task.
#[derive(Clone, Copy)]
pub(super) struct Record {
    pub(super) from: u64,
    /// [`OPEN`] while the poll goes on.
    pub(super) to: u64,
    /// The [`Place::mark`] of where and when the task was queued for this poll; 0 where that is not known.
    pub(super) queued: u64,
    /// The task's number; 0 for none.
    pub(super) task: u64,
    /// Which of the chunk's names is the task's, and which of its groups.
    pub(super) name: u16,
    group: u16,
    pub(super) preempted: bool,
}

/// A poll that begins.
pub(super) struct Begun<'a> {
    /// As in a [`Record`].
    pub(super) queued: u64,
    pub(super) task: u64,
    pub(super) name: &'a str,
    /// It goes on where its core was taken: its group waits for its share, and is not late.
    pub(super) resumes: bool,
    pub(super) group: &'a Group,
}

// === impl Recorder ===

impl Recorder {
    /// For workers with numbers below `rows`; keeps about `events`, and a chunk for each worker at least.
    pub(crate) fn new(rows: usize, events: usize) -> Self {
        Self {
            clock: Clock::start(),
            rows: (0..rows).map(|_| Row::default()).collect(),
            chunks: AtomicUsize::new(0),
            most_chunks: events.div_ceil(CHUNK),
            watch: OnceLock::new(),
        }
    }

    /// From now on, `told` is told of each poll for which a task was queued longer than `longest` after it was spawned or
    /// woken: by the worker. Only the first one is.
    pub(super) fn watch(&self, longest: Duration, told: Box<dyn Fn(Duration) + Send + Sync>) {
        let longest = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        let _ = self.watch.set(Watch { longest, told });
    }

    /// This thread's worker begins a poll. It is in the row from then on: what the poll does may be what the reader of
    /// the trace waits for.
    pub(super) fn begins(&self, poll: &Begun<'_>) {
        if let Some(row) = self.row() {
            let from = self.clock.now();
            {
                let mut row = lock(&row.0);
                row.close(from, false);
                row.last(self).begin(from, poll);
            }
            if let (Some(watch), Some(queued)) = (self.watch.get(), Place::marked(poll.queued))
                && !poll.resumes
            {
                let waited = from.saturating_sub(queued.at);
                if waited > watch.longest {
                    (watch.told)(Duration::from_nanos(waited));
                }
            }
        }
    }

    /// The poll ends.
    pub(super) fn ends(&self, preempted: bool) {
        if let Some(row) = self.row() {
            let to = self.clock.now();
            lock(&row.0).close(to, preempted);
        }
    }

    /// The row of this thread's worker.
    fn row(&self) -> Option<&Row> {
        this_worker().and_then(|worker| self.rows.get(worker))
    }

    /// A worker begins to wait.
    pub(crate) fn parks(&self, worker: usize) {
        if let Some(row) = self.rows.get(worker) {
            lock(&row.0).parked = Some(self.clock.now());
        }
    }

    /// It goes on.
    pub(crate) fn goes_on(&self, worker: usize) {
        let Some(row) = self.rows.get(worker) else {
            return;
        };
        let to = self.clock.now();
        let mut row = lock(&row.0);
        if let Some(from) = row.parked.take() {
            row.last(self).records.push(Record::wait(from, to));
        }
    }

    /// The rows as they are now, and from when on they are whole.
    pub(super) fn copy(&self) -> (Vec<Vec<Chunk>>, u64, u64) {
        let (mut since, mut forgotten) = (0, 0);
        let copy = |row: &Row| {
            let row = lock(&row.0);
            since = since.max(row.since);
            forgotten += row.forgotten;
            let now = self.clock.now();
            let waits = row.parked.map(|from| Chunk {
                records: vec![Record::wait(from, now)],
                ..Chunk::default()
            });
            let mut copied: Vec<Chunk> = row.chunks.iter().cloned().chain(waits).collect();
            for record in copied.iter_mut().flat_map(|chunk| &mut chunk.records) {
                record.to = record.to.min(now);
            }
            copied
        };
        let rows = self.rows.iter().map(copy).collect();
        (rows, since, forgotten)
    }
}

// === impl Records ===

impl Records {
    /// A chunk that has room for one more record.
    fn last(&mut self, recorder: &Recorder) -> &mut Chunk {
        if self.chunks.back().is_none_or(Chunk::is_full) {
            let chunk = self.chunk(recorder);
            self.chunks.push_back(chunk);
        }
        let last = self.chunks.len() - 1;
        &mut self.chunks[last]
    }

    /// Ends the poll that goes on, if one does.
    fn close(&mut self, to: u64, preempted: bool) {
        let last = self.chunks.back_mut();
        if let Some(open) = last
            .and_then(|chunk| chunk.records.last_mut())
            .filter(|record| record.to == OPEN)
        {
            open.to = to;
            open.preempted = preempted;
        }
    }

    /// An empty chunk: a new one, or the oldest.
    fn chunk(&mut self, recorder: &Recorder) -> Chunk {
        let used = recorder.chunks.load(Ordering::Relaxed);
        if used >= recorder.most_chunks
            && let Some(mut oldest) = self.chunks.pop_front()
        {
            self.forgotten += oldest.records.len() as u64;
            self.since = oldest.records.last().map_or(self.since, |last| last.to);
            oldest.clear();
            return oldest;
        }
        // Several rows may see the last one free; a few more than was said are used then.
        recorder.chunks.fetch_add(1, Ordering::Relaxed);
        Chunk {
            records: Vec::with_capacity(CHUNK),
            ..Chunk::default()
        }
    }
}

// === impl Chunk ===

impl Chunk {
    fn is_full(&self) -> bool {
        self.records.len() >= CHUNK || self.bytes >= NAMES
    }

    fn clear(&mut self) {
        self.records.clear();
        self.names.clear();
        self.groups.clear();
        self.bytes = 0;
    }

    fn begin(&mut self, from: u64, poll: &Begun<'_>) {
        let (name, group) = (self.name(poll.name), self.origin(poll.group));
        self.records.push(Record {
            from,
            to: OPEN,
            queued: poll.queued,
            task: poll.task,
            name,
            group,
            preempted: false,
        });
    }

    /// The number of a name, which is added if it is not among the last ones.
    fn name(&mut self, name: &str) -> u16 {
        let recent = self.names.iter().enumerate().rev().take(RECENT);
        let at = match { recent }.find(|(_, kept)| ***kept == *name) {
            Some((at, _)) => at,
            None => {
                self.bytes += name.len();
                self.names.push(name.into());
                self.names.len() - 1
            }
        };
        // At most one for each record.
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    /// The number of a group, which is added if it is not among the last ones.
    fn origin(&mut self, group: &Group) -> u16 {
        let id = group.id().as_u64();
        let recent = self.groups.iter().enumerate().rev().take(RECENT);
        let at = match { recent }.find(|(_, kept)| kept.group == id) {
            Some((at, _)) => at,
            None => {
                let origin = Origin::of(group);
                self.bytes += origin.bytes();
                self.groups.push(origin);
                self.groups.len() - 1
            }
        };
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    pub(super) fn name_of(&self, record: &Record) -> &str {
        self.names
            .get(usize::from(record.name))
            .map_or("", |name| name)
    }

    pub(super) fn origin_of(&self, record: &Record) -> Option<&Origin> {
        self.groups.get(usize::from(record.group))
    }
}

// === impl Origin ===

impl Origin {
    fn of(group: &Group) -> Self {
        let tenant = group.tenant();
        Self {
            group: group.id().as_u64(),
            name: group.name().into(),
            weight: group.weight(),
            slice: group.slice(),
            tenant: tenant
                .map(|tenant| (tenant.id().as_u64(), tenant.name().into(), tenant.weight())),
        }
    }

    fn bytes(&self) -> usize {
        let tenant = self.tenant.as_ref().map_or(0, |(_, name, _)| name.len());
        size_of::<Self>() + self.name.len() + tenant
    }
}

// === impl Record ===

impl Record {
    fn wait(from: u64, to: u64) -> Self {
        Self {
            from,
            to,
            queued: 0,
            task: 0,
            name: 0,
            group: 0,
            preempted: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use hart_executor::Executor;

    use crate::sched::trace::draw::Trace;

    /// Hunts a run of hours that eats memory, and a picture in which a worker seems idle because what it did
    /// was given up.
    #[test]
    fn the_last_records_are_kept() {
        let recorder = Arc::new(Recorder::new(2, 4 * CHUNK));
        let push = |row: usize, at: u64| {
            let mut row = lock(&recorder.rows[row].0);
            row.last(&recorder).records.push(Record::wait(at, at + 1));
        };
        for at in 0..100 * CHUNK as u64 {
            push(0, 2 * at);
        }
        push(1, 2);
        push(1, 198 * CHUNK as u64);
        let chunks = recorder.chunks.load(Ordering::Relaxed);
        assert!(chunks <= 5, "{chunks}");
        let trace = Trace::new(recorder.clone());
        let written = trace.write(Vec::new()).unwrap();
        assert!(written.events <= 4 * CHUNK as u64 + 1, "{written:?}");
        assert_eq!(written.events + written.forgotten, 100 * CHUNK as u64 + 2);
        let (rows, since, _) = recorder.copy();
        let row = &rows[1][0].records;
        assert!(row[0].from < since && row[1].from >= since);
    }

    /// Hunts a guest that names every task otherwise: names that are never given up, or that are another's.
    #[test]
    fn names_go_with_their_records() {
        let recorder = Arc::new(Recorder::new(1, 4 * CHUNK));
        let executor = Executor::new();
        let group = executor.group().name("group").build();
        let long = "x".repeat(255);
        let poll = |task: u64, name: &str| {
            let mut row = lock(&recorder.rows[0].0);
            row.last(&recorder).begin(
                2 * task,
                &Begun {
                    queued: 0,
                    task,
                    name,
                    resumes: false,
                    group: &group,
                },
            );
            row.close(2 * task + 1, false);
        };
        for task in 1..100_000 {
            poll(task, &format!("{task} {long}"));
        }
        poll(100_000, "");
        poll(100_001, "a");
        poll(100_002, "b");
        poll(100_003, "a");
        let kept: usize = lock(&recorder.rows[0].0)
            .chunks
            .iter()
            .map(|chunk| chunk.bytes)
            .sum();
        assert!(kept < 8 * NAMES, "{kept}");
        let (rows, _, forgotten) = recorder.copy();
        assert!(forgotten > 90_000);
        for chunk in &rows[0] {
            for record in &chunk.records {
                let expected = match record.task {
                    100_000 => String::new(),
                    100_001 | 100_003 => "a".into(),
                    100_002 => "b".into(),
                    task => format!("{task} {long}"),
                };
                assert_eq!(chunk.name_of(record), expected);
                assert_eq!(&*chunk.origin_of(record).unwrap().name, "group");
            }
        }
    }
}
