//! What a group has used.

use core::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

/// What a group has used so far. A snapshot: its numbers were read one after the other.
///
/// # Examples
///
/// ```
/// use hart_executor::{Executor, Worker};
///
/// let executor = Executor::new();
/// let mut worker = Worker::new(&executor).unwrap();
/// let group = executor.group().build();
/// drop(executor.build_task().group(&group).spawn(async {}));
/// worker.tick();
/// let stats = group.stats();
/// assert_eq!((stats.spawns, stats.polls, stats.preemptions), (1, 1, 0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupStats {
    /// CPU time charged to it.
    pub cpu_time: Duration,
    /// How long its runnable tasks waited for a worker, added up.
    pub wait_time: Duration,
    /// How long it was not runnable because its CPU rate, or its tenant's, was used up. Its tasks count
    /// this time as waiting, too.
    pub throttled_time: Duration,
    /// Polls of its tasks.
    pub polls: u64,
    /// Preemption points at which a task of it was told to yield.
    pub preemptions: u64,
    /// Tasks spawned in it.
    pub spawns: u64,
    /// Tasks of it that have not completed.
    pub live_tasks: u64,
    /// Bytes it holds, as its host counts them.
    pub memory: u64,
    /// The most it ever held.
    pub peak_memory: u64,
}

/// A number of up to 64 bits on every target: two words where words are short.
///
/// Statistics only: adding never loses a count, but a reader may see a carry that is not there yet.
#[derive(Default)]
struct Wide {
    low: AtomicUsize,
    high: AtomicUsize,
}

impl Wide {
    fn add(&self, n: u64) {
        let low = n as usize;
        let before = self.low.fetch_add(low, Relaxed);
        if usize::BITS < u64::BITS {
            let carry = usize::from(before.checked_add(low).is_none());
            let high = n.checked_shr(usize::BITS).unwrap_or(0) as usize + carry;
            if high > 0 {
                self.high.fetch_add(high, Relaxed);
            }
        }
    }

    fn get(&self) -> u64 {
        let high = (self.high.load(Relaxed) as u64)
            .checked_shl(usize::BITS)
            .unwrap_or(0);
        high | self.low.load(Relaxed) as u64
    }
}

/// The counts behind [`GroupStats`]; any thread may add.
#[derive(Default)]
pub(crate) struct Counts {
    cpu: Wide,
    wait: Wide,
    throttled: Wide,
    polls: AtomicUsize,
    preemptions: AtomicUsize,
    spawns: AtomicUsize,
    live: AtomicUsize,
    memory: AtomicUsize,
    peak_memory: AtomicUsize,
}

impl Counts {
    pub(crate) fn charge(&self, nanoseconds: u64) {
        self.cpu.add(nanoseconds);
    }

    /// Nanoseconds charged so far.
    pub(crate) fn cpu(&self) -> u64 {
        self.cpu.get()
    }

    pub(crate) fn waited(&self, nanoseconds: u64) {
        self.wait.add(nanoseconds);
    }

    pub(crate) fn throttled(&self, nanoseconds: u64) {
        self.throttled.add(nanoseconds);
    }

    pub(crate) fn polled(&self, polls: usize) {
        self.polls.fetch_add(polls, Relaxed);
    }

    pub(crate) fn preempted(&self) {
        self.preemptions.fetch_add(1, Relaxed);
    }

    pub(crate) fn spawned(&self) {
        self.spawns.fetch_add(1, Relaxed);
        self.live.fetch_add(1, Relaxed);
    }

    pub(crate) fn ended(&self) {
        self.live.fetch_sub(1, Relaxed);
    }

    pub(crate) fn add_memory(&self, bytes: usize) {
        let now = self.memory.fetch_add(bytes, Relaxed).saturating_add(bytes);
        // Rarely a new peak, and a look does not take the line from other cores.
        if now > self.peak_memory.load(Relaxed) {
            self.peak_memory.fetch_max(now, Relaxed);
        }
    }

    pub(crate) fn sub_memory(&self, bytes: usize) {
        self.memory.fetch_sub(bytes, Relaxed);
    }

    /// The counts, and what is in flight: nanoseconds.
    pub(crate) fn snapshot(&self, in_flight: u64) -> GroupStats {
        GroupStats {
            cpu_time: Duration::from_nanos(self.cpu.get().saturating_add(in_flight)),
            wait_time: Duration::from_nanos(self.wait.get()),
            throttled_time: Duration::from_nanos(self.throttled.get()),
            polls: self.polls.load(Relaxed) as u64,
            preemptions: self.preemptions.load(Relaxed) as u64,
            spawns: self.spawns.load(Relaxed) as u64,
            live_tasks: self.live.load(Relaxed) as u64,
            memory: self.memory.load(Relaxed) as u64,
            peak_memory: self.peak_memory.load(Relaxed) as u64,
        }
    }
}
