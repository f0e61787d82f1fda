//! The life of a guest task once it has its slots: its store, its instance, its call.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use wasmtime::component::{ComponentExportIndex, Instance, Val};
use wasmtime::{PoolConcurrencyLimitError, Store};

use crate::base::contained::Contained;
use crate::base::span::SpanNote;
use crate::engine::component::Interface;
use crate::instance::admission::{self, Refused, SlotGuard};
use crate::instance::ended::Ended;
use crate::instance::ending::{finish, kill};
use crate::instance::events::Event;
use crate::instance::guest::Guest;
use crate::instance::program::Program;
use crate::instance::store::GuestState;
use crate::quota::kill::Kill;
use crate::sched::machine::Admitted;
use crate::sched::task::arm::arm;
use crate::sched::task::driven::{Driven, Stop};
use crate::sched::trace::task::Traced;

/// What a guest task is to do.
pub(crate) enum Work<T: 'static> {
    /// `wasi:cli/run`: which of the component's functions.
    Command(usize),
    /// An export, with arguments.
    Call {
        /// Which of the component's.
        function: usize,
        args: Vec<Val>,
    },
    /// What the embedder does with the instance.
    Drive(Body<T>),
    /// `hart:exec/entry.run`.
    Entry { entry: String, input: Vec<u8> },
}

impl<T> Work<T> {
    /// Bytes that it brings for an entry.
    pub(crate) fn input_bytes(&self) -> u64 {
        match self {
            Self::Entry { entry, input } => (entry.len() + input.len()) as u64,
            _ => 0,
        }
    }
}

/// A body of the embedder's; see [`Host::drive`](crate::Host::drive).
pub(crate) type Body<T> = Box<
    dyn for<'a> FnOnce(
            &'a mut Store<GuestState<T>>,
            Instance,
        ) -> BoxFuture<'a, wasmtime::Result<Vec<Val>>>
        + Send,
>;

/// What the tasks of one run run.
pub(crate) type Programs<T> = Arc<Program<GuestState<T>, T>>;

/// What somebody keeps until nothing of a task is left but its books: it is dropped after the store.
pub(crate) type Held = Box<dyn Send>;

/// One task that is to start: what its store is made of, and what it is to do.
struct Task<T: 'static> {
    program: Programs<T>,
    work: Work<T>,
    data: T,
    held: Option<Held>,
}

/// What a guest does once it has its slots.
pub(crate) fn start<T: Send + 'static>(
    guest: &Arc<Guest>,
    program: Programs<T>,
    work: Work<T>,
    data: T,
    held: Option<Held>,
) -> admission::Start<Guest> {
    let guest = guest.clone();
    // It may never start, and whoever drops it goes on with the books of its guest.
    let mut task = Contained::new(Task {
        program,
        work,
        data,
        held,
    });
    Box::new(move |slots| {
        // It is called once.
        if let Some(task) = task.take() {
            spawn(guest, task, slots);
        }
    })
}

/// Queues a guest for its slots, or gives it those at once where its run may not wait.
pub(crate) fn admit(guest: &Arc<Guest>, start: admission::Start<Guest>) -> Result<(), Refused> {
    let admission = &guest.tree.admission;
    if !guest.run.waits {
        admission.submit_now(guest.clone(), start)?;
    } else if !admission.submit(guest.clone(), start) {
        return Err(Refused::Closed);
    }
    // A kill that came before found nothing in the queue, and a queue can be long.
    if let Some(reason) = guest.killed() {
        kill(guest, reason);
    }
    Ok(())
}

/// Makes an admitted guest a task of the executor.
fn spawn<T: Send + 'static>(guest: Arc<Guest>, task: Task<T>, slots: SlotGuard<Guest>) {
    let driven = Driven::new(guest.control.clone(), run(guest.clone(), task));
    let task = GuestTask {
        driven,
        guest: guest.clone(),
        slots: Some(slots),
        span: span_of(&guest),
        has_events: guest.run.has_events(),
    };
    let runtime = &guest.run.runtime;
    let mut builder = runtime
        .executor
        .build_task()
        .kind("guest")
        .group(&guest.run.account.group);
    if !guest.name.is_empty() {
        builder = builder.name(guest.name.clone());
    }
    // An executor that is closed has dropped the task, which has told its joiners.
    let spawned = match (&runtime.machine, &runtime.recorder) {
        (None, None) => builder.try_spawn(task),
        (None, Some(recorder)) => {
            let (id, name) = (guest.id, &guest.name);
            builder.try_spawn(Traced::new(recorder, &guest.control, id, name, task))
        }
        (Some(machine), _) => {
            let seen = Admitted {
                id: guest.id,
                run: guest.run.id,
                depth: guest.depth,
                name: &guest.name,
                group: &guest.run.account.group,
            };
            builder.try_spawn(machine.admitted(seen, Box::pin(task)))
        }
    };
    if let Ok(handle) = spawned {
        guest.control.spawned(handle.task());
    }
}

