//! A recording on a machine: the same work, scheduled anew.

use super::{
    file::{Origin, Recording},
    program::{Program, Step, programs},
};
use crate::{
    config::Config,
    late::Late,
    report,
    run::{Outcome, run},
    sim::{Sim, SimGroup},
    timeline::Timeline,
};
use hart_executor::{Tenant, yield_now};
use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Poll, Waker},
    time::Duration,
};

/// Between two ticks of the clock while a task computes, in nanoseconds: so exactly do slices end.
const CHUNK: u64 = 100_000;

/// What is to be otherwise than it was recorded.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Change {
    /// How long the turns of all groups are.
    pub slice: Option<Duration>,
    /// Weights, by the names of groups or tenants.
    pub weights: Vec<(String, u32)>,
}

/// What came of a replay.
#[derive(Debug)]
#[non_exhaustive]
pub struct Replay {
    /// The machine's own account.
    pub machine: Outcome,
    /// How late turns began.
    pub late: Late,
}

/// A task that is to run, and what wakes it.
struct Task {
    name: String,
    group: usize,
    program: Program,
    wakes: Wakes,
}

#[derive(Default)]
struct Wakes {
    count: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

/// All of a recording, on a machine.
struct Stage {
    sim: Sim,
    groups: Vec<SimGroup>,
    tasks: Vec<Task>,
}

impl Recording {
    /// Runs on a machine what was recorded: every task computes as long as it did, wakes whom it woke, and waits for what it
    /// waited for; when it has a core follows from the machine.
    ///
    /// # Panics
    ///
    /// As [`run`].
    ///
    /// # Examples
    ///
    /// ```
    /// use hart_sim::{Change, Config, Recording, Schedule};
    ///
    /// // Two tasks, 9 ms each, on one worker: the second begins 9 ms late.
    /// let text = r#"{"displayTimeUnit":"ns","traceEvents":[
    /// {"ph":"X","pid":1,"tid":1,"cat":"poll","name":"a","ts":0.000,"dur":9000.000,"args":{"task":"1","run":"1","waited":"0 ns"}},
    /// {"ph":"X","pid":1,"tid":1,"cat":"poll","name":"b","ts":9000.000,"dur":9000.000,"args":{"task":"2","run":"2","waited":"9000000 ns"}}
    /// ]}"#;
    /// let recording = Recording::read(text.as_bytes())?;
    /// let late = |harts| {
    ///     let mut config = Config::new(0);
    ///     config.harts = harts;
    ///     config.schedule = Schedule::Time;
    ///     recording.replay(&config, &Change::default()).late.longest.unwrap().waited
    /// };
    /// assert_eq!(recording.late().longest.unwrap().waited, 9_000_000);
    /// // A core is taken away after a slice, and another one needs an interrupt.
    /// assert!(late(1) < 2_000_000 && late(2) < late(1));
    /// # Ok::<(), hart_sim::RecordingError>(())
    /// ```
    pub fn replay(&self, config: &Config, change: &Change) -> Replay {
        let mut config = config.clone();
        config.keep_trace = true;
        // A recording ends, however long it is.
        config.max_steps = u64::MAX;
        let machine = run(&config, |sim| self.start(sim, change));
        let late = Late::of(&Timeline::new(&machine));
        Replay { machine, late }
    }

    /// A page of HTML: the replay, and under it the recording. `title` says what was replayed, and how.
    pub fn html_comparison(&self, replay: &Replay, title: &str) -> String {
        let stats = &replay.machine.stats;
        let head = report::Head {
            title,
            summary: format!(
                "Replayed on {} virtual cores; under it, as it was recorded: {}",
                stats.harts.len(),
                self.summary()
            ),
            failure: replay.machine.failure.as_ref().map(ToString::to_string),
            depends: None,
        };
        let timeline = Timeline::new(&replay.machine);
        report::page(&head, &timeline, Some(&self.timeline))
    }

    fn start(&self, sim: &Sim, change: &Change) {
        let mut tenants = HashMap::new();
        let groups = { self.groups.iter() }
            .map(|origin| origin.build(sim, change, &mut tenants))
            .collect();
        let tasks = self.timeline.tasks.iter().zip(programs(&self.timeline));
        let tasks = tasks.map(|(account, program)| Task {
            name: account.name.to_string(),
            group: account.group.unwrap_or(0) as usize,
            program,
            wakes: Wakes::default(),
        });
        let stage = Arc::new(Stage {
            sim: sim.clone(),
            groups,
            tasks: tasks.collect(),
        });
        for (number, task) in (0..).zip(&stage.tasks) {
            if let Some(at) = task.program.starts_at {
                let stage = stage.clone();
                sim.outside(at, move || stage.start(number));
            }
        }
    }
}

impl Origin {
    fn build(&self, sim: &Sim, change: &Change, tenants: &mut HashMap<String, Tenant>) -> SimGroup {
        let weight = |name: &str, weight| {
            let changed = change.weights.iter().rev().find(|(of, _)| of == name);
            changed.map_or(weight, |(_, weight)| *weight)
        };
        let executor = sim.executor();
        let mut group = executor.group().name(self.name.clone());
        group = match &self.tenant {
            None => group.weight(weight(&self.name, self.weight)),
            Some((id, name, of_tenant)) => {
                let tenant = tenants.entry(id.clone()).or_insert_with(|| {
                    let tenant = executor.tenant().name(name.clone());
                    tenant.weight(weight(name, *of_tenant)).build()
                });
                group.weight(self.weight).tenant(tenant)
            }
        };
        if let Some(slice) = change.slice.or(self.slice) {
            group = group.slice(slice);
        }
        sim.adopt(group.build())
    }
}

impl Stage {
    fn start(self: Arc<Self>, number: u32) {
        let task = &self.tasks[number as usize];
        let (sim, group) = (&self.sim, &self.groups[task.group]);
        let runs = self.clone().perform(number);
        // A machine that is closed takes none.
        let _ = sim.task(task.name.clone()).group(group).spawn(runs);
    }

    async fn perform(self: Arc<Self>, number: u32) {
        let Task {
            program,
            group,
            wakes,
            ..
        } = &self.tasks[number as usize];
        for step in &program.steps {
            match *step {
                Step::Compute(time) => {
                    self.sim
                        .compute_by_clock(&self.groups[*group], time, CHUNK)
                        .await;
                }
                Step::Start(task) => self.clone().start(task),
                Step::Wake(task) => self.tasks[task as usize].wakes.wake(),
                Step::Yield => yield_now().await,
                Step::Sleep(time) => self.sim.sleep(time).await,
                Step::Woken(count) => wakes.woken(count).await,
            }
        }
    }
}

impl Wakes {
    fn wake(&self) {
        self.count.fetch_add(1, Relaxed);
        // No lock is held while it wakes: others may go on in there.
        let waker = { self.waker.lock() }
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn woken(&self, count: u64) {
        poll_fn(|cx| {
            let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
            if self.count.load(Relaxed) >= count {
                return Poll::Ready(());
            }
            *waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
