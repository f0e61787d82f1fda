//! What was recorded, as a picture.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::sched::trace::place::Place;
use crate::sched::trace::recorder::{Chunk, Origin, Record, Recorder};
use crate::sched::trace::writer::TraceWriter;

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

// === impl Trace ===

impl Trace {
    /// Polls and waits that are kept where nothing else is wanted: the last million, in about 100 MB of
    /// memory at most, and 400 MB of file.
    pub const DEFAULT_EVENTS: usize = 1_000_000;

    pub(crate) fn new(recorder: Arc<Recorder>) -> Self {
        Self { recorder }
    }

    /// Has `told` called for each turn that begins later than `longest` after its task was spawned or woken, with how long
    /// that was: by the worker that begins the turn, so it must be short, and must not panic. A task whose core was taken
    /// waits for its share, and is not late. Only the first call of this counts.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use hart_host::{Host, Trace};
    ///
    /// let host = Host::builder().trace(10_000).build()?;
    /// let trace = host.runtime().trace().unwrap();
    /// trace.watch(Duration::from_millis(100), |waited| eprintln!("a turn was {waited:?} late"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn watch(&self, longest: Duration, told: impl Fn(Duration) + Send + Sync + 'static) {
        self.recorder.watch(longest, Box::new(told));
    }

    /// Writes what was recorded so far as Chrome's trace format, which Perfetto opens: a row for each
    /// worker; polls with the names of task and group, waits, preemptions; an arrow from where a task was
    /// woken or spawned on a worker to the poll that followed, called `steal` where that is on another worker.
    ///
    /// A group is named once, with its weight, its slice and its tenant. Tasks are those that can run guests; what else
    /// workers do between them is not in it. Writes are small: give it something buffered. A worker that wants to record
    /// meanwhile waits until its row is copied: some milliseconds for each hundred thousand events.
    ///
    /// # Errors
    ///
    /// The first one of a write.
    pub fn write(&self, to: impl io::Write) -> io::Result<TraceWritten> {
        let (mut rows, since, mut forgotten) = self.recorder.copy();
        let mut trace = TraceWriter::new(to, "hart");
        let mut events = 0;
        for (number, row) in rows.iter_mut().enumerate() {
            let mut some = false;
            for chunk in row {
                let kept = chunk.records.len();
                chunk.records.retain(|record| record.from >= since);
                forgotten += (kept - chunk.records.len()) as u64;
                events += chunk.records.len() as u64;
                some |= !chunk.records.is_empty();
            }
            if some {
                trace.row(thread(number), &format!("worker {number}"));
            }
        }
        for row in &mut rows {
            row.retain(|chunk| !chunk.records.is_empty());
        }
        if forgotten > 0 {
            let what = format!("{forgotten} events before this were not kept");
            trace.instant(0, "trace", &what, since);
        }
        let mut named = HashSet::new();
        for (number, row) in rows.iter().enumerate() {
            for chunk in row {
                for record in &chunk.records {
                    if let Some(origin) = chunk.origin_of(record)
                        && named.insert(origin.group)
                    {
                        describe(&mut trace, origin);
                    }
                    draw(&mut trace, thread(number), chunk, record);
                }
            }
        }
        let mut arrows = 0;
        for (number, row) in rows.iter().enumerate() {
            for record in row.iter().flat_map(|chunk| &chunk.records) {
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

fn draw<W: io::Write>(trace: &mut TraceWriter<W>, row: u32, chunk: &Chunk, record: &Record) {
    if record.task == 0 {
        trace.slice(row, "idle", "parked", record.from, record.to, &[]);
        return;
    }
    let (task, waited) = (record.task.to_string(), waited(record));
    let origin = chunk.origin_of(record);
    let run = origin.map_or(0, |origin| origin.group).to_string();
    let args = [
        ("task", task.as_str()),
        ("group", origin.map_or("", |origin| &origin.name)),
        ("run", run.as_str()),
        ("waited", waited.as_str()),
    ];
    let unnamed = format!("task {task}");
    let name = match chunk.name_of(record) {
        "" => &unnamed,
        name => name,
    };
    trace.slice(row, "poll", name, record.from, record.to, &args);
    if record.preempted {
        trace.instant(row, "preemption", "preempted", record.to);
    }
}

/// Says once what a simulation of it needs to know of a group.
fn describe<W: io::Write>(trace: &mut TraceWriter<W>, origin: &Origin) {
    let (run, weight) = (origin.group.to_string(), origin.weight.to_string());
    let slice = format!("{} ns", origin.slice.as_nanos());
    let mut args = vec![
        ("run", run.as_str()),
        ("group", &origin.name),
        ("weight", &weight),
        ("slice", &slice),
    ];
    let (id, tenant_weight);
    if let Some((number, name, weight)) = &origin.tenant {
        (id, tenant_weight) = (number.to_string(), weight.to_string());
        args.extend([
            ("tenant_id", id.as_str()),
            ("tenant", name),
            ("tenant_weight", &tenant_weight),
        ]);
    }
    trace.about("hart_group", &args);
}

fn waited(record: &Record) -> String {
    match Place::marked(record.queued) {
        Some(queued) => format!("{} ns", record.from.saturating_sub(queued.at)),
        None => String::from("unknown"),
    }
}

/// The worker on which the task was queued for this poll, and when, if that lies in something that is drawn.
fn source(rows: &[Vec<Chunk>], record: &Record) -> Option<(usize, u64)> {
    let queued = Place::marked(record.queued)?;
    let worker = usize::from(queued.worker?);
    let chunks = rows.get(worker)?;
    let began = |chunk: &Chunk| {
        chunk
            .records
            .first()
            .is_some_and(|first| first.from <= queued.at)
    };
    let chunk = chunks.get(chunks.partition_point(began).checked_sub(1)?)?;
    let before = chunk
        .records
        .partition_point(|other| other.from <= queued.at);
    let around = chunk.records.get(before.checked_sub(1)?)?;
    (queued.at < around.to).then_some((worker, queued.at))
}
