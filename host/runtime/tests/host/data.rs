//! Data of the embedder's own in guests' stores, and views that are made of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::*;
use hart_host::wasmtime::{self, component::Linker};
use hart_host::wasmtime_wasi::WasiCtxBuilder;
use hart_host::wasmtime_wasi::cli::{WasiCli, WasiCliCtx, WasiCliCtxView};
use hart_host::wasmtime_wasi::p2::bindings::cli::environment;
use hart_host::{GuestState, Host, HostBuilder, Limits, RunError};

/// Fault: data that must be shared between threads although each is in one store only; a host that cannot be shared.
const _: fn() = || {
    fn is_shared<H: Send + Sync>() {}
    is_shared::<Host<std::cell::Cell<u8>>>();
};

/// What any of these tests wants for data. One type, as every type has the whole host compiled for it.
#[derive(Default)]
struct Own {
    /// So many variables are in the task's environment, and that is the embedder's own.
    variables: usize,
    cli: WasiCliCtx,
    /// The tasks down to this one.
    ids: Vec<u64>,
    counted: Option<Counted>,
    _panics: Option<Panics>,
}

impl Own {
    fn variables(count: usize) -> Self {
        let mut context = WasiCtxBuilder::new();
        for number in 0..count {
            context.env(format!("V{number}"), "");
        }
        Self {
            variables: count,
            cli: std::mem::take(context.build().cli()),
            ..Self::default()
        }
    }

    fn counted(live: &Arc<AtomicUsize>) -> Self {
        live.fetch_add(1, Ordering::Relaxed);
        Self {
            counted: Some(Counted(live.clone())),
            ..Self::default()
        }
    }

    fn panics() -> Self {
        Self {
            _panics: Some(Panics),
            ..Self::default()
        }
    }
}

/// One of those that are live.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Panics;

impl Drop for Panics {
    fn drop(&mut self) {
        panic!("in a destructor, on purpose");
    }
}

/// A view as wasmtime's crates want them, of the data and of the store's table.
fn view(state: &mut GuestState<Own>) -> WasiCliCtxView<'_> {
    let parts = state.parts();
    WasiCliCtxView {
        ctx: &mut parts.data.cli,
        table: parts.table,
    }
}

