//! What all rows share: a server, a guest, and how a job is run without hart.

use hart_host::{
    Cache, Host, Preemption,
    wasmtime::{
        Engine, Store, UpdateDeadline,
        component::{self, ComponentExportIndex, InstancePre, Linker},
    },
    work::async_nats::Client,
};
use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

pub(super) const SUITE: &str = "work";

/// Workers of each side.
pub(super) const WORKERS: usize = 2;
/// Jobs that each side has at once.
pub(super) const CONCURRENCY: usize = 64;
/// The app.
pub(super) const APP: &str = "bench";

/// Tasks that count down from the eight bytes of their input.
pub(super) const GUEST: &str = r#"(component
    (core module $m
        (memory (export "memory") 1)
        (global $next (mut i32) (i32.const 64))
        (func (export "realloc") (param i32 i32 i32) (param $size i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.set $next (i32.add (local.get $at) (local.get $size)))
            (local.get $at))
        (func (export "run") (param i32 i32) (param $input i32) (param i32) (result i32)
            (local $turns i64)
            (local.set $turns (i64.load (local.get $input)))
            (block $done (loop $again
                (br_if $done (i64.eqz (local.get $turns)))
                (local.set $turns (i64.sub (local.get $turns) (i64.const 1)))
                (br $again)))
            (i64.store (i32.const 0) (i64.const 0))
            (i32.store (i32.const 4) (local.get $input))
            (i32.store (i32.const 8) (i32.const 8))
            (i32.const 0)))
    (core instance $i (instantiate $m))
    (func $run (param "entry" string) (param "input" (list u8)) (result (result (list u8) (error (list u8))))
        (canon lift (core func $i "run") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
    (instance $entry (export "run" (func $run)))
    (export "hart:exec/entry@0.1.0" (instance $entry)))"#;

/// A server that goes with this.
pub(super) struct Server {
    child: Child,
    store: PathBuf,
    pub(super) url: String,
}

impl Server {
    pub(super) fn start() -> Self {
        let program = std::env::var_os("HART_NATS_SERVER").unwrap_or_else(|| "nats-server".into());
        let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = free.local_addr().expect("it has an address").port();
        drop(free);
        let store = std::env::temp_dir().join(format!("hart-bench-{}", std::process::id()));
        let child = Command::new(&program)
            .args([
                "--jetstream",
                "--addr",
                "127.0.0.1",
                "--port",
                &port.to_string(),
            ])
            .arg("--store_dir")
            .arg(&store)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = child.unwrap_or_else(|error| {
            panic!(
                "{}: {error}; name it with HART_NATS_SERVER",
                program.display()
            )
        });
        let url = format!("nats://127.0.0.1:{port}");
        Self { child, store, url }
    }

    pub(super) async fn connect(&self) -> Client {
        let start = Instant::now();
        loop {
            match hart_host::work::async_nats::connect(&self.url).await {
                Ok(client) => return client,
                Err(error) if start.elapsed() > Duration::from_secs(10) => panic!("{error}"),
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.store);
    }
}

/// A host, whose components and engine the peer has as well.
pub(super) fn host() -> Host {
    let builder = Host::builder().workers(WORKERS);
    let host = builder.preemption(Preemption::epoch()).cache(Cache::Off);
    host.build().expect("the defaults fit this machine")
}

/// What the peer calls for each job.
pub(super) struct Task {
    pre: InstancePre<()>,
    run: ComponentExportIndex,
}

impl Task {
    /// One of an engine of its own, which goes with the host that made it.
    pub(super) fn new() -> (Arc<Self>, Engine, Host) {
        let host = host();
        let engine: Engine = host.engine().clone();
        let component = component::Component::new(&engine, GUEST).expect("the guest is valid");
        let entry = component
            .get_export_index(None, "hart:exec/entry@0.1.0")
            .expect("it exports this");
        let run = component
            .get_export_index(Some(&entry), "run")
            .expect("it exports this");
        let pre = Linker::new(&engine)
            .instantiate_pre(&component)
            .expect("it imports nothing");
        (Arc::new(Self { pre, run }), engine, host)
    }

    pub(super) async fn call(&self, entry: &str, input: &[u8]) -> Vec<u8> {
        let mut store = Store::new(self.pre.engine(), ());
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        let instance = self.pre.instantiate_async(&mut store).await;
        let instance = instance.expect("there is room for all");
        let run = instance
            .get_typed_func::<(&str, &[u8]), (Result<Vec<u8>, Vec<u8>>,)>(&mut store, &self.run)
            .expect("it exports this");
        let returned = run.call_async(&mut store, (entry, input)).await;
        returned.expect("no trap").0.expect("no error")
    }
}
