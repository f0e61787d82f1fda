//! Budgets of CPU time on tokio, without a host.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use hart_host::budget::{Budget, Exceeded};
use hart_host::wasmtime::component::{Component, Instance, Linker};
use hart_host::wasmtime::{Config, Engine, Result, Store};

use crate::support::*;

const MS: Duration = Duration::from_millis(1);

/// Spins, waits for the host, and computes for a while.
const GUEST: &str = r#"(component
    (import "wait" (func $wait))
    (core func $lowered (canon lower (func $wait)))
    (core module $m
        (import "" "wait" (func $wait))
        (func (export "spin") (loop (br 0)))
        (func (export "wait") call $wait)
        (func (export "work") (local $n i32)
            (local.set $n (i32.const 1000))
            (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
    (core instance $i (instantiate $m (with "" (instance (export "wait" (func $lowered))))))
    (func (export "spin") (canon lift (core func $i "spin")))
    (func (export "wait") (canon lift (core func $i "wait")))
    (func (export "work") (canon lift (core func $i "work"))))"#;

/// Guests of one engine.
struct Guests {
    engine: Engine,
    linker: Linker<()>,
    component: Component,
}

impl Guests {
    fn new() -> Self {
        let mut config = Config::new();
        config.epoch_interruption(true);
        let engine = Engine::new(&config).unwrap();
        let mut linker = Linker::new(&engine);
        let wait = linker.root().func_wrap_async("wait", |_, ()| {
            Box::new(async {
                tokio::time::sleep(100 * MS).await;
                Ok(())
            })
        });
        wait.unwrap();
        let component = Component::new(&engine, GUEST).unwrap();
        Self {
            engine,
            linker,
            component,
        }
    }

    fn budget(&self) -> Budget {
        Budget::new(&self.engine)
    }

    async fn instance(&self, budget: &Budget) -> (Store<()>, Instance) {
        let mut store = Store::new(&self.engine, ());
        budget.arm(&mut store);
        let instance = self.linker.instantiate_async(&mut store, &self.component);
        let instance = instance.await.unwrap();
        (store, instance)
    }

    /// Calls what a new instance exports, once.
    async fn call(&self, budget: &Budget, export: &str) -> Result<()> {
        let (mut store, instance) = self.instance(budget).await;
        let function = instance.get_typed_func::<(), ()>(&mut store, export)?;
        budget.guard(function.call_async(&mut store, ())).await
    }
}

fn on_one_thread(test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn exceeded(result: Result<()>) -> Option<Exceeded> {
    let error = result.expect_err("it exceeds");
    error.downcast_ref().copied()
}

/// Hunts a spinner that goes on, that keeps others from their turns on its thread, or that is ended before its time.
#[test]
pub fn a_spinner_is_ended_and_others_are_served() {
    on_one_thread(async {
        let guests = Rc::new(Guests::new());
        let is_over = Rc::new(Cell::new(false));
        let (others, over) = (guests.clone(), is_over.clone());
        let before = thread_cpu_time();
        let neighbour = tokio::task::spawn_local(async move {
            let budget = others.budget().cpu(HANG);
            let (mut store, instance) = others.instance(&budget).await;
            let work = instance
                .get_typed_func::<(), ()>(&mut store, "work")
                .unwrap();
            let mut served = 0;
            while !over.get() {
                budget.guard(work.call_async(&mut store, ())).await.unwrap();
                tokio::task::yield_now().await;
                served += 1;
            }
            (served, budget.used())
        });
        let budget = guests.budget().cpu(50 * MS);
        let ended = guests.call(&budget, "spin").await;
        is_over.set(true);
        assert_eq!(exceeded(ended), Some(Exceeded::Cpu(50 * MS)));
        assert!(budget.used() >= 50 * MS, "{budget:?}");
        let (served, used) = neighbour.await.unwrap();
        // Once for each slice, and there are some fifty: far fewer if the machine has other things to do.
        assert!(served >= 5, "{served}");
        let all = thread_cpu_time() - before;
        assert!(
            used + budget.used() <= all,
            "what the spinner used is not its neighbour's: {used:?}, {budget:?}, {all:?}"
        );
    });
}

/// Hunts a guest that gives way at every tick though its slice is longer.
#[test]
pub fn a_slice_is_as_long_as_asked_for() {
    on_one_thread(async {
        let guests = Guests::new();
        let budget = guests.budget().cpu(20 * MS).slice(HANG);
        let mut spins = std::pin::pin!(guests.call(&budget, "spin"));
        // One poll, to the end: it never gave way.
        let ended = futures::poll!(spins.as_mut());
        let std::task::Poll::Ready(ended) = ended else {
            panic!("it gave way");
        };
        assert_eq!(exceeded(ended), Some(Exceeded::Cpu(20 * MS)));
    });
}

/// Hunts a budget that counts what a guest waits for, and one that is not shared by its calls.
#[test]
fn what_is_waited_for_costs_nothing() {
    on_one_thread(async {
        let guests = Guests::new();
        let budget = guests.budget().cpu(50 * MS);
        guests.call(&budget, "wait").await.unwrap();
        guests.call(&budget, "work").await.unwrap();
        assert!(budget.used() < 50 * MS && !budget.used().is_zero());
        assert_eq!(
            exceeded(guests.call(&budget, "spin").await),
            Some(Exceeded::Cpu(50 * MS))
        );
        // There is nothing left of it.
        let again = guests.call(&budget, "spin").await;
        assert_eq!(exceeded(again), Some(Exceeded::Cpu(50 * MS)));
    });
}

/// Hunts a guest that waits, or spins, for longer than it may.
#[test]
pub fn time_on_the_clock_ends_those_who_wait() {
    on_one_thread(async {
        let guests = Guests::new();
        for export in ["wait", "spin"] {
            let budget = guests.budget().wall(30 * MS);
            let ended = guests.call(&budget, export).await;
            assert_eq!(exceeded(ended), Some(Exceeded::Wall(30 * MS)), "{export}");
        }
        let budget = guests.budget().wall(HANG);
        guests.call(&budget, "wait").await.unwrap();
    });
}

/// Hunts a thread that ticks though no guest is polled. In a process of its own, whose thread it is.
#[test]
fn nobody_ticks_where_nobody_runs() {
    passes_alone("budget::ticks_of_nobody");
}

#[test]
#[ignore = "started by another test"]
fn ticks_of_nobody() {
    let switches = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let of_it = tasks.flatten().find(|task| {
            let name = std::fs::read_to_string(task.path().join("comm"));
            name.is_ok_and(|name| name == "hart-budget\n")
        });
        let status = std::fs::read_to_string(of_it.unwrap().path().join("status")).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("voluntary_ctxt"));
        line.unwrap().to_owned()
    };
    on_one_thread(async {
        let guests = Guests::new();
        let budget = guests.budget().cpu(10 * MS);
        guests.call(&budget, "spin").await.unwrap_err();
    });
    let mut before = String::new();
    eventually("it sleeps", || {
        let now = switches();
        let is_quiet = before == now;
        before = now;
        std::thread::sleep(50 * MS);
        is_quiet
    });
    // It wakes up for the next one.
    on_one_thread(async {
        let guests = Guests::new();
        let budget = guests.budget().cpu(10 * MS);
        guests.call(&budget, "spin").await.unwrap_err();
    });
    assert_ne!(switches(), before);
}
