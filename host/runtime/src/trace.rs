//! What workers really did: recorded while they run, written as Chrome's trace format afterwards.
//!
//! 1. Where a runtime is traced, the futures of its tasks are wrapped ([`Traced`]), and so is its platform:
//!    where it is not, nothing of this is on any path.
//! 2. Each worker appends to a *row* of its own, whose lock nobody else wants while it runs. A record is 40
//!    bytes and a reference to the task's names.
//! 3. The last records are kept, as many as was said. Rows are made of chunks; a row that needs one when
//!    all are used gives up its own oldest.
//! 4. [`Trace::write`] copies the rows and writes them. Rows that gave up chunks begin at different times:
//!    the picture begins where all of them are whole.

mod task;
mod writer;

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

pub(crate) use task::Traced;
use task::TracedTask;
pub use writer::{TraceWriter, escape_json};

use crate::runtime::this_worker;
use crate::sync::lock;

const _: () = assert!(size_of::<Record>() == 40);

/// Records in a chunk of a row.
const CHUNK: usize = 512;

/// Different names that are kept to be shared. Guests may make up more.
const NAMES: usize = 4_096;

/// Bits of a mark that hold a time: 78 hours of nanoseconds. Wakes after that are not drawn.
const TIME_BITS: u32 = 48;

/// What the workers of a runtime did: a handle to what is recorded while it is traced. From
/// [`Runtime::trace`](crate::Runtime::trace).
///
/// # Examples
///
/// ```
/// use hart_host::{Cache, Host, Trace};
///
/// let host = Host::builder().cache(Cache::Off).trace(Trace::DEFAULT_EVENTS).build()?;
/// let component = host.load(br#"
///     (component
///         (core module $m (func (export "f") (result i32) i32.const 42))
///         (core instance $i (instantiate $m))
///         (func (export "answer") (result u32) (canon lift (core func $i "f"))))
/// "#)?;
/// host.invoke(&component, "answer()")?.name("example").start()?.wait()?;
/// let mut json = Vec::new();
/// let written = host.runtime().trace().unwrap().write(&mut json)?;
/// assert!(written.events > 0 && written.forgotten == 0);
/// assert!(String::from_utf8(json)?.contains("\"example\""));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Trace {
    recorder: Arc<Recorder>,
}

/// What [`Trace::write`] wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceWritten {
    /// Polls and waits that are in it.
    pub events: u64,
    /// Earlier ones that were not kept.
    pub forgotten: u64,
}

/// What the workers of a runtime append to.
pub(crate) struct Recorder {
    clock: Clock,
    /// By the numbers that a worker may have.
    rows: Box<[Row]>,
    /// Names of tasks and groups, which are mostly the same.
    names: Mutex<HashSet<Arc<str>>>,
    /// Chunks in all rows.
    chunks: AtomicUsize,
    most_chunks: usize,
}

/// Nanoseconds since a recorder was made.
#[derive(Clone, Copy)]
struct Clock(Instant);

/// Two workers' locks are not in one cache line.
#[derive(Default)]
#[repr(align(128))]
struct Row(Mutex<Records>);

#[derive(Default)]
struct Records {
    chunks: VecDeque<Vec<Record>>,
    /// Since when the worker waits, if it does.
    parked: Option<u64>,
    /// Records that were given up, and when the last of them ended.
    forgotten: u64,
    since: u64,
}

/// A poll, or a wait where it has no task.
#[derive(Clone)]
struct Record {
    from: u64,
    to: u64,
    /// The [`Place::mark`] of where and when the task was queued for this poll; 0 where that is not known.
    queued: u64,
    preempted: bool,
    task: Option<Arc<TracedTask>>,
}

/// A worker, or the outside, at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    worker: Option<u16>,
    at: u64,
}

// === impl Place ===

impl Place {
    /// In one word that is not 0; 0 where the time is too long for it.
    fn mark(self) -> u64 {
        if self.at >> TIME_BITS != 0 {
            return 0;
        }
        let worker = self.worker.map_or(0, |worker| u64::from(worker) + 1);
        (worker << TIME_BITS) | self.at.max(1)
    }

