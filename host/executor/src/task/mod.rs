//! Tasks: futures that the executor polls, and the handles to them.

// A task is one allocation. It knows its future, its state and its joiner. It does not know its executor: it
// reaches that through `Hooks`, which the executor implements and whose functions stand in the task's table.
//
// The files, each of which uses only those above it:
//
// | file | what it has |
// | --- | --- |
// | `id`, `metadata`, `join_error`, `yield_now` | what users see of a task |
// | `catch` | running foreign code that may panic |
// | `transition`, `state` | the state word, and what each change of it asks the caller to do |
// | `header` | the part of a task that does not depend on its future, and the table of functions that does |
// | `reference`, `stub` | `TaskRef`, the counted handle, and a task that is none |
// | `hooks` | what a task needs of its executor |
// | `waker`, `join` | the two other handles |
// | `run` | polling, cancelling, completing |
// | `raw` | the allocation, and the functions in the table |
//
// The room uses `sync`, `events` and `platform::WorkerId`.

mod catch;
mod header;
mod hooks;
mod id;
mod join;
mod join_error;
mod metadata;
mod raw;
mod reference;
mod run;
mod state;
mod stub;
mod transition;
mod waker;
mod yield_now;

pub(crate) use self::{
    catch::quietly,
    header::{Header, MAX_DOMAINS},
    hooks::{Hooks, Memory, attached},
    raw::{NewTask, emplace, task_layout},
    run::{Ran, run},
    stub::stub,
    transition::Reason,
};
pub use self::{
    id::Id,
    join::JoinHandle,
    join_error::JoinError,
    metadata::Metadata,
    reference::TaskRef,
    yield_now::{YieldNow, yield_now},
};