/// The names in it are escaped: a guest may have chosen them.
fn span_of(guest: &Guest) -> tracing::Span {
    let account = &guest.run.account;
    let tenant = account.tenant.as_ref();
    tracing::debug_span!(
        target: "hart::guest",
        "guest",
        tenant = tenant.map(|tenant| tenant.tenant.name()),
        run = guest.run.id,
        run_name = account.group.name(),
        task = guest.id,
        task_name = guest.name,
        depth = guest.depth,
    )
}

/// The future that the executor polls.
struct GuestTask<F> {
    driven: Driven<F>,
    guest: Arc<Guest>,
    slots: Option<SlotGuard<Guest>>,
    /// What happens in its polls is in this, for tracing.
    span: tracing::Span,
    /// Whether its store has an event loop, which counts as blocked from when it has nothing to do.
    has_events: bool,
}

impl<F: Future<Output = Ended>> Future for GuestTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let _entered = this.span.enter();
        if this.has_events {
            this.guest.goes_on();
        }
        let polled = Pin::new(&mut this.driven).poll(cx);
        if this.has_events && polled.is_pending() && this.driven.waits() {
            this.guest.rests();
        }
        if polled.is_pending() && this.guest.control.is_preempted() {
            this.guest.tell(Event::Preempted);
            if let Some(span) = &this.guest.span {
                span.note(&SpanNote::Preempted);
            }
        }
        polled.map(|result: Result<Ended, Stop>| {
            this.guest.run.account.charge_poll();
            // The store is gone by now, whatever the result. One that came after the guest was killed is mostly
            // what became of that in the guest: a spawn that was refused, a trap because of that.
            let guest = &this.guest;
            let name = (guest.depth > 0).then_some(&*guest.name);
            let ended = result
                .unwrap_or_else(Ended::from)
                .explained(name, || guest.take_explanation());
            let ended = match guest.killed() {
                Some(kill) if ended.is_of_the_guest() => Ended::Killed(kill),
                _ => ended,
            };
            finish(guest, ended, this.slots.take());
        })
    }
}

impl<F> GuestTask<F> {
    fn why_dropped(&self) -> Kill {
        self.guest.control.killed().unwrap_or(Kill::Cancelled)
    }
}

impl<F> Drop for GuestTask<F> {
    /// However the executor disposes of the task (cancelled, closed, completed): the store first, then
    /// the outcome, if there is none yet.
    fn drop(&mut self) {
        // What the embedder keeps in the store may panic; the run must end all the same.
        let ended = match catch_unwind(AssertUnwindSafe(|| self.driven.clear())) {
            Ok(()) => Ended::Killed(self.why_dropped()),
            Err(_) => Ended::Other("a destructor of the host's panicked".into()),
        };
        finish(&self.guest, ended, self.slots.take());
    }
}

/// The store lives in this future and nowhere else.
async fn run<T: Send + 'static>(guest: Arc<Guest>, mut task: Task<T>) -> Ended {
    let _held = task.held.take();
    guest.tell(Event::TaskStarted);
    if let Some(span) = &guest.span {
        span.note(&SpanNote::Started);
    }
    let (Ok(ended) | Err(ended)) = instantiate_and_call(&guest, task).await;
    if guest.depth == 0 {
        // As a program does not end before its output is written. A kill reaches the run while it waits.
        guest.run.recipe.drained().await;
    }
    ended
}

async fn instantiate_and_call<T: Send + 'static>(
    guest: &Arc<Guest>,
    task: Task<T>,
) -> Result<Ended, Ended> {
    let Task {
        program,
        work,
        data,
        ..
    } = task;
    let (mut store, instance) = match program.warm.take(guest, program.reused) {
        Some((mut store, instance)) => {
            if guest.depth == 0 {
                *store.data_mut().data_mut() = data;
            }
            prepare(guest, &mut store)?;
            guest.tell(Event::InstanceReused);
            (store, instance)
        }
        None => {
            program.warm.make_room();
            let made = instantiate(guest, &program, data).await?;
            guest.tell(Event::InstanceMade);
            made
        }
    };
    let ended = enter(&mut store, instance, guest, work).await;
    guest.control.note_fuel(&store);
    store.data().end_lines();
    if matches!(ended, Ok(Ended::Returned(_) | Ended::Results(_))) {
        program.warm.keep(guest, program.reused, store, instance);
    }
    ended
}

/// Puts the guest's limits on a store, and lets it be preempted and killed.
fn prepare<S: 'static>(guest: &Guest, store: &mut Store<S>) -> Result<(), Ended> {
    let control = &guest.control;
    arm(control, store).map_err(|error| Ended::from_error(error, control, false))
}

