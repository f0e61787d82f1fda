//! Calls that wait, and who does them.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
use wasmtime::Store;
use wasmtime::component::{Instance, Val};

use super::error::InstanceError;
use super::job::{Beside, Body, Deliver, Job, Phase};
use super::life::Life;
use super::restart::Restart;
use crate::base::signal::Signal;
use crate::base::sync::lock;
use crate::host::run::prepared::Prepared;
use crate::instance::error::RunError;
use crate::instance::lifecycle::{Held, Work};
use crate::instance::store::GuestState;
use crate::quota::kill::Kill;
use crate::sched::clock::Clock;

/// Makes the embedder's data for each instance.
pub(super) type Data<T> = Arc<dyn Fn() -> T + Send + Sync>;

pub(super) struct Settings<T> {
    pub(super) name: String,
    /// Calls that may wait.
    pub(super) limit: usize,
    /// Calls that may go on at once, where they can.
    pub(super) concurrency: usize,
    /// How long an instance without calls stays.
    pub(super) idle: Option<Duration>,
    pub(super) restart: Restart,
    pub(super) data: Option<Data<T>>,
}

/// What the root of a life does.
pub(super) type Driver<T> = for<'a> fn(
    Arc<Queue<T>>,
    Arc<Life>,
    &'a mut Store<GuestState<T>>,
    Instance,
) -> BoxFuture<'a, wasmtime::Result<Vec<Val>>>;

/// The calls of one instance.
pub(super) struct Queue<T: 'static> {
    prepared: Prepared<T>,
    settings: Settings<T>,
    driver: Driver<T>,
    state: Mutex<State<T>>,
    /// Notified when there is a job, when a driver has begun, and when a life is over.
    changed: Signal,
    pub(super) counts: Arc<Counts>,
}

/// Counts only, each raised before anybody can see what it counts.
#[derive(Default)]
pub(super) struct Counts {
    /// Calls that were done well, and those that were not.
    pub(super) done: AtomicU64,
    pub(super) failed: AtomicU64,
    /// Instances that were made.
    pub(super) started: AtomicU64,
}

struct State<T: 'static> {
    jobs: VecDeque<Job<T>>,
    /// The run that does them.
    current: Option<Arc<Life>>,
    /// It is at one.
    is_busy: bool,
    /// What it does may have others of its kind beside it, and there is room for more.
    takes_more: bool,
    /// The next one is to come after a while.
    is_backing_off: bool,
    /// There is no next one, because of this one's end.
    ended: Option<Arc<Life>>,
    /// No handle is left.
    closing: bool,
    /// Lives that have done no call well, one after the other.
    failures: u32,
}

