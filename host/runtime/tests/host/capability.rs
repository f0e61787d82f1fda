//! Capabilities of the embedder's own: for runs and their tasks, for services and for instances that stay.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::executor::block_on;
use hart_host::http::Request;
use hart_host::wasmtime::component::{ComponentType, Linker, Lower, Val};
use hart_host::wasmtime::{self, format_err};
use hart_host::{
    Capability, Component, DirAccess, GuestState, Host, InstanceError, LimitKind, Limits,
    RunBuilder, RunError, RunInfo,
};
use http_body_util::{BodyExt as _, Empty};

use crate::support::*;

/// Takes the place of `wasi:config`, for which there is a guest: keys are what it is to do.
#[derive(Clone, Default)]
struct Values {
    /// What the run is granted.
    grant: &'static str,
    books: Arc<Books>,
}

#[derive(Default)]
struct Books {
    /// Runs and states that were made and not dropped.
    live: AtomicUsize,
    /// Operations that block now.
    blocking: AtomicUsize,
}

/// What its tasks share.
struct OfRun {
    values: Values,
    name: String,
    tenant: Option<String>,
    states: AtomicU32,
    _live: Live,
}

/// What each of them has.
struct OfTask {
    run: Arc<OfRun>,
    number: u32,
    asked: u32,
    _live: Live,
}

struct Live(Arc<Books>);

impl Live {
    fn new(books: &Arc<Books>) -> Self {
        books.live.fetch_add(1, Ordering::SeqCst);
        Self(books.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::SeqCst);
    }
}

#[expect(dead_code, reason = "nothing goes wrong there")]
#[derive(ComponentType, Lower)]
#[component(variant)]
enum ConfigError {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

type Got = (Result<Option<String>, ConfigError>,);

impl Capability for Values {
    type Run = OfRun;
    type State = OfTask;

    fn link<T: Send + 'static>(linker: &mut Linker<GuestState<T>>) -> wasmtime::Result<()> {
        let mut store = linker.instance("wasi:config/store@0.2.0-rc.1")?;
        store.func_wrap_async("get", |mut store, (key,): (String,)| {
            Box::new(async move {
                let mut granted = store.data_mut().capability::<Values>();
                let own = granted.state()?;
                own.asked += 1;
                let run = own.run.clone();
                let tenant = run.tenant.as_deref().unwrap_or("nobody");
                let said = format!(
                    "{} of {} {tenant}: {} {}",
                    run.values.grant, run.name, own.number, own.asked
                );
                let books = run.values.books.clone();
                match &*key {
                    "spin" => {
                        let spins = granted.blocking(move |work| {
                            books.blocking.fetch_add(1, Ordering::SeqCst);
                            while work.check().is_ok() {
                                std::hint::black_box((0..10_000).sum::<u64>());
                            }
                            books.blocking.fetch_sub(1, Ordering::SeqCst);
                        });
                        spins.await;
                    }
                    // Nobody waits for what it does.
                    "leave" => {
                        let flags = Arc::new([const { AtomicBool::new(false) }; 2]);
                        let sets = flags.clone();
                        let mut spins = Box::pin(granted.blocking(move |work| {
                            sets[0].store(true, Ordering::SeqCst);
                            while work.check().is_ok() {}
                            sets[1].store(true, Ordering::SeqCst);
                        }));
                        while !flags[0].load(Ordering::SeqCst) {
                            let _ = futures::poll!(&mut spins);
                        }
                        drop(spins);
                        eventually("it gives up", || flags[1].load(Ordering::SeqCst));
                    }
                    "panic" => granted.blocking(|_| panic!("on purpose")).await,
                    _ => {}
                }
                let got: Got = (Ok(Some(said)),);
                wasmtime::error::Ok(got)
            })
        })
    }

    fn prepare(&self, run: &RunInfo<'_>) -> wasmtime::Result<OfRun> {
        match self.grant {
            "nothing" => return Err(format_err!("there is nothing")),
            "panic" => panic!("on purpose"),
            _ => {}
        }
        Ok(OfRun {
            values: self.clone(),
            name: run.name.to_owned(),
            tenant: run.tenant.map(str::to_owned),
            states: AtomicU32::new(0),
            _live: Live::new(&self.books),
        })
    }

    fn state(run: &Arc<OfRun>) -> wasmtime::Result<OfTask> {
        Ok(OfTask {
            number: run.states.fetch_add(1, Ordering::SeqCst),
            asked: 0,
            run: run.clone(),
            _live: Live::new(&run.values.books),
        })
    }
}

struct Lab {
    host: Host,
    component: Component,
    books: Arc<Books>,
}

impl Lab {
    fn new() -> Self {
        Self::on(builder().capability::<Values>().build().unwrap())
    }

