//! Tasks on hart: the imports and the export of `hart:exec`.

use std::num::NonZeroUsize;

use crate::called::Called;
use crate::error::{JoinError, Outcome, SpawnError};
use crate::options::{Options, Rights};
use crate::registry::{self, Entry};
use crate::time::nanoseconds;

mod bindings {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::undocumented_unsafe_blocks,
        clippy::multiple_unsafe_ops_per_block,
        reason = "generated from wit/"
    )]

    wit_bindgen::generate!({
        path: "wit/exec",
        world: "hart:exec/guest",
    });

    export!(Component with_types_in self);

    pub(super) struct Component;
}

/// Imported by those components only that wait with it: these then need a host that runs component-model async.
mod waiting {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::undocumented_unsafe_blocks,
        clippy::multiple_unsafe_ops_per_block,
        reason = "generated from wit/"
    )]

    wit_bindgen::generate!({
        path: "wit/exec",
        world: "hart:exec/host-async",
        with: { "hart:exec/tasks@0.1.0": super::bindings::hart::exec::tasks },
    });
}

use bindings::hart::exec::tasks;
use waiting::hart::exec::tasks_async;

impl bindings::exports::hart::exec::entry::Guest for bindings::Component {
    fn run(entry: String, input: Vec<u8>) -> Result<Vec<u8>, Vec<u8>> {
        begin(&entry, &input).wait()
    }
}

/// What the `hart:exec/entry-async.run` that `program!` exports does.
pub async fn run_entry(entry: String, input: Vec<u8>) -> Result<Vec<u8>, Vec<u8>> {
    begin(&entry, &input).finish().await
}

/// Begins the task of this instance.
fn begin(entry: &str, input: &[u8]) -> Called<Vec<u8>, Vec<u8>> {
    hand_on_panics();
    registry::run(entry, input)
}

/// From now on the joiner sees what a panic says. A panic becomes a trap, which says nothing by itself.
fn hand_on_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let said = panic.payload_as_str().unwrap_or("no message");
            let place = panic.location().map(|at| format!(" at {at}"));
            tasks::explain_trap(&format!("panicked{}: {said}", place.unwrap_or_default()));
            before(panic);
        }));
    });
}

pub(crate) struct RawTask(tasks::Task);

impl RawTask {
    pub(crate) fn id(&self) -> u64 {
        self.0.id()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    pub(crate) fn join(self) -> Outcome {
        self.0.join().map_err(JoinError::from)
    }

    /// Dropping the future cancels the join, and the task is detached.
    pub(crate) async fn join_async(self) -> Outcome {
        tasks_async::join(&self.0).await.map_err(JoinError::from)
    }

    pub(crate) fn cancel(&self) {
        self.0.cancel();
    }
}

/// The host's resource, made once for as many tasks as use it; none where nothing is set.
#[derive(Default)]
pub(crate) struct Prepared(Option<tasks::TaskOptions>);

impl From<&Options> for Prepared {
    fn from(options: &Options) -> Self {
        if *options == Options::default() {
            return Self(None);
        }
        let resource = tasks::TaskOptions::new();
        if let Some(name) = &options.name {
            resource.set_name(name);
        }
        if let Some(units) = options.fuel {
            resource.set_fuel(units);
        }
        if let Some(time) = options.cpu_time {
            resource.set_cpu_time(nanoseconds(time));
        }
        if let Some(bytes) = options.memory {
            resource.set_memory(bytes);
        }
        if let Some(time) = options.timeout {
            resource.set_timeout(nanoseconds(time));
        }
        if let Some(count) = options.max_tasks {
            resource.set_max_tasks(count);
        }
        if options.denied != Rights::none() {
            // Both sides number the rights in the order of the contract.
            resource.deny(tasks::Rights::from_bits_truncate(options.denied.bits()));
        }
        if options.reuse {
            resource.reuse();
        }
        if options.anywhere {
            resource.anywhere();
        }
        Self(Some(resource))
    }
}

pub(crate) fn spawn(
    entry: &'static Entry,
    input: Vec<u8>,
    options: &Prepared,
) -> Result<RawTask, SpawnError> {
    spawn_prepared(entry.name, &input, options)
}

/// Of a task that this crate may know nothing of.
pub(crate) fn spawn_named(
    name: &str,
    input: &[u8],
    options: &Options,
) -> Result<RawTask, SpawnError> {
    spawn_prepared(name, input, &Prepared::from(options))
}

fn spawn_prepared(name: &str, input: &[u8], options: &Prepared) -> Result<RawTask, SpawnError> {
    match tasks::spawn(name, input, options.0.as_ref()) {
        Ok(task) => Ok(RawTask(task)),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn wait_any(tasks: &[&RawTask]) -> usize {
    let tasks: Vec<_> = tasks.iter().map(|task| &task.0).collect();
    tasks::wait_any(&tasks) as usize
}

pub(crate) fn exit(code: u8) -> ! {
    tasks::exit(code);
    unreachable!("the host ends the instance")
}

pub(crate) fn yield_now() {
    tasks::yield_();
}

pub(crate) fn close() {
    tasks::close();
}

pub(crate) fn parallelism() -> NonZeroUsize {
    NonZeroUsize::new(tasks::parallelism() as usize).unwrap_or(NonZeroUsize::MIN)
}

impl From<tasks::SpawnError> for SpawnError {
    fn from(error: tasks::SpawnError) -> Self {
        match error {
            tasks::SpawnError::Closed => Self::Closed,
            tasks::SpawnError::NoEntry => Self::NoEntry,
            tasks::SpawnError::Limit(limit) => Self::Limit(limit),
            tasks::SpawnError::Denied(right) => Self::Denied(right),
            tasks::SpawnError::Other(text) => Self::Other(text),
        }
    }
}

impl From<tasks::JoinError> for JoinError<Vec<u8>> {
    fn from(error: tasks::JoinError) -> Self {
        match error {
            tasks::JoinError::Failed(bytes) => Self::Failed(bytes),
            tasks::JoinError::Trapped(text) => Self::Trapped(text),
            tasks::JoinError::Cancelled => Self::Cancelled,
            tasks::JoinError::Closed => Self::Closed,
            tasks::JoinError::OutOfFuel => Self::OutOfFuel,
            tasks::JoinError::OutOfMemory => Self::OutOfMemory,
            tasks::JoinError::TimedOut => Self::TimedOut,
            tasks::JoinError::AlreadyJoined => Self::AlreadyJoined,
            tasks::JoinError::Other(text) => Self::Other(text),
        }
    }
}