    fn marked(mark: u64) -> Option<Self> {
        let worker = u16::try_from(mark >> TIME_BITS).unwrap_or(0);
        (mark != 0).then_some(Self {
            worker: worker.checked_sub(1),
            at: mark & ((1 << TIME_BITS) - 1),
        })
    }
}

// === impl Clock ===

impl Clock {
    fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// This thread's worker, now.
    fn here(self) -> Place {
        Place {
            worker: this_worker().and_then(|worker| u16::try_from(worker).ok()),
            at: self.now(),
        }
    }
}

// === impl Recorder ===

impl Recorder {
    /// For workers with numbers below `rows`; keeps about `events`, and a chunk for each worker at least.
    pub(crate) fn new(rows: usize, events: usize) -> Self {
        Self {
            clock: Clock(Instant::now()),
            rows: (0..rows).map(|_| Row::default()).collect(),
            names: Mutex::default(),
            chunks: AtomicUsize::new(0),
            most_chunks: events.div_ceil(CHUNK),
        }
    }

    /// Appends to the row of this thread's worker.
    fn record(&self, record: Record) {
        if let Some(row) = this_worker().and_then(|worker| self.rows.get(worker)) {
            lock(&row.0).push(record, self);
        }
    }

    /// Shared copies of these names.
    fn names<const N: usize>(&self, names: [&str; N]) -> [Arc<str>; N] {
        let mut kept = lock(&self.names);
        if kept.len() + N > NAMES {
            kept.clear();
        }
        names.map(|name| match kept.get(name) {
            Some(kept) => kept.clone(),
            None => {
                let shared: Arc<str> = name.into();
                kept.insert(shared.clone());
                shared
            }
        })
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
            row.push(Record::wait(from, to), self);
        }
    }

    /// The rows as they are now, and from when on they are whole.
    fn copy(&self) -> (Vec<Vec<Record>>, u64, u64) {
        let (mut since, mut forgotten) = (0, 0);
        let copy = |row: &Row| {
            let row = lock(&row.0);
            since = since.max(row.since);
            forgotten += row.forgotten;
            let waits = row.parked.map(|from| Record::wait(from, self.clock.now()));
            row.chunks.iter().flatten().cloned().chain(waits).collect()
        };
        let rows = self.rows.iter().map(copy).collect();
        (rows, since, forgotten)
    }
}

// === impl Records ===

impl Records {
    fn push(&mut self, record: Record, recorder: &Recorder) {
        if self.chunks.back().is_none_or(|last| last.len() == CHUNK) {
            let chunk = self.chunk(recorder);
            self.chunks.push_back(chunk);
        }
        if let Some(last) = self.chunks.back_mut() {
            last.push(record);
        }
    }

    /// An empty chunk: a new one, or the oldest.
    fn chunk(&mut self, recorder: &Recorder) -> Vec<Record> {
        let used = recorder.chunks.load(Ordering::Relaxed);
        if used >= recorder.most_chunks
            && let Some(mut oldest) = self.chunks.pop_front()
        {
            self.forgotten += oldest.len() as u64;
            self.since = oldest.last().map_or(self.since, |last| last.to);
            oldest.clear();
            return oldest;
        }
        // Several rows may see the last one free; a few more than was said are used then.
        recorder.chunks.fetch_add(1, Ordering::Relaxed);
        Vec::with_capacity(CHUNK)
    }
}

// === impl Record ===

impl Record {
    fn wait(from: u64, to: u64) -> Self {
        Self {
            from,
            to,
            queued: 0,
            preempted: false,
            task: None,
        }
    }
}

// === impl Trace ===

impl Trace {
    /// Polls and waits that are kept where nothing else is wanted: the last million, in about 100 MB of
    /// memory at most, and 400 MB of file.
    pub const DEFAULT_EVENTS: usize = 1_000_000;

    pub(crate) fn new(recorder: Arc<Recorder>) -> Self {
        Self { recorder }
    }

