//! The life of a guest task once it has a place: its store, its instance, its call.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::BoxFuture;
use wasmtime::component::{Instance, Val};
use wasmtime::{PoolConcurrencyLimitError, Store};

use super::engine::Kind;
use super::guest::Guest;
use super::outcome::Ended;
use super::pools::Seat;
use super::state::GuestState;
use crate::simulate::Admitted;
use crate::task::{Driven, FuelWaker, Kill, Stop, arm};
use crate::trace::Traced;

/// What a guest task is to do.
pub(super) enum Start {
    /// `wasi:cli/run`.
    Command,
    /// An export, with arguments.
    Call {
        /// Which of the component's.
        function: usize,
        args: Vec<Val>,
    },
    /// What the embedder does with the instance.
    Drive(Body),
    /// `hart:exec/entry.run`.
    Entry { entry: String, input: Vec<u8> },
}

/// A body of the embedder's; see [`Host::drive`](super::Host::drive).
pub(super) type Body = Box<
    dyn for<'a> FnOnce(
            &'a mut Store<GuestState>,
            Instance,
        ) -> BoxFuture<'a, wasmtime::Result<Vec<Val>>>
        + Send,
>;

/// Makes an admitted guest a task of the executor.
pub(super) fn spawn(guest: Arc<Guest>, start: Start) {
    let driven = Driven::new(guest.control.clone(), run(guest.clone(), start));
    let task = GuestTask {
        driven,
        guest: guest.clone(),
        events: (guest.run.site.kind == Kind::Concurrent).then(Events::default),
    };
    let mut builder = guest
        .run
        .host
        .runtime
        .executor
        .build_task()
        .kind("guest")
        .group(&guest.run.account.group);
    if !guest.name.is_empty() {
        builder = builder.name(guest.name.clone());
    }
    // An executor that is closed has dropped the task, which has told its joiners.
    let runtime = &guest.run.host.runtime;
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

/// The future that the executor polls.
struct GuestTask<F> {
    driven: Driven<F>,
    guest: Arc<Guest>,
    /// Where the store has an event loop.
    events: Option<Events>,
}

/// Tells whether an event loop waits for something, or would only let others go first.
struct Events {
    state: Arc<FuelWaker>,
    waker: Waker,
}

impl Default for Events {
    fn default() -> Self {
        let state = Arc::new(FuelWaker::default());
        Self {
            waker: state.clone().into(),
            state,
        }
    }
}

impl Events {
    /// Polls a guest's event loop, which counts as blocked from when it has nothing to do.
    fn poll<F: Future + Unpin>(
        &self,
        guest: &Guest,
        future: &mut F,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        guest.goes_on();
        self.state.begin(cx.waker());
        let polled = Pin::new(future).poll(&mut Context::from_waker(&self.waker));
        match (polled.is_pending(), self.state.end()) {
            (true, false) => guest.rests(),
            // Woken in the middle of the poll, it is not waiting.
            (true, true) => cx.waker().wake_by_ref(),
            (false, _) => {}
        }
        polled
    }
}

impl<F: Future<Output = Ended>> Future for GuestTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let polled = match &this.events {
            None => Pin::new(&mut this.driven).poll(cx),
            Some(events) => events.poll(&this.guest, &mut this.driven, cx),
        };
        polled.map(|result: Result<Ended, Stop>| {
            this.guest.run.account.charge_poll();
            // The store is gone by now, whatever the result. One that came after the guest was killed is mostly
            // what became of that in the guest: a spawn that was refused, a trap because of that.
            let ended = result.unwrap_or_else(Ended::from);
            this.guest.finish(match this.guest.control.killed() {
                Some(kill) if ended.is_of_the_guest() => Ended::Killed(kill),
                _ => ended,
            });
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
        self.guest.finish(ended);
    }
}

/// The store lives in this future and nowhere else.
async fn run(guest: Arc<Guest>, start: Start) -> Ended {
    match instantiate_and_call(&guest, start).await {
        Ok(ended) | Err(ended) => ended,
    }
}

async fn instantiate_and_call(guest: &Arc<Guest>, start: Start) -> Result<Ended, Ended> {
    let kept = &guest.run.host.kept;
    let (mut store, instance) = match kept.take(guest) {
        Some((mut store, instance)) => {
            prepare(guest, &mut store)?;
            (store, instance)
        }
        None => {
            kept.make_room(&guest.run.site);
            instantiate(guest).await?
        }
    };
    let ended = enter(&mut store, instance, guest, start).await;
    guest.control.note_fuel(&store);
    if matches!(ended, Ok(Ended::Returned(_))) {
        kept.keep(guest, store, instance);
    }
    ended
}

/// Puts the guest's limits on a store, and lets it be preempted and killed.
fn prepare(guest: &Guest, store: &mut Store<GuestState>) -> Result<(), Ended> {
    let control = &guest.control;
    arm(control, store).map_err(|error| Ended::from_error(error, control, false))?;
    store.set_max_component_handles(guest.run.account.limits.handles_or_default() as usize);
    Ok(())
}

/// For how long the pool may have nothing for a guest that has a place. Guessed: it is given back within milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the guest's store and its instance.
///
/// The pool refuses what it does not have at once. A guest has a place, but another worker may still be giving that back
/// to the system, out of sight of the pool.
async fn instantiate(guest: &Arc<Guest>) -> Result<(Store<GuestState>, Instance), Ended> {
    let control = &guest.control;
    let failed = |error: wasmtime::Error| Ended::from_error(error, control, false);
    let clock = &guest.run.host.runtime.clock;
    let (mut until, mut refused) = (None, false);
    let mut is_late = || clock.now() >= *until.get_or_insert_with(|| clock.now() + PATIENCE);
    let site = &guest.run.site;
    loop {
        if let Some(seat) = Seat::take(site, &guest.run.component, refused) {
            let copy = guest.run.component.copy(&seat);
            let state = GuestState::new(guest.clone(), seat);
            let mut store = Store::try_new(copy.engine(), state).map_err(failed)?;
            prepare(guest, &mut store)?;
            match copy.pre().instantiate_async(&mut store).await {
                Ok(instance) => return Ok((store, instance)),
                Err(error) if error.is::<PoolConcurrencyLimitError>() && !is_late() => {}
                Err(error) => return Err(Ended::from_error(error, control, true)),
            }
            drop(store);
            control.instance_gone();
        } else if is_late() {
            return Err(Ended::Other(
                "no place in the pool of instances has come free".into(),
            ));
        }
        // The other pool, if there is one or can be; else this one again.
        refused = !refused;
        site.admission.ask();
        hart_executor::yield_now().await;
    }
}

async fn enter(
    mut store: &mut Store<GuestState>,
    instance: Instance,
    guest: &Arc<Guest>,
    start: Start,
) -> Result<Ended, Ended> {
    let control = guest.control.clone();
    let failed = |error: wasmtime::Error| Ended::from_error(error, &control, false);
    match start {
        Start::Command => command(store, &instance, guest).await.map_err(failed),
        Start::Call { function, args } => call(store, &instance, function, &args)
            .await
            .map_err(failed),
        Start::Drive(body) => body(store, instance)
            .await
            .map(Ended::Results)
            .map_err(failed),
        Start::Entry { entry, input } => {
            let Some(function) = guest.run.component.entry() else {
                return Err(Ended::Other(
                    "the component exports no hart:exec/entry".into(),
                ));
            };
            let index = *store.data().copy().index(function);
            let run = instance
                .get_typed_func::<(String, Vec<u8>), (Result<Vec<u8>, Vec<u8>>,)>(
                    &mut store, &index,
                )
                .map_err(failed)?;
            let (result,) = run
                .call_async(&mut store, (entry, input))
                .await
                .map_err(failed)?;
            Ok(match result {
                Ok(bytes) => Ended::Returned(bytes),
                Err(bytes) => Ended::Failed(bytes),
            })
        }
    }
}

async fn command(
    store: &mut Store<GuestState>,
    instance: &Instance,
    guest: &Guest,
) -> wasmtime::Result<Ended> {
    let Some(function) = guest.run.component.command() else {
        return Ok(Ended::Other("the component exports no wasi:cli/run".into()));
    };
    let index = *store.data().copy().index(function);
    let run = instance.get_typed_func::<(), (Result<(), ()>,)>(&mut *store, &index)?;
    let (result,) = run.call_async(store, ()).await?;
    Ok(Ended::Exit(i32::from(result.is_err())))
}

async fn call(
    store: &mut Store<GuestState>,
    instance: &Instance,
    function: usize,
    args: &[Val],
) -> wasmtime::Result<Ended> {
    let index = *store.data().copy().index(function);
    let Some(function) = instance.get_func(&mut *store, index) else {
        return Ok(Ended::Other(
            "the component does not export that function".into(),
        ));
    };
    let mut results = vec![Val::Bool(false); function.ty(&*store).results().len()];
    function.call_async(store, args, &mut results).await?;
    Ok(Ended::Results(results))
}