impl<T: Send + 'static> Queue<T> {
    pub(super) fn new(
        prepared: Prepared<T>,
        settings: Settings<T>,
        driver: Driver<T>,
    ) -> Arc<Self> {
        Arc::new(Self {
            prepared,
            settings,
            driver,
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                current: None,
                is_busy: false,
                takes_more: false,
                is_backing_off: false,
                ended: None,
                closing: false,
                failures: 0,
            }),
            changed: Signal::default(),
            counts: Arc::default(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.settings.name
    }

    pub(super) fn clock(&self) -> &Arc<Clock> {
        self.prepared.clock()
    }

    /// How many calls wait, and the run that there is.
    pub(super) fn look(&self) -> (usize, Option<Arc<Life>>) {
        let state = lock(&self.state);
        let waiting = state.jobs.iter().filter(|job| job.ticket.is(Phase::Waits));
        (waiting.count(), state.current.clone())
    }

    /// How many calls it has to do, and whether an instance is there for them.
    pub(super) fn load(&self) -> (usize, bool) {
        let state = lock(&self.state);
        let calls = state.jobs.len() + usize::from(state.is_busy);
        (calls, state.current.is_some())
    }

    /// Starts the first instance, and waits until it is there.
    pub(super) async fn start(self: &Arc<Self>) -> Result<(), InstanceError> {
        let life = Arc::<Life>::default();
        lock(&self.state).current = Some(life.clone());
        self.launch(&life);
        let settled = || life.is(|life| &life.begun) || life.is(|life| &life.gone);
        self.changed.wait(settled).await;
        match life.is(|life| &life.begun) {
            true => Ok(()),
            false => Err(InstanceError::Ended(life.reason().await)),
        }
    }

    /// Queues a call.
    pub(super) fn submit(self: &Arc<Self>, job: Job<T>) -> Result<(), InstanceError> {
        let mut given_up = VecDeque::new();
        let (launched, is_busy) = {
            let mut state = lock(&self.state);
            if state.ended.is_none() && state.jobs.len() >= self.settings.limit {
                // Callers that are gone have left theirs there.
                let (waiting, others) = std::mem::take(&mut state.jobs)
                    .into_iter()
                    .partition(|job| job.ticket.is(Phase::Waits));
                (state.jobs, given_up) = (waiting, others);
            }
            let launched = if let Some(life) = state.ended.clone() {
                job.ticket.leaves(&life);
                None
            } else if state.jobs.len() >= self.settings.limit {
                return Err(InstanceError::Full {
                    limit: self.settings.limit,
                });
            } else {
                state.jobs.push_back(job);
                let is_needed = state.current.is_none() && !state.is_backing_off;
                is_needed.then(|| state.current.insert(Arc::default()).clone())
            };
            (launched, state.is_busy && !state.takes_more)
        };
        drop(given_up);
        match launched {
            Some(life) => self.launch(&life),
            // Else the driver looks by itself before it waits.
            None if !is_busy => self.changed.notify(),
            None => {}
        }
        Ok(())
    }

    /// No handle is left: what waits is done, and then the instance goes.
    pub(super) fn close(&self) {
        lock(&self.state).closing = true;
        self.changed.notify();
    }

    /// Ends the present run, with whatever it does.
    pub(super) fn kill(&self) {
        let current = lock(&self.state).current.clone();
        if let Some(life) = current {
            life.kill(Kill::Cancelled);
        }
    }

    fn launch(self: &Arc<Self>, life: &Arc<Life>) {
        let held: Held = Box::new(Watch {
            queue: self.clone(),
            life: life.clone(),
        });
        let (queue, driven, drive) = (self.clone(), life.clone(), self.driver);
        let work: Work<T> = Work::Drive(Box::new(move |store, instance| {
            drive(queue, driven, store, instance)
        }));
        let settings = &self.settings;
        // What makes it is the embedder's. Whoever calls is told of a panic, and does not wait for ever.
        let data = catch_unwind(AssertUnwindSafe(|| {
            let data = settings.data.as_ref().map(|make| make());
            self.prepared.data(data)
        }));
        let panicked = |_| Err(RunError::Other("making its data panicked".into()));
        let launched = data.unwrap_or_else(panicked).and_then(|data| {
            let name = settings.name.clone();
            self.prepared.launch(name, work, data, Some(held), None)
        });
        match launched {
            Ok(record) => {
                let is_gone = {
                    let _state = lock(&self.state);
                    life.is_of(&record);
                    life.is(|life| &life.gone)
                };
                if is_gone {
                    self.is_over(life);
                }
            }
            Err(error) => {
                let for_ever = matches!(error, RunError::Closed);
                life.refuse(error);
                life.gone.store(true, Ordering::Release);
                self.gives_up(life, for_ever);
            }
        }
    }

    /// The driver has begun.
    pub(super) fn begins(&self, life: &Arc<Life>, store: &Store<GuestState<T>>) {
        self.counts.started.fetch_add(1, Ordering::Relaxed);
        {
            let _state = lock(&self.state);
            life.is_of(&store.data().guest().run);
            life.begun.store(true, Ordering::Release);
        }
        self.changed.notify();
    }

    /// The next call, or `None` where the instance is to go.
    pub(super) async fn next(&self, life: &Arc<Life>) -> Option<Job<T>> {
        loop {
            {
                let mut state = lock(&self.state);
                let job = state.jobs.pop_front();
                state.is_busy = job.is_some();
                if job.is_some() {
                    return job;
                }
                if state.closing {
                    state.current = None;
                    return None;
                }
            }
            let comes = || {
                let state = lock(&self.state);
                state.closing || !state.jobs.is_empty()
            };
            let comes = pin!(self.changed.wait(comes));
            let Some(idle) = self.settings.idle else {
                comes.await;
                continue;
            };
            if let Either::Right(_) = select(comes, pin!(self.clock().sleep(idle))).await {
                let mut state = lock(&self.state);
                // Under the lock: a call that comes after this makes the next instance.
                if state.jobs.is_empty() && is_same(&state.current, life) {
                    state.current = None;
                    return None;
                }
            }
        }
    }

    /// A call has come to its end: what it is to deliver, if that went well.
    pub(super) fn counts_in(
        &self,
        life: &Life,
        done: wasmtime::Result<Deliver>,
    ) -> wasmtime::Result<Deliver> {
        let counts = &self.counts;
        let deliver = done.inspect_err(|_| {
            counts.failed.fetch_add(1, Ordering::Relaxed);
        })?;
        counts.done.fetch_add(1, Ordering::Relaxed);
        // Release: pairs with the Acquire in `Life::is`.
        life.has_served.store(true, Ordering::Release);
        Ok(deliver)
    }

    /// The present life does nothing.
    pub(super) fn rests(&self) {
        let mut state = lock(&self.state);
        state.is_busy = false;
        state.takes_more = false;
    }

    /// The next call, where so many go on and it may go on beside them.
    pub(super) fn next_beside(&self, life: &Arc<Life>, going: usize) -> Option<Beside<T>> {
        loop {
            let mut state = lock(&self.state);
            // Before the look: whoever queues a call after it notifies.
            state.takes_more = going > 0 && going < self.settings.concurrency;
            if going >= self.settings.concurrency || !state.is_beside() {
                return None;
            }
            let job = state.jobs.pop_front()?;
            state.is_busy = true;
            drop(state);
            if let Body::Together(body) = job.body
                && job.ticket.begins(life)
            {
                return Some((job.ticket, body, job.cpu));
            }
        }
    }

    /// Waits for a call that may go on beside others.
    pub(super) async fn comes_beside(&self) {
        let comes = || {
            let state = lock(&self.state);
            state.takes_more && state.is_beside()
        };
        self.changed.wait(comes).await;
    }

    /// A life's store is gone. The next one comes, or what waits fails.
    fn is_over(self: &Arc<Self>, life: &Arc<Life>) {
        let wait = {
            let mut state = lock(&self.state);
            // One that went by itself has said so.
            if !is_same(&state.current, life) {
                return;
            }
            state.is_busy = false;
            state.takes_more = false;
            if life.is(|life| &life.has_served) {
                state.failures = 0;
            }
            state.failures = state.failures.saturating_add(1);
            let wait = self.settings.restart.after(state.failures);
            if wait.is_some() {
                state.current = None;
                state.is_backing_off = true;
            }
            wait
        };
        let Some(wait) = wait else {
            self.gives_up(life, true);
            return;
        };
        let mut next = Next(Some(self.clone()));
        let (core, sleep) = (self.prepared.core(), self.clock().sleep(wait));
        core.spawn_aside("restart", async move {
            sleep.await;
            if let Some(queue) = next.0.take() {
                queue.goes_on();
            }
        });
    }

    /// The wait before the next life is over.
    fn goes_on(self: &Arc<Self>) {
        let life = {
            let mut state = lock(&self.state);
            state.is_backing_off = false;
            let is_needed = !state.jobs.is_empty();
            is_needed.then(|| state.current.insert(Arc::default()).clone())
        };
        if let Some(life) = life {
            self.launch(&life);
        }
    }

    /// What waits has no instance.
    fn gives_up(&self, life: &Arc<Life>, for_ever: bool) {
        let jobs = {
            let mut state = lock(&self.state);
            state.current = None;
            state.is_busy = false;
            state.is_backing_off = false;
            if for_ever {
                state.ended = Some(life.clone());
            }
            std::mem::take(&mut state.jobs)
        };
        for job in &jobs {
            job.ticket.leaves(life);
        }
        // Callers see it by this. What the embedder has in a call may do anything when it is dropped.
        drop(jobs);
        self.changed.notify();
    }
}