    /// Writes what was recorded so far as Chrome's trace format, which Perfetto opens: a row for each
    /// worker; polls with the names of task and group, waits, preemptions; an arrow from where a task was
    /// woken or spawned on a worker to the poll that followed, called `steal` where that is on another worker.
    ///
    /// Tasks are those that can run guests; what else workers do between them is not in it. Writes are
    /// small: give it something buffered.
    ///
    /// # Errors
    ///
    /// The first one of a write.
    pub fn write(&self, to: impl io::Write) -> io::Result<TraceWritten> {
        let (mut rows, since, mut forgotten) = self.recorder.copy();
        let mut trace = TraceWriter::new(to, "hart");
        let mut events = 0;
        for (number, row) in rows.iter_mut().enumerate() {
            let kept = row.len();
            row.retain(|record| record.from >= since);
            forgotten += (kept - row.len()) as u64;
            events += row.len() as u64;
            if !row.is_empty() {
                trace.row(thread(number), &format!("worker {number}"));
            }
        }
        if forgotten > 0 {
            let what = format!("{forgotten} events before this were not kept");
            trace.instant(0, "trace", &what, since);
        }
        for (number, row) in rows.iter().enumerate() {
            for record in row {
                draw(&mut trace, thread(number), record);
            }
        }
        let mut arrows = 0;
        for (number, row) in rows.iter().enumerate() {
            for record in row {
                if let Some((worker, at)) = source(&rows, record) {
                    arrows += 1;
                    let worker_row = thread(worker);
                    let name = if worker == number { "wake" } else { "steal" };
                    trace.arrow(
                        arrows,
                        name,
                        (worker_row, at),
                        (thread(number), record.from),
                    );
                }
            }
        }
        trace.finish()?;
        Ok(TraceWritten { events, forgotten })
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").finish_non_exhaustive()
    }
}

fn thread(worker: usize) -> u32 {
    u32::try_from(worker).unwrap_or(u32::MAX)
}

fn draw<W: io::Write>(trace: &mut TraceWriter<W>, row: u32, record: &Record) {
    let Some(polled) = &record.task else {
        trace.slice(row, "idle", "parked", record.from, record.to, &[]);
        return;
    };
    let (task, waited) = (polled.id.to_string(), waited(record));
    let args = [
        ("task", task.as_str()),
        ("group", &*polled.group),
        ("waited", waited.as_str()),
    ];
    let unnamed = format!("task {task}");
    let name = if polled.name.is_empty() {
        &unnamed
    } else {
        &*polled.name
    };
    trace.slice(row, "poll", name, record.from, record.to, &args);
    if record.preempted {
        trace.instant(row, "preemption", "preempted", record.to);
    }
}

fn waited(record: &Record) -> String {
    match Place::marked(record.queued) {
        Some(queued) => format!("{} ns", record.from.saturating_sub(queued.at)),
        None => String::from("unknown"),
    }
}

/// The worker on which the task was queued for this poll, and when, if that lies in something that is drawn.
fn source(rows: &[Vec<Record>], record: &Record) -> Option<(usize, u64)> {
    let queued = Place::marked(record.queued)?;
    let worker = usize::from(queued.worker?);
    let row = rows.get(worker)?;
    let before = row.partition_point(|other| other.from <= queued.at);
    let around = row.get(before.checked_sub(1)?)?;
    (queued.at < around.to).then_some((worker, queued.at))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts marks that lose a worker or a time, and the outside that becomes worker 0.
    #[test]
    fn marks_hold_places() {
        for worker in [None, Some(0), Some(8_191)] {
            let place = Place {
                worker,
                at: 123_456_789_000,
            };
            assert_eq!(Place::marked(place.mark()), Some(place));
        }
        let late = Place {
            worker: Some(1),
            at: 1 << TIME_BITS,
        };
        assert_eq!(Place::marked(late.mark()), None);
    }

    /// Hunts a run of hours that eats memory, and a picture in which a worker seems idle because what it did
    /// was given up.
    #[test]
    fn the_last_records_are_kept() {
        let recorder = Arc::new(Recorder::new(2, 4 * CHUNK));
        let push = |row: usize, at: u64| {
            lock(&recorder.rows[row].0).push(Record::wait(at, at + 1), &recorder);
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
        assert!(rows[1][0].from < since && rows[1][1].from >= since);
    }
}