    fn on(host: Host) -> Self {
        let component = host.load_file(hart_build::guest("store-lab")).unwrap();
        Self {
            host,
            component,
            books: Arc::default(),
        }
    }

    fn values(&self, grant: &'static str) -> Values {
        Values {
            grant,
            books: self.books.clone(),
        }
    }

    /// A run that is granted nothing.
    fn bare(&self, what: &[&str]) -> RunBuilder {
        let what = what.iter().map(|what| Val::String((*what).into()));
        let args = vec![Val::List(what.collect())];
        self.host.call(&self.component, "do", args).name("run")
    }

    fn run(&self, what: &[&str]) -> RunBuilder {
        self.bare(what).grant(self.values("a"))
    }

    #[track_caller]
    fn nothing_is_left(&self) {
        assert_nothing_left(&self.host);
        assert_eq!(self.books.live.load(Ordering::SeqCst), 0);
    }
}

#[track_caller]
fn told(run: RunBuilder) -> String {
    run.start().unwrap().wait().unwrap().to_wave().unwrap()
}

/// Hunts a run with what another was granted, tasks that share a state, and what outlives a run.
#[test]
pub fn runs_have_what_they_are_granted_and_tasks_a_state_each() {
    let lab = Lab::new();
    let what = ["config x", "task - config x", "task - config x", "config x"];
    let said = r#"["a of run nobody: 0 1", "a of run nobody: 1 1", "a of run nobody: 2 1", "a of run nobody: 0 2"]"#;
    assert_eq!(told(lab.run(&what)), said);
    let tenant = lab.host.tenant().name("acme").build().unwrap();
    // The last one counts.
    let other = lab.run(&["config x"]).grant(lab.values("b"));
    let said = r#"["b of run acme: 0 1"]"#;
    assert_eq!(told(other.tenant(&tenant)), said);
    lab.nothing_is_left();
}

/// Hunts tasks that have more than they were given, and messages that do not say what to do.
#[test]
pub fn what_was_not_granted_is_not_there() {
    let lab = Lab::new();
    let refused = |run: RunBuilder| run.start().unwrap().wait().unwrap_err().to_string();
    let said = refused(lab.bare(&["config x"]));
    assert!(
        said.contains("Values") && said.contains("RunBuilder::grant"),
        "{said}"
    );
    let said = told(lab.run(&["task filesystem config x", "task environment config x"]));
    assert!(
        said.contains("was denied the network or the file system"),
        "{said}"
    );
    assert!(said.contains("a of run nobody: 0 1"), "{said}");
    lab.nothing_is_left();

    let without = Lab::on(host());
    let RunError::Setup(said) = without.run(&["config x"]).start().unwrap_err() else {
        panic!("it is the setup");
    };
    assert!(
        said.contains("Values") && said.contains("HostBuilder::capability"),
        "{said}"
    );
}

/// Hunts a host that counts runs which never started.
#[test]
fn what_cannot_be_prepared_keeps_the_run_from_starting() {
    let lab = Lab::new();
    let fails = |grant| {
        let run = lab.bare(&["config x"]).grant(lab.values(grant));
        run.start().unwrap_err()
    };
    let RunError::Setup(said) = fails("nothing") else {
        panic!("it is the setup");
    };
    assert!(said.contains("Values: there is nothing"), "{said}");
    let RunError::Other(said) = fails("panic") else {
        panic!("it is nothing else");
    };
    assert!(said.contains("panicked"), "{said}");
    // An instance is told, and so are its calls.
    let instance = lab.host.instance(&lab.component);
    let instance = instance.run(|run| run.grant(lab.values("panic")));
    let error = block_on(instance.start()).unwrap_err();
    assert!(matches!(error, InstanceError::Ended(_)), "{error}");
    lab.nothing_is_left();
}

fn ask(instance: &hart_host::Instance, what: &'static str) -> hart_host::Call<(), Vec<String>> {
    instance.call(move |store, instance| {
        Box::pin(async move {
            type Told = (Vec<String>,);
            let told = instance.get_typed_func::<(Vec<String>,), Told>(&mut *store, "do")?;
            Ok(told.call_async(store, (vec![what.to_owned()],)).await?.0)
        })
    })
}

/// Hunts an instance that has a new state for each call, and a budget that does not see what blocks.
#[test]
fn a_live_instance_keeps_its_state_and_its_calls_have_budgets() {
    let lab = Lab::new();
    let instance = lab.host.instance(&lab.component).name("plugin");
    let instance = instance.run(|run| run.grant(lab.values("a")));
    let instance = block_on(instance.start()).unwrap();
    for asked in 1..=3 {
        let said = ask(&instance, "config x").wait().unwrap();
        assert_eq!(said, [format!("a of plugin nobody: 0 {asked}")]);
    }
    let call = ask(&instance, "config spin").cpu(Duration::from_millis(20));
    let limit = call.wait().unwrap_err().limit().unwrap();
    assert_eq!(limit.limit, LimitKind::TaskCpuTime);
    eventually("it gives up", || {
        lab.books.blocking.load(Ordering::SeqCst) == 0
    });
    drop(instance);
    eventually("it is gone", || lab.host.stats().live_runs == 0);
    lab.nothing_is_left();
}

