//! What the builders set, each seen in what becomes of a run; [`settings`](crate::settings) lists all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hart_host::{Group, Host, LoadError, Runtime, Stdio};

use crate::support::*;

/// Waits until one of two has had much CPU time, and says whether the other has had less than half as much. How much
/// both get of a busy machine nobody knows.
fn is_ahead(first: impl Fn() -> Duration, second: impl Fn() -> Duration) -> bool {
    eventually("one has had its part", || {
        first().max(second()) > Duration::from_millis(300)
    });
    second() * 2 < first()
}

/// Fault: a weight that is only checked.
#[test]
pub fn shares_of_runs_follow_their_weights() {
    for mode in MODES {
        let host = builder().workers(1).preemption(mode).build().unwrap();
        let lab = lab(&host);
        let spins = || run(&host, &lab, &spin());
        let runs = [400, 50].map(|weight| spins().weight(weight).start().unwrap());
        let used = |at: usize| runs[at].stats().cpu_time;
        assert!(is_ahead(|| used(0), || used(1)), "{mode}");
        runs.iter().for_each(hart_host::Run::cancel);

        let tenants = [400, 50].map(|weight| host.tenant().weight(weight).build().unwrap());
        let runs = tenants
            .each_ref()
            .map(|tenant| spins().tenant(tenant).start().unwrap());
        let used = |at: usize| tenants[at].stats().cpu_time;
        assert!(is_ahead(|| used(0), || used(1)), "{mode}: tenants");
        runs.iter().for_each(hart_host::Run::cancel);
    }
}

/// Fault: settings of a group that are forgotten on the way to the executor.
#[test]
pub fn groups_are_as_they_were_built() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    // Gives way ten times in a millisecond.
    let spins = |group: &Group| {
        let stop = stop.clone();
        group.spawn(async move |cx| {
            while !stop.load(Ordering::Relaxed) {
                let until = std::time::Instant::now() + Duration::from_micros(100);
                while std::time::Instant::now() < until {}
                cx.yield_now().await;
            }
        })
    };
    let heavy = runtime.group().name("heavy").weight(400).build().unwrap();
    let light = runtime.group().weight(50).build().unwrap();
    assert_eq!(heavy.stats().name, "heavy");
    let tasks = [&heavy, &light].map(spins);
    assert!(is_ahead(
        || heavy.stats().cpu_time,
        || light.stats().cpu_time
    ));
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.wait().unwrap();
    }

    let tenant = runtime.tenant().name("payer").build().unwrap();
    let paid = runtime.group().tenant(&tenant).build().unwrap();
    paid.spawn(async |cx| cx.yield_now().await).wait().unwrap();
    assert_eq!(tenant.stats().name, "payer");
    assert_eq!(tenant.stats().groups, 1);
    assert!(tenant.stats().cpu_time > Duration::ZERO);
    // What the executor does with it is seen in its own tests.
    let slice = Duration::from_millis(7);
    let group = runtime.group().slice(slice).build().unwrap();
    assert_eq!(group.executor_group().slice(), slice);
}

/// Fault: a runtime of tokio's that is taken and not used.
#[test]
pub fn timers_are_those_of_the_runtime_that_was_given() {
    let tokio = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    // Time goes on where somebody drives it, and nowhere else.
    let sleeps_on = |driven: &tokio::runtime::Runtime, runtime: &Runtime| {
        let group = runtime.group().build().unwrap();
        let sleeps = group.spawn(async |_| tokio::time::sleep(Duration::from_millis(1)).await);
        eventually("it sleeps", || group.stats().polls > 0);
        std::thread::sleep(Duration::from_millis(100));
        assert!(!sleeps.is_finished(), "it has other timers");
        driven.block_on(sleeps).unwrap();
    };
    let driven = tokio();
    let host = builder().tokio(driven.handle().clone()).build().unwrap();
    sleeps_on(&driven, host.runtime());
    // Guests wait by hart's own clock.
    assert_eq!(
        said(
            run(&host, &lab(&host), &sleep(1).say(b'x'))
                .start()
                .unwrap()
                .wait()
        )
        .unwrap(),
        "x"
    );

    let driven = tokio();
    let runtime = Runtime::builder().workers(1).tokio(driven.handle().clone());
    sleeps_on(&driven, &runtime.build().unwrap());
}

