//! One simulated core, whose clock moves only when a task says so.

use hart_executor::{CurrentWorker, Executor, Group, Platform, Step, Verdict, Worker, WorkerId};
use std::{
    cell::Cell,
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Poll, Waker},
    time::Duration,
};

/// One core, whose time is CPU time.
#[derive(Default)]
pub(crate) struct Machine {
    pub(crate) now: AtomicU64,
}

thread_local! {
    static CORE: Cell<Option<CurrentWorker>> = const { Cell::new(None) };
}

// SAFETY: the cell is a variable of the calling thread, which nothing but `set_current_worker` writes.
unsafe impl Platform for Machine {
    fn park(&self, _: WorkerId, _: Option<u64>) {
        panic!("the bed steps its worker itself");
    }
    fn unpark(&self, _: WorkerId) {}
    fn now(&self) -> u64 {
        self.now.load(Relaxed)
    }
    fn cpu_time(&self) -> u64 {
        self.now()
    }
    fn current_worker(&self) -> Option<CurrentWorker> {
        CORE.get()
    }
    unsafe fn set_current_worker(&self, worker: Option<CurrentWorker>) -> Option<CurrentWorker> {
        CORE.replace(worker)
    }
}

pub(crate) struct Bed {
    pub(crate) machine: Arc<Machine>,
    pub(crate) executor: Executor,
    pub(crate) worker: Worker,
}

pub(crate) const SLICE: u64 = 1_000_000;

/// So many slices, or milliseconds. Under Miri, where each takes a hundredth of a second and more, it is few of them: enough
/// for everything to run, and not for shares to be seen.
pub(crate) const fn long(slices: u64) -> u64 {
    if cfg!(miri) { slices / 200 } else { slices }
}

impl Bed {
    pub(crate) fn new() -> Self {
        let machine = Arc::new(Machine::default());
        let executor = Executor::with_platform(1, machine.clone());
        let worker = Worker::new(&executor).unwrap();
        Self {
            machine,
            executor,
            worker,
        }
    }

    pub(crate) fn group(&self, weight: u32) -> Group {
        self.executor.group().weight(weight).build()
    }

    /// A task that computes for ever, a slice at a time, and makes way where it is told to.
    pub(crate) fn spin(&self, group: &Group) {
        let (machine, its) = (self.machine.clone(), group.clone());
        let spinner = poll_fn(move |cx| {
            loop {
                machine.now.fetch_add(SLICE, Relaxed);
                if its.preemption_point() == Verdict::Yield {
                    cx.waker().wake_by_ref();
                    return Poll::<()>::Pending;
                }
                if machine.now() % (long(1_000) * SLICE) == 0 {
                    // The bed looks at the clock now and then.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        });
        drop(self.executor.build_task().group(group).spawn(spinner));
    }

    /// A task that computes for ever, and makes way after every slice.
    pub(crate) fn spin_by_slices(&self, group: &Group) {
        let machine = self.machine.clone();
        let spinner = poll_fn(move |cx| {
            machine.now.fetch_add(SLICE, Relaxed);
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        drop(self.executor.build_task().group(group).spawn(spinner));
    }

    /// A task that computes for ever, and looks at a clock that ticks every `tick`.
    pub(crate) fn spin_by_ticks(&self, group: &Group, tick: u64) {
        let (machine, its) = (self.machine.clone(), group.clone());
        let spinner = poll_fn(move |cx| {
            loop {
                machine.now.fetch_add(tick, Relaxed);
                if its.preemption_tick() == Verdict::Yield {
                    cx.waker().wake_by_ref();
                    return Poll::<()>::Pending;
                }
            }
        });
        drop(self.executor.build_task().group(group).spawn(spinner));
    }

    /// A task that works for `work` whenever its waker is called.
    pub(crate) fn wait(&self, group: &Group, work: u64) -> Arc<Mutex<Option<Waker>>> {
        self.begin_and_wait(group, 0, work)
    }

    /// The same, after it has worked for `begin`.
    pub(crate) fn begin_and_wait(
        &self,
        group: &Group,
        begin: u64,
        work: u64,
    ) -> Arc<Mutex<Option<Waker>>> {
        let slot = Arc::new(Mutex::new(None));
        let (machine, its) = (self.machine.clone(), slot.clone());
        let mut first = true;
        let waiter = poll_fn(move |cx| {
            *its.lock().unwrap() = Some(cx.waker().clone());
            let work = if std::mem::take(&mut first) {
                begin
            } else {
                work
            };
            machine.now.fetch_add(work, Relaxed);
            Poll::<()>::Pending
        });
        drop(self.executor.build_task().group(group).spawn(waiter));
        slot
    }

    pub(crate) fn run_for(&mut self, slices: u64) {
        let until = self.machine.now() + slices * SLICE;
        while self.machine.now() < until {
            match self.worker.step() {
                Step::Closed => panic!("nobody closes it"),
                Step::Sleep { until: Some(next) } => {
                    let now = self.machine.now();
                    self.machine.now.store(next.max(now), Relaxed);
                }
                Step::Sleep { until: None } => panic!("it sleeps for ever"),
                _ => {}
            }
        }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // Some tasks have handles to the executor, which would keep it and them.
        self.executor.close();
    }
}

pub(crate) fn share(group: &Group, of: Duration) -> f64 {
    group.stats().cpu_time.as_secs_f64() / of.as_secs_f64()
}

pub(crate) fn assert_near(measured: f64, expected: f64, tolerance: f64) {
    assert!(
        cfg!(miri) || (measured - expected).abs() <= tolerance,
        "{measured} is not within {tolerance} of {expected}"
    );
}
