//! Which functions of guests take the time: sampled at their epoch checks, written as Firefox's profiler reads it.
//!
//! Where a runtime has a profile, every guest that runs counts as one whose CPU time is limited, so that the clock ticks
//! also where nobody waits. Each tick brings each of them to an epoch check, and its stack is looked at there.

use std::collections::HashMap;
use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use fxprof_processed_profile::{
    CategoryHandle, CpuDelta, Frame, FrameFlags, FrameInfo, ProcessHandle, Profile,
    ReferenceTimestamp, SamplingInterval, ThreadHandle, Timestamp,
};
use wasmtime::{AsContext, WasmBacktrace};

use crate::base::sync::lock;
use crate::base::text;
use crate::sched::this_worker::this_worker;

/// Frames of all samples together, a bound for the memory that they take: some 40 bytes each, if none is like another.
const MOST_FRAMES: usize = 4_000_000;

/// Where the functions of a runtime's guests were when their stacks were looked at: [`Runtime::profile_guests`].
///
/// [`Runtime::profile_guests`]: crate::Runtime::profile_guests
pub struct GuestProfile {
    started: Instant,
    samples: Mutex<Samples>,
}

struct Samples {
    profile: Profile,
    process: ProcessHandle,
    /// A row for each worker.
    rows: HashMap<usize, ThreadHandle>,
    frames: usize,
    /// Samples that were not kept.
    lost: u64,
}

impl GuestProfile {
    pub(crate) fn new(interval: Duration) -> Self {
        let now = ReferenceTimestamp::from(SystemTime::now());
        let mut profile = Profile::new("hart", now, SamplingInterval::from(interval));
        profile.set_symbolicated(true);
        let process = profile.add_process("guests", 0, at(Duration::ZERO));
        Self {
            started: Instant::now(),
            samples: Mutex::new(Samples {
                profile,
                process,
                rows: HashMap::new(),
                frames: 0,
                lost: 0,
            }),
        }
    }

    /// Looks at the stack of the guest that runs on this thread.
    pub(crate) fn sample(&self, store: impl AsContext) {
        let backtrace = WasmBacktrace::force_capture(store);
        // Outermost first.
        let names = backtrace.frames().iter().rev().map(|frame| {
            frame.func_name().map_or_else(
                || format!("function {}", frame.func_index()),
                |name| text::line(&format!("{:#}", rustc_demangle::demangle(name))),
            )
        });
        let now = at(self.started.elapsed());
        lock(&self.samples).add(now, this_worker().unwrap_or(0), names.collect());
    }

    /// Writes what there is so far, as JSON for <https://profiler.firefox.com/>. Returns how many samples were left out,
    /// because there were too many to keep.
    ///
    /// # Errors
    ///
    /// What `to` says.
    pub fn write(&self, to: impl io::Write) -> io::Result<u64> {
        let mut samples = lock(&self.samples);
        let now = at(self.started.elapsed());
        let Samples {
            profile,
            process,
            rows,
            lost,
            ..
        } = &mut *samples;
        profile.set_process_end_time(*process, now);
        for row in rows.values() {
            profile.set_thread_end_time(*row, now);
        }
        serde_json::to_writer(to, profile)?;
        Ok(*lost)
    }
}

impl Samples {
    fn add(&mut self, now: Timestamp, worker: usize, names: Vec<String>) {
        self.frames = self.frames.saturating_add(names.len());
        if self.frames > MOST_FRAMES {
            self.lost += 1;
            return;
        }
        let (profile, process) = (&mut self.profile, self.process);
        let row = *self.rows.entry(worker).or_insert_with(|| {
            let number = u32::try_from(worker).unwrap_or(u32::MAX);
            let row = profile.add_thread(process, number, now, worker == 0);
            profile.set_thread_name(row, &format!("worker {worker}"));
            row
        });
        let frames: Vec<FrameInfo> = names
            .iter()
            .map(|name| FrameInfo {
                frame: Frame::Label(profile.intern_string(name)),
                category_pair: CategoryHandle::OTHER.into(),
                flags: FrameFlags::empty(),
            })
            .collect();
        let stack = profile.intern_stack_frames(row, frames.into_iter());
        profile.add_sample(row, now, stack, CpuDelta::from(Duration::ZERO), 1);
    }
}

/// So long after the start.
fn at(elapsed: Duration) -> Timestamp {
    Timestamp::from_nanos_since_reference(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
}

impl std::fmt::Debug for GuestProfile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuestProfile").finish_non_exhaustive()
    }
}