impl<T> State<T> {
    /// Whether the next call may go on beside others.
    fn is_beside(&self) -> bool {
        let next = self.jobs.front();
        next.is_some_and(|job| matches!(job.body, Body::Together(_)))
    }
}

fn is_same(current: &Option<Arc<Life>>, life: &Arc<Life>) -> bool {
    current
        .as_ref()
        .is_some_and(|current| Arc::ptr_eq(current, life))
}

/// Dropped when the store of a life is gone.
struct Watch<T: Send + 'static> {
    queue: Arc<Queue<T>>,
    life: Arc<Life>,
}

impl<T: Send + 'static> Drop for Watch<T> {
    fn drop(&mut self) {
        let is_run = {
            // Whoever launches it sets the run under this lock, and looks at `gone` then.
            let state = self.queue.state.lock();
            let _state = state.unwrap_or_else(PoisonError::into_inner);
            self.life.gone.store(true, Ordering::Release);
            self.life.is_run()
        };
        self.queue.changed.notify();
        if is_run {
            self.queue.is_over(&self.life);
        }
    }
}

/// The next life is to come. Where the executor is closed meanwhile, none does.
struct Next<T: Send + 'static>(Option<Arc<Queue<T>>>);

impl<T: Send + 'static> Drop for Next<T> {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            let life = Arc::<Life>::default();
            life.refuse(RunError::Closed);
            queue.gives_up(&life, true);
        }
    }
}
