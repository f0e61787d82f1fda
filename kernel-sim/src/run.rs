//! Runs a machine to its end.

use crate::{
    config::{Config, MAX_HARTS},
    faults::Fault,
    machine::{Machine, Next, Occurrence, Status},
    oracle::{Failure, Oracle},
    sim::{GuestHost, Inner, Sim},
    stats::Stats,
    switch::Stack,
    trace::{Event, Record},
};
use hart_executor::{Executor, Platform, Step, Worker};
use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
};

/// How a run ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// What was done.
    pub stats: Stats,
    /// When the last task ended, virtual nanoseconds after the start.
    pub makespan: u64,
    /// The first promise that was broken.
    pub failure: Option<Failure>,
    /// The last events.
    pub last: Vec<Record>,
    /// Every event, where the configuration says to keep them.
    pub trace: Vec<Record>,
    /// Names of tasks, by number, with the group.
    pub tasks: Vec<(Cow<'static, str>, Option<u32>)>,
    /// Names of groups.
    pub groups: Vec<String>,
}

/// Runs a machine: `start` is called from outside every hart before time begins. Ends when every task has
/// ended, or only daemons wait; then the executor is closed and all must be gone.
///
/// # Panics
///
/// If the number of harts is zero or above [`MAX_HARTS`].
pub fn run(config: &Config, start: impl FnOnce(&Sim)) -> Outcome {
    assert!(
        (1..=MAX_HARTS).contains(&config.harts),
        "a machine has 1 to {MAX_HARTS} harts, not {}",
        config.harts
    );
    let machine = Arc::new(Machine::new(config));
    let executor = Executor::with_platform(config.harts, machine.clone());
    run_on(config, machine, executor, None, start)
}

/// Runs a machine whose executor is there already.
pub(crate) fn run_on(
    config: &Config,
    machine: Arc<Machine>,
    executor: Executor,
    host: Option<Box<dyn GuestHost>>,
    start: impl FnOnce(&Sim),
) -> Outcome {
    let mut runner = Runner::new(config, machine, executor, host);
    start(&runner.sim);
    runner.go();
    runner.finish()
}

/// What a hart executes.
fn body(machine: &Arc<Machine>, executor: &Executor, hart: usize) {
    let run = || {
        loop {
            machine.wait_online(hart);
            let Ok(mut worker) = Worker::new(executor) else {
                return;
            };
            machine.came_online(hart, worker.id());
            while !machine.wants_offline(hart) {
                let step = worker.step();
                machine.stepped(hart, step);
                match step {
                    Step::Closed => return,
                    Step::Sleep { until } => machine.park(worker.id(), until),
                    _ => {}
                }
            }
            drop(worker);
            machine.went_offline(hart);
        }
    };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
        let text = panic
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        machine.fail(Oracle::NoPanic, || {
            format!("the worker of hart {hart} panicked: {text}")
        });
    }
}

/// Lets a machine's harts go on, one at a time.
pub(crate) struct Runner {
    sim: Sim,
    stacks: Vec<Stack>,
    max_steps: u64,
}

/// What came of a turn.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Something happened.
    On,
    /// A promise is broken: the machine stands still for good.
    Failed,
    /// Nothing will ever happen again by itself.
    Quiet,
}

impl Runner {
    pub(crate) fn new(
        config: &Config,
        machine: Arc<Machine>,
        executor: Executor,
        host: Option<Box<dyn GuestHost>>,
    ) -> Self {
        let stacks = (0..config.harts)
            .map(|hart| {
                let (machine, executor) = (machine.clone(), executor.clone());
                Stack::new(move || body(&machine, &executor, hart))
            })
            .collect();
        let inner = Inner {
            machine,
            executor,
            refs: Mutex::new(Vec::new()),
            keep_refs: config.faults.has(Fault::Cancel),
            host,
        };
        Self {
            sim: Sim {
                inner: Arc::new(inner),
            },
            stacks,
            max_steps: config.max_steps,
        }
    }

    pub(crate) fn machine(&self) -> &Machine {
        self.sim.machine()
    }

    /// To the end: until every task has ended, or only daemons wait; then the executor is closed.
    pub(crate) fn go(&mut self) {
        loop {
            match self.turn(true) {
                Turn::On => {}
                Turn::Failed => return,
                Turn::Quiet => {
                    let mut state = self.machine().lock();
                    if state.closed {
                        return;
                    }
                    state.check_quiet(self.no_guests());
                    drop(state);
                    self.sim.close();
                }
            }
        }
    }

