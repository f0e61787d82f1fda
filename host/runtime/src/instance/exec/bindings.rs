//! `hart:exec` as generated from `wit/`.

pub(crate) use generated::hart::exec::{tasks, tasks_poll};
pub(crate) use generated_async::hart::exec::tasks_async;
pub(crate) use tasks::{JoinError, Rights, SpawnError};

mod generated {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "host",
        imports: {
            "hart:exec/tasks.yield": async | trappable,
            "hart:exec/tasks.wait-any": async | trappable,
            "hart:exec/tasks.[method]task.join": async | trappable,
            default: trappable,
        },
        with: {
            "hart:exec/tasks.task": crate::instance::exec::resources::TaskHandle,
            "hart:exec/tasks.task-options": crate::instance::exec::resources::Options,
            "wasi:io": wasmtime_wasi::p2::bindings::io,
        },
    });
}

mod generated_async {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "host-async",
        imports: {
            "hart:exec/tasks-async.join": async | store | trappable,
            "hart:exec/tasks-async.join-via-stream": store | trappable,
            default: trappable,
        },
        with: { "hart:exec/tasks": super::generated::hart::exec::tasks },
    });
}
