//! Your own wasmtime: stores, linkers and imports stay as they are, and hart schedules the guests.

use hart_host::wasmtime::component::{Component, Linker};
use hart_host::wasmtime::{self, Config, Engine, Store};
use hart_host::{Limits, Preemption, Runtime, configure};

use crate::Error;

/// What the program has in its stores.
struct State {
    messages: Vec<u32>,
}

const GUEST: &str = r#"(component
    (import "log" (func $log (param "n" u32)))
    (core func $lowered (canon lower (func $log)))
    (core module $m
        (import "" "log" (func $log (param i32)))
        (func (export "work") (param $n i32)
            (call $log (local.get $n))
            (loop $again
                (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                (br_if $again (local.get $n)))
            (call $log (local.get $n))))
    (core instance $i (instantiate $m (with "" (instance (export "log" (func $lowered))))))
    (func (export "work") (param "n" u32) (canon lift (core func $i "work"))))"#;

/// Three guests in groups of their own; what each of them said.
///
/// # Errors
/// What keeps a guest from running.
pub async fn run() -> Result<Vec<Vec<u32>>, Error> {
    // New: the workers, and what scheduling needs in the engine's configuration.
    let runtime = Runtime::builder()
        .tokio(tokio::runtime::Handle::current())
        .build()?;
    let mut config = Config::new();
    configure(&mut config, Preemption::epoch());
    let engine = Engine::new(&config)?;
    runtime.attach(&engine, Preemption::epoch())?;

    // As before.
    let mut linker = Linker::<State>::new(&engine);
    linker.root().func_wrap("log", |mut store, (n,): (u32,)| {
        store.data_mut().messages.push(n);
        Ok(())
    })?;
    let component = Component::new(&engine, GUEST)?;
    let pre = linker.instantiate_pre(&component)?;

    let mut tasks = Vec::new();
    for tenant in 1..=3 {
        // New: a share and limits.
        let limits = Limits::new().memory(64 << 20);
        let group = runtime.group().limits(limits).build()?;
        let (engine, pre) = (engine.clone(), pre.clone());
        let task = group.spawn(async move |cx| {
            let mut store = Store::new(
                &engine,
                State {
                    messages: Vec::new(),
                },
            );
            cx.arm(&mut store)?; // New: preemption, limits and kill.
            let instance = pre.instantiate_async(&mut store).await?;
            let work = instance.get_typed_func::<(u32,), ()>(&mut store, "work")?;
            work.call_async(&mut store, (tenant * 1_000_000,)).await?;
            Ok::<_, wasmtime::Error>(store.into_data().messages)
        });
        tasks.push((group, task));
    }
    let mut said = Vec::new();
    for (_group, task) in tasks {
        said.push(task.await??);
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn all_have_said_what_they_had_to() {
        let said = super::run().await.unwrap();
        assert_eq!(said, [1, 2, 3].map(|tenant| vec![tenant * 1_000_000, 0]));
    }
}