    /// The next thing that happens; where `closes`, a close if all tasks have ended.
    pub(crate) fn turn(&mut self, closes: bool) -> Turn {
        let machine = self.sim.inner.machine.clone();
        let mut state = machine.lock();
        state.check_idle();
        if state.failure.is_some() {
            return Turn::Failed;
        }
        if state.steps > self.max_steps {
            let (steps, live) = (state.steps, state.live);
            state.fail(Oracle::Progress, || {
                format!("{live} tasks are not done after {steps} steps")
            });
            return Turn::Failed;
        }
        if closes && state.live == 0 && state.calls == 0 && !state.closing && self.no_guests() {
            drop(state);
            self.sim.close();
            return Turn::On;
        }
        if let Some(host) = &self.sim.inner.host
            && let Some(at) = host.next_deadline()
            && state.is_due(at)
        {
            drop(state);
            host.expire();
            return Turn::On;
        }
        match state.next() {
            Next::Hart(hart) => {
                drop(state);
                let done = self.stacks[hart].resume();
                let mut state = machine.lock();
                state.current = None;
                if done {
                    state.harts[hart].status = Status::Done;
                    state.record(Some(hart), Event::Offline);
                }
            }
            Next::Fault(Fault::Cancel) => {
                drop(state);
                self.sim.cancel_any();
            }
            Next::Fault(kind) => state.strike(kind),
            Next::Occurrence(what) => {
                drop(state);
                self.handle(what);
            }
            Next::Quiet => return Turn::Quiet,
        }
        Turn::On
    }

    fn no_guests(&self) -> bool {
        self.sim
            .inner
            .host
            .as_ref()
            .is_none_or(|host| host.is_idle())
    }

    fn handle(&self, what: Occurrence) {
        let machine = self.sim.machine();
        match what {
            Occurrence::Timer { hart, waker } => self.sim.interrupt(hart, waker),
            Occurrence::Call(f) => f(),
            Occurrence::Close => self.sim.close(),
            Occurrence::Interrupt { hart } => {
                let mut state = machine.lock();
                state.interrupts -= 1;
                state.harts[hart].interrupts -= 1;
                state.harts[hart].token = true;
                state.record(Some(hart), Event::Interrupt);
                state.wake(hart);
            }
            Occurrence::Online { hart } => {
                let mut state = machine.lock();
                if state.harts[hart].status == Status::Offline {
                    let at = state.now + crate::cost::BOOT;
                    state.make_ready(hart, at);
                }
            }
        }
    }

    /// After the last turn.
    pub(crate) fn finish(self) -> Outcome {
        let Self { sim, stacks, .. } = self;
        let machine = sim.inner.machine.clone();
        if machine.lock().failure.is_none() {
            self::check_end(&sim);
        }
        let left = machine.lock().take_occurrences();
        if machine.lock().failure.is_some() {
            // Harts stand still somewhere in the executor: nothing of it may be dropped under them.
            std::mem::forget(left);
            std::mem::forget(sim);
        } else {
            drop(left);
            drop(sim);
        }
        drop(stacks);
        let mut state = machine.lock();
        let tasks = state
            .tasks
            .iter()
            .map(|info| (info.name.clone(), info.group))
            .collect();
        let groups = state
            .groups
            .iter()
            .map(|group| group.name.clone())
            .collect();
        Outcome {
            stats: Stats {
                hash: state.trace.hash(),
                steps: state.steps,
                time: state.now,
                tasks: state.tasks.len() as u64,
                preemptions: state.preemptions,
                harts: state.harts.iter().map(|hart| hart.stats).collect(),
            },
            makespan: state.last_end,
            failure: state.failure.take(),
            last: state.trace.last(),
            trace: state.trace.take_all(),
            tasks,
            groups,
        }
    }
}

/// After the close, when every hart is done.
fn check_end(sim: &Sim) {
    let machine = sim.machine();
    let pending = sim.executor().pending_tasks();
    let (outputs, allocated) = (machine.live_outputs(), machine.allocated.load(Relaxed));
    let mut state = machine.lock();
    let running = state
        .harts
        .iter()
        .position(|hart| hart.status != Status::Done);
    let left = state.tasks.iter().position(|info| info.ending.is_none());
    if let Some(hart) = running {
        state.fail(Oracle::Progress, || {
            format!("hart {hart} still sleeps after the close")
        });
    }
    if let Some(task) = left {
        state.fail(Oracle::NothingLeft, || {
            format!("the future of task {task} is left")
        });
    }
    if outputs + allocated + pending as u64 > 0 {
        state.fail(Oracle::NothingLeft, || {
            format!(
                "{outputs} outputs, {allocated} tasks' memory and {pending} pending tasks are left"
            )
        });
    }
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").finish_non_exhaustive()
    }
}
