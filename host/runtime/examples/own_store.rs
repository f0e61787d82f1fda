//! An existing embedder of wasmtime, under tokio, that keeps its own `Store<T>`, `Linker<T>` and host
//! imports, and lets hart schedule its guests: `cargo run -p hart-host --example own_store`.

use hart_host::{Limits, Preemption, Runtime, configure};
use wasmtime::component::{Component, Linker, Val};
use wasmtime::{Config, Engine, Store};

/// What the embedder keeps in its stores, unchanged.
struct State {
    tenant: u32,
    messages: Vec<String>,
}

const GUEST: &str = r#"
    (component
        (import "log" (func $log (param "message" string)))
        (core module $libc (memory (export "memory") 1) (data (i32.const 0) "spinning"))
        (core instance $libc (instantiate $libc))
        (core func $log_core (canon lower (func $log) (memory (core memory $libc "memory"))))
        (core module $m
            (import "" "log" (func $log (param i32 i32)))
            (func (export "work") (param $n i32)
                (call $log (i32.const 0) (i32.const 8))
                (loop $again
                    (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                    (br_if $again (local.get $n)))))
        (core instance $i (instantiate $m (with "" (instance (export "log" (func $log_core))))))
        (func (export "work") (param "n" u32) (canon lift (core func $i "work"))))
"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // New: the workers, and what scheduling needs in the engine's configuration.
    let runtime = Runtime::builder()
        .workers(2)
        .tokio(tokio::runtime::Handle::current())
        .build()?;
    let mut config = Config::new();
    configure(&mut config, Preemption::epoch());
    let engine = Engine::new(&config)?;
    runtime.attach(&engine, Preemption::epoch())?;

    // As before: the embedder's own linker, with an async import of its own.
    let mut linker = Linker::<State>::new(&engine);
    linker
        .root()
        .func_wrap_async("log", |mut store, (message,): (String,)| {
            Box::new(async move {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                store.data_mut().messages.push(message);
                Ok(())
            })
        })?;
    let component = Component::new(&engine, GUEST)?;
    let pre = linker.instantiate_pre(&component)?;

    let mut tasks = Vec::new();
    for tenant in 1..=3 {
        // New: a group per tenant, with its share and its limits.
        let group = runtime
            .group()
            .name(format!("tenant {tenant}"))
            .limits(Limits::new().memory(64 << 20))
            .build()?;
        let (engine, pre) = (engine.clone(), pre.clone());
        let task = group.spawn(async move |cx| {
            let mut store = Store::new(
                &engine,
                State {
                    tenant,
                    messages: Vec::new(),
                },
            );
            cx.arm(&mut store)?; // New: preemption, limits and kill.
            let instance = pre.instantiate_async(&mut store).await?;
            let work = instance
                .get_func(&mut store, "work")
                .ok_or_else(|| wasmtime::format_err!("no `work`"))?;
            work.call_async(&mut store, &[Val::U32(tenant * 10_000_000)], &mut [])
                .await?;
            Ok::<_, wasmtime::Error>(store.into_data())
        });
        tasks.push((group, task));
    }
    for (group, task) in tasks {
        let state = task.await??;
        println!(
            "tenant {} said {:?} in {:?} of CPU",
            state.tenant,
            state.messages,
            group.stats().cpu_time
        );
    }
    Ok(())
}