/// For how long the pool may have nothing for a guest that has its slots. Guessed: it is given back within milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the guest's store and its instance.
///
/// The pool refuses what it does not have at once. A guest has its slots, but another worker may still be giving them
/// back to the system, out of sight of the pool.
async fn instantiate<T: Send + 'static>(
    guest: &Arc<Guest>,
    program: &Programs<T>,
    mut data: T,
) -> Result<(Store<GuestState<T>>, Instance), Ended> {
    let control = &guest.control;
    let failed = |error: wasmtime::Error| Ended::from_error(error, control, false);
    let clock = &guest.run.runtime.clock;
    // One of the two throughout: better code may come meanwhile.
    let code = program.component.newest();
    let pre = code.pre();
    if code.interface().is_baseline() {
        guest.run.account.baseline.fetch_add(1, Ordering::Relaxed);
    }
    let mut until = None;
    let mut is_late = || clock.now() >= *until.get_or_insert_with(|| clock.now() + PATIENCE);
    loop {
        let state = GuestState::new(
            guest.clone(),
            program.clone(),
            code.interface().clone(),
            data,
        );
        let mut store = Store::try_new(pre.engine(), state).map_err(failed)?;
        prepare(guest, &mut store)?;
        // What wasmtime is about to take for it is in no linear memory, and no limiter of its is asked.
        control
            .grow(guest.run.interface.bookkeeping())
            .map_err(|limit| failed(limit.into()))?;
        match pre.instantiate_async(&mut store).await {
            Ok(instance) => return Ok((store, instance)),
            Err(error) if error.is::<PoolConcurrencyLimitError>() && !is_late() => {}
            Err(error) => return Err(Ended::from_error(error, control, true)),
        }
        data = store.into_data().into_data();
        control.instance_gone();
        hart_executor::yield_now().await;
    }
}

async fn enter<T: Send + 'static>(
    store: &mut Store<GuestState<T>>,
    instance: Instance,
    guest: &Arc<Guest>,
    work: Work<T>,
) -> Result<Ended, Ended> {
    let control = guest.control.clone();
    let failed = |error: wasmtime::Error| Ended::from_error(error, &control, false);
    // That of the code which the instance is of: the run may have begun with other code.
    let interface = store.data().interface().clone();
    let index = |function| interface.index(function);
    match work {
        Work::Command(function) => command(store, &instance, index(function))
            .await
            .map_err(failed),
        Work::Call { function, args } => call(store, &instance, index(function), &args)
            .await
            .map_err(failed),
        Work::Drive(body) => {
            control.surround();
            body(store, instance)
                .await
                .map(Ended::Results)
                .map_err(failed)
        }
        Work::Entry { entry, input } => task(store, &instance, &interface, entry, input)
            .await
            .map_err(failed),
    }
}

/// The first byte of what an entry returns as its error where it has no task of that name.
const NO_SUCH_TASK: u8 = 2;

/// Asks the component's entries for a task, one after the other, until one has it.
async fn task<S: Send + 'static>(
    store: &mut Store<S>,
    instance: &Instance,
    interface: &Interface,
    entry: String,
    input: Vec<u8>,
) -> wasmtime::Result<Ended> {
    let mut unknown = None;
    for function in interface.entries() {
        let index = interface.index(*function);
        let run = instance
            .get_typed_func::<(&str, &[u8]), (Result<Vec<u8>, Vec<u8>>,)>(&mut *store, index)?;
        match run
            .call_async(&mut *store, (entry.as_str(), input.as_slice()))
            .await?
            .0
        {
            Ok(bytes) => return Ok(Ended::Returned(bytes)),
            Err(bytes) if bytes.first() == Some(&NO_SUCH_TASK) => {
                // The first one's is told: it is that of the whole.
                unknown.get_or_insert(bytes);
            }
            Err(bytes) => return Ok(Ended::Failed(bytes)),
        }
    }
    Ok(match unknown {
        Some(bytes) => Ended::Failed(bytes),
        None => Ended::Other("the component exports no hart:exec/entry".into()),
    })
}

async fn command<S: Send + 'static>(
    store: &mut Store<S>,
    instance: &Instance,
    index: &ComponentExportIndex,
) -> wasmtime::Result<Ended> {
    let run = instance.get_typed_func::<(), (Result<(), ()>,)>(&mut *store, index)?;
    let (result,) = run.call_async(store, ()).await?;
    Ok(match result {
        Ok(()) => Ended::Exit(0),
        Err(()) => Ended::RunFailed,
    })
}

async fn call<S: Send + 'static>(
    store: &mut Store<S>,
    instance: &Instance,
    index: &ComponentExportIndex,
    args: &[Val],
) -> wasmtime::Result<Ended> {
    let Some(function) = instance.get_func(&mut *store, index) else {
        return Ok(Ended::Other(
            "the component does not export that function".into(),
        ));
    };
    let mut results = vec![Val::Bool(false); function.ty(&*store).results().len()];
    function.call_async(store, args, &mut results).await?;
    Ok(Ended::Results(results))
}