/// Fault: a number of threads that is not kept, or not reached.
#[test]
pub fn so_many_threads_may_block() {
    use std::sync::atomic::AtomicU32;

    let runtime = Runtime::builder().workers(1).blocking_threads(2);
    let runtime = runtime.build().unwrap();
    let group = runtime.group().build().unwrap();
    let (now, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let blocks = |_| {
        let (now, most) = (now.clone(), most.clone());
        group.spawn(async move |_| {
            let blocks = tokio::task::spawn_blocking(move || {
                most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
                now.fetch_sub(1, Ordering::Relaxed);
            });
            blocks.await.unwrap();
        })
    };
    let tasks: Vec<_> = (0..10).map(blocks).collect();
    for task in tasks {
        task.wait().unwrap();
    }
    assert_eq!(most.load(Ordering::Relaxed), 2);
    assert!(Runtime::builder().blocking_threads(0).build().is_err());
}

/// Fault: a trace that is empty, or is there unasked.
#[test]
pub fn polls_are_recorded_where_that_was_asked_for() {
    let runtime = Runtime::builder().workers(1).trace(100).build().unwrap();
    let group = runtime.group().name("traced").build().unwrap();
    group.spawn(async |cx| cx.yield_now().await).wait().unwrap();
    let mut text = Vec::new();
    runtime.trace().unwrap().write(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("traced"), "{text}");
    let runtime = Runtime::builder().workers(1).build().unwrap();
    assert!(runtime.trace().is_none());
}

/// Fault: arguments, variables and standard streams that do not reach the guest, or go elsewhere.
#[test]
pub fn what_a_program_is_given_arrives() {
    let host = host();
    let hello = host.load_file(hart_build::guest("hello")).unwrap();
    let run = host.command(&hello).arg("hello").args(["one", "two words"]);
    let run = run.env("A", "1").env("A", "2").stdout(Stdio::Capture);
    let outcome = run.start().unwrap().wait().unwrap();
    assert_eq!(
        String::from_utf8(outcome.stdout).unwrap(),
        "hello\nargument: one\nargument: two words\nenvironment: A=2\n"
    );
    let cat = include_bytes!("../../../cli/tests/e2e/cat.wat");
    let cat = host.load(cat).unwrap();
    let run = host.command(&cat).stdin(Stdio::Bytes(b"input".to_vec()));
    let run = run.stdout(Stdio::Capture).stderr(Stdio::Capture);
    let outcome = run.start().unwrap().wait().unwrap();
    assert_eq!(
        (&*outcome.stdout, &*outcome.stderr),
        (&b"input"[..], &b""[..])
    );
    let traps = host.load_file(hart_build::guest("reader")).unwrap();
    let run = host.command(&traps).args(["reader", "/nowhere"]);
    let outcome = run.stderr(Stdio::Capture).start().unwrap().wait().unwrap();
    let said = String::from_utf8(outcome.stderr).unwrap();
    assert!(said.contains("/nowhere"), "{said}");
    assert!(outcome.stdout.is_empty());
}

/// `env()` returns the guest's environment.
const ENVIRONMENT: &str = r#"
(component
  (import "wasi:cli/environment@0.2.0" (instance $env
    (export "get-environment" (func (result (list (tuple string string)))))))
  (core module $libc (memory (export "m") 16) (global $p (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local i32)
      (global.set $p (i32.and (i32.add (global.get $p) (i32.const 7)) (i32.const -8)))
      (local.set 4 (global.get $p))
      (global.set $p (i32.add (global.get $p) (local.get 3)))
      (local.get 4)))
  (core instance $libc (instantiate $libc))
  (core func $get (canon lower (func $env "get-environment")
    (memory (core memory $libc "m")) (realloc (core func $libc "realloc"))))
  (core module $m (import "" "get" (func $get (param i32)))
    (func (export "env") (result i32) (call $get (i32.const 16)) (i32.const 16)))
  (core instance $i (instantiate $m (with "" (instance (export "get" (func $get))))))
  (func (export "env") (result (list (tuple string string)))
    (canon lift (core func $i "env") (memory (core memory $libc "m")))))
"#;

/// Fault: a hook that is not called, or whose grants are lost, and an environment that is not inherited.
#[test]
pub fn grants_of_a_hook_and_of_the_process_arrive() {
    let host = builder().build().expect("a host");
    let component = host.load(ENVIRONMENT.as_bytes()).expect("it loads");
    let run = || host.invoke(&component, "env()").expect("a call");
    let shown = |run: hart_host::RunBuilder| {
        let outcome = run
            .start()
            .expect("it starts")
            .wait()
            .expect("it ends well");
        outcome.to_wave().expect("plain values")
    };
    assert_eq!(shown(run()), "[]");
    let hooked = run().wasi(|context| {
        context.env("BY_A_HOOK", "yes");
    });
    assert_eq!(shown(hooked), r#"[("BY_A_HOOK", "yes")]"#);
    let path = std::env::var("PATH").expect("a path");
    let inherited = shown(run().inherit_env());
    assert!(
        inherited.contains(&format!("(\"PATH\", \"{path}\")")),
        "{inherited}"
    );
}

/// `wasi:cli/run` of both versions: that of 0.3 fails.
fn both(import: &str) -> String {
    format!(
        r#"(component {import}
          (core module $m
            (func (export "well") (result i32) i32.const 0)
            (func (export "badly") (result i32) i32.const 1))
          (core instance $i (instantiate $m))
          (func $well (result (result)) (canon lift (core func $i "well")))
          (func $badly (result (result)) (canon lift (core func $i "badly")))
          (instance (export "wasi:cli/run@0.3.0") (export "run" (func $badly)))
          (instance (export "wasi:cli/run@0.2.6") (export "run" (func $well))))"#
    )
}

/// Fault: the program runs in place of what tests it, and all tests pass.
#[test]
pub fn of_two_commands_the_one_that_was_asked_for_runs() {
    let host = builder().build().expect("a host");
    let component = host.load(both("").as_bytes()).expect("it loads");
    assert_eq!(
        component.commands(),
        ["wasi:cli/run@0.2.6#run", "wasi:cli/run@0.3.0#run"]
    );
    for (prefer, code) in [(false, 0), (true, 1)] {
        let run = host.command(&component).prefer_wasi03(prefer);
        let outcome = run.start().expect("it starts").wait().expect("it ends");
        assert_eq!(outcome.exit_code, code);
    }
}

/// Fault: imports that components of the other engine get, or none.
#[test]
pub fn asynchronous_imports_are_for_asynchronous_components() {
    let host = builder()
        .async_imports(|linker| linker.root().func_wrap("answer", |_, ()| Ok((42_u32,))))
        .build()
        .expect("a host");
    let import = r#"(import "answer" (func (result u32)))"#;
    host.load(both(import).as_bytes())
        .expect("it has its import");
    let plain = host.load(format!("(component {import})").as_bytes());
    assert!(
        matches!(plain, Err(LoadError::MissingImport { .. })),
        "{plain:?}"
    );
}

/// Fault: code that was compiled for backtraces with details, or without, and runs where it is the other way.
#[test]
pub fn details_of_backtraces_are_a_property_of_code() {
    let host = |details| -> Host {
        builder()
            .backtrace_details(details)
            .build()
            .expect("a host")
    };
    let code = host(true).precompile(both("").as_bytes()).expect("code");
    // SAFETY: it was compiled just now, and is unchanged.
    assert!(unsafe { host(true).load_precompiled(&code) }.is_ok());
    // SAFETY: as above.
    assert!(unsafe { host(false).load_precompiled(&code) }.is_err());
}

/// Fault: a name that `Host::call` takes for another function's, or an error that does not say what there is.
#[test]
fn exports_are_called_by_shorter_names() {
    let host = builder().build().expect("a host");
    let text = r#"(component
        (core module $m (func (export "one") (result i32) i32.const 1) (func (export "two") (result i32) i32.const 2))
        (core instance $i (instantiate $m))
        (func $one (result u32) (canon lift (core func $i "one")))
        (func $two (result u32) (canon lift (core func $i "two")))
        (instance (export "a:b/one") (export "f" (func $one)))
        (instance (export "a:b/two@1.0.0") (export "f" (func $two))))"#;
    let component = host.load(text.as_bytes()).expect("it loads");
    for (name, result) in [
        ("a:b/one#f", "1"),
        ("one.f", "1"),
        ("a:b/two.f", "2"),
        ("a:b/two.f@1.0.0", "2"),
    ] {
        let run = host.call(&component, name, Vec::new());
        let outcome = run.start().expect(name).wait().expect(name);
        assert_eq!(outcome.to_wave().expect("a number"), result, "{name}");
    }
    for name in ["f", "g"] {
        let error = host
            .call(&component, name, Vec::new())
            .start()
            .expect_err(name);
        let error = error.to_string();
        assert!(
            error.contains("a:b/one#f") && error.contains("a:b/two@1.0.0#f"),
            "{error}"
        );
    }
}