/// Hunts a request with what the one before it had in the same instance.
#[tokio::test]
async fn each_request_of_a_service_has_its_own() {
    let lab = Lab::new();
    let service = lab.host.service(&lab.component).reuse(10);
    let service = service
        .run(|run| run.grant(lab.values("a")))
        .build()
        .unwrap();
    for _ in 0..3 {
        let request = Request::get("http://a/config/x")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let response = service.handle(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap();
        let said = String::from_utf8(body.to_bytes().to_vec()).unwrap();
        assert!(
            said.starts_with("a of ") && said.trim().ends_with(": 0 1"),
            "{said}"
        );
    }
    drop(service);
    let left = || lab.host.stats().live_runs + lab.books.live.load(Ordering::SeqCst) as u64;
    eventually("they are gone", || left() == 0);
}

/// Hunts what goes on after its run: more than a host has threads for.
#[test]
fn what_blocks_ends_with_its_run() {
    let lab = Lab::new();
    for _ in 0..20 {
        let run = lab.run(&["config spin"]).start().unwrap();
        eventually("it blocks", || {
            lab.books.blocking.load(Ordering::SeqCst) > 0
        });
        run.cancel();
        assert!(matches!(run.wait(), Err(RunError::Cancelled)));
        eventually("it gives up", || {
            lab.books.blocking.load(Ordering::SeqCst) == 0
        });
    }
    let limits = Limits::new().timeout(Duration::from_millis(20));
    let late = lab.run(&["config spin"]).limits(limits).start().unwrap();
    assert!(matches!(late.wait(), Err(RunError::TimedOut(_))));
    eventually("it gives up", || {
        lab.books.blocking.load(Ordering::SeqCst) == 0
    });
    assert!(told(lab.run(&["config leave"])).contains("0 1"));
    lab.nothing_is_left();
}

/// Hunts files that wait for what a capability does, where the host has one thread for each.
#[test]
fn what_blocks_holds_up_no_files() {
    let limits = Limits::new().blocking_threads(1).timeout(HANG);
    let one = builder().capability::<Values>().limits(limits);
    let lab = Lab::on(one.build().unwrap());
    let busy = lab.run(&["config spin"]).start().unwrap();
    eventually("it blocks", || {
        lab.books.blocking.load(Ordering::SeqCst) == 1
    });
    let directory = with_a_pipe("capability");
    let reader = lab.host.load_file(hart_build::guest("reader")).unwrap();
    let reads = lab.host.command(&reader).args(["reader", "/d/file"]);
    let reads = reads.dir(&directory, "/d", DirAccess::ReadOnly);
    reads.start().unwrap().wait().unwrap();
    busy.cancel();
    let _ = busy.wait();
    std::fs::remove_dir_all(directory).unwrap();
}

/// Hunts work that costs nobody anything, and one run that has all threads.
#[test]
fn what_blocks_costs_its_run_and_holds_up_nobody() {
    let lab = Lab::new();
    let limits = [
        (
            Limits::new().cpu_time(Duration::from_millis(50)),
            LimitKind::CpuTime,
        ),
        (
            Limits::new().task_cpu_time(Duration::from_millis(50)),
            LimitKind::TaskCpuTime,
        ),
    ];
    for (limits, kind) in limits {
        let run = lab.run(&["config spin"]).limits(limits).start().unwrap();
        let used = run.canceller();
        assert!(told(lab.run(&["config x"])).contains("0 1"));
        let error = run.wait().unwrap_err();
        assert_eq!(
            error.limit().map(|limit| limit.limit),
            Some(kind),
            "{error}"
        );
        let used = used.stats().cpu_time;
        assert!(used >= Duration::from_millis(50), "{used:?}");
    }
    // Another's threads are busy, up to a run's part of them.
    let busy: Vec<_> = (0..3)
        .map(|_| lab.run(&["config spin"]).start().unwrap())
        .collect();
    eventually("all block", || {
        lab.books.blocking.load(Ordering::SeqCst) == 3
    });
    assert!(told(lab.run(&["config x"])).contains("0 1"));
    busy.iter().for_each(hart_host::Run::cancel);
    for run in busy {
        let _ = run.wait();
    }
    let said = lab
        .run(&["config panic"])
        .start()
        .unwrap()
        .wait()
        .unwrap_err();
    assert!(said.to_string().contains("panic"), "{said}");
    eventually("they give up", || {
        lab.books.live.load(Ordering::SeqCst) == 0
    });
    lab.nothing_is_left();
}