fn add_view(linker: &mut Linker<GuestState<Own>>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    environment::add_to_linker::<_, WasiCli>(linker, view)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// A child has one variable more than its parent.
fn one_more() -> HostBuilder<Own> {
    let builder = HostBuilder::with_data(|_, parent: &Own| Own::variables(parent.variables + 1));
    for_tests(builder).imports(add_view)
}

/// Fault: a run that sees the data of another; a view that borrows the data or the table, and not both.
#[test]
pub fn each_run_has_its_own_data() {
    let host = one_more().build().unwrap();
    let lab = lab(&host);
    let script = sleep(20).count_environment();
    let start = |count| {
        let run = run(&host, &lab, &script).data(Own::variables(count));
        run.start().unwrap()
    };
    let runs: Vec<_> = (0..9).map(|count| (count, start(count))).collect();
    for (count, run) in runs {
        assert_eq!(said(run.wait()).unwrap(), count.to_string());
    }
    assert_nothing_left(&host);
}

/// Fault: a child with the data of the root, or with none; one that shares an instance's data with the task before it.
#[test]
fn a_child_has_what_its_parent_says() {
    let host = one_more().build().unwrap();
    let lab = lab(&host);
    let grandchild = spawn(&count_environment()).join(0).count_environment();
    let script = spawn(&grandchild)
        .spawn(&count_environment())
        .join(0)
        .join(1)
        .count_environment();
    let run = run(&host, &lab, &script).data(Own::variables(4));
    let outcome = run.start().unwrap().wait();
    assert_eq!(said(outcome).unwrap(), "k(k(6)5)k(5)4");
    // With instances that could be used again.
    let child = count_environment();
    let script = Script::default()
        .option(b'u', 0)
        .spawn(&child)
        .join(0)
        .spawn(&child)
        .join(1);
    let run = self::run(&host, &lab, &script).data(Own::variables(1));
    assert_eq!(said(run.start().unwrap().wait()).unwrap(), "k(2)k(2)");
    assert_nothing_left(&host);
}

/// Fault: a closure that is told of another task, run or tenant.
#[test]
fn the_closure_is_told_of_the_child() {
    type Seen = Arc<Mutex<Vec<(u64, String, u32, u64, Option<String>)>>>;
    let seen = Seen::default();
    let sees = seen.clone();
    let builder = HostBuilder::with_data(move |child, parent: &Own| {
        sees.lock().unwrap().push((
            child.id,
            child.name.to_owned(),
            child.depth,
            child.run,
            child.tenant.map(str::to_owned),
        ));
        let ids = parent.ids.iter().copied().chain([child.id]).collect();
        Own {
            ids,
            ..Own::default()
        }
    });
    let host = for_tests(builder).build().unwrap();
    let lab = lab(&host);
    let script = spawn(&spawn(&say(b'x')).join(0)).join(0);
    let tenant = host.tenant().name("payer").build().unwrap();
    let run = run(&host, &lab, &script)
        .data(Own::default())
        .tenant(&tenant);
    let run = run.start().unwrap();
    let id = run.id();
    assert_eq!(said(run.wait()).unwrap(), "k(k(x))");
    let seen = seen.lock().unwrap();
    let [
        (first, _, 1, of_first, tenant_of_first),
        (second, name, 2, of_second, _),
    ] = &seen[..]
    else {
        panic!("{seen:?}")
    };
    assert!(first != second && (*of_first, *of_second) == (id, id));
    assert_eq!(tenant_of_first.as_deref(), Some("payer"));
    assert!(!name.is_empty());
}

/// Fault: data that stays, or is dropped twice, whatever its task comes to: it ends, waits for slots, or is refused.
#[test]
fn data_goes_with_its_task() {
    let live = Arc::new(AtomicUsize::new(0));
    let builder =
        HostBuilder::with_data(|_, parent: &Own| Own::counted(&parent.counted.as_ref().unwrap().0));
    let host = for_tests(builder).instances(8).build().unwrap();
    let lab = lab(&host);
    let waits = spawn(&sleep(250)).repeat();
    let ends = spawn(&say(b'x')).join(0);
    let refused = Script::default()
        .option(b'x', 1)
        .times(3, &spawn(&say(b'x')));
    let runs: Vec<_> = [&waits, &ends, &refused, &spawn(&trap()).join(0)]
        .into_iter()
        .map(|script| {
            let run = run(&host, &lab, script).data(Own::counted(&live));
            run.start().unwrap()
        })
        .collect();
    eventually("some wait for slots", || host.queued_spawns() > 4);
    for run in &runs {
        run.cancel();
    }
    for run in runs {
        let _ = run.wait();
    }
    assert_nothing_left(&host);
    assert_eq!(live.load(Ordering::Relaxed), 0);
}

/// Fault: a panic of the embedder's where a task that waits for its slots is dropped, after which the others stay, and
/// their run with them.
#[test]
fn data_that_panics_in_the_queue_keeps_no_run() {
    let builder = HostBuilder::with_data(|_, _: &Own| Own::panics());
    let host = for_tests(builder).instances(4).build().unwrap();
    let lab = lab(&host);
    let waits = spawn(&sleep(250)).repeat();
    let run = run(&host, &lab, &waits).data(Own::panics());
    let run = run.start().unwrap();
    eventually("some wait for slots", || host.queued_spawns() > 4);
    run.cancel();
    assert!(run.wait().is_err());
    // wasmtime's pool misses what stores had whose data panicked.
    let left = (host.live_guests(), host.queued_spawns(), host.pool().in_use);
    assert_eq!(left, (0, 0, 0));
}

/// Fault: a panic of the embedder's in a guest's call, which ends the process where the guest's own data panics as well.
#[test]
fn data_that_panics_where_a_spawn_is_refused_ends_nobody() {
    let builder = HostBuilder::with_data(|_, _: &Own| Own::panics()).data(Own::default);
    let host = for_tests(builder)
        .limits(Limits::new().tasks(1))
        .build()
        .unwrap();
    let lab = lab(&host);
    let outcome = run(&host, &lab, &spawn(&say(b'x')).explain()).start();
    let text = said(outcome.unwrap().wait()).unwrap();
    assert!(text.contains("tasks"), "{text}");
    assert_nothing_left(&host);
}

/// Fault: a destructor of the embedder's that panics and leaves a run without an end.
#[test]
fn a_panic_in_a_destructor_ends_the_run() {
    let with_data = HostBuilder::with_data(|_, _: &Own| Own::panics()).data(Own::panics);
    let host = for_tests(with_data).build().unwrap();
    let lab = lab(&host);
    let error = run(&host, &lab, &say(b'x'))
        .start()
        .unwrap()
        .wait()
        .unwrap_err();
    assert!(error.to_string().contains("on purpose"), "{error}");
    let waits = run(&host, &lab, &sleep(250)).start().unwrap();
    eventually("it runs", || host.pool().stacks == 1);
    waits.cancel();
    assert!(waits.wait().is_err());
    assert_eq!(host.live_guests(), 0);
}

/// Fault: a run without data that starts all the same, or panics.
#[test]
fn a_run_without_data_is_refused() {
    let host = one_more().build().unwrap();
    let lab = lab(&host);
    let refused = run(&host, &lab, &say(b'x')).start();
    let Err(RunError::Setup(text)) = &refused else {
        panic!("{refused:?}")
    };
    assert!(text.contains("RunBuilder::data"), "{text}");
    let host = one_more().data(|| Own::variables(3)).build().unwrap();
    let lab = self::lab(&host);
    let outcome = run(&host, &lab, &count_environment()).start().unwrap();
    assert_eq!(said(outcome.wait()).unwrap(), "3");
}

/// Fault: a panic of the embedder's in the closure, after which a run never ends or a task stays counted.
#[test]
fn a_closure_that_panics_ends_its_task() {
    let builder = HostBuilder::with_data(|child, (): &()| {
        assert!(child.depth < 2, "on purpose");
    });
    let host: Host = for_tests(builder).data(|| ()).build().unwrap();
    let lab = lab(&host);
    let script = spawn(&spawn(&say(b'x')).join(0)).join(0);
    let outcome = run(&host, &lab, &script).start().unwrap().wait();
    assert_eq!(said(outcome).unwrap(), "o");
    assert_nothing_left(&host);
}
