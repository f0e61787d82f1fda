//! How runs and hosts end, and what is left of them.

use crate::support::*;
use hart_host::{Canceller, Limits, LoadError, RunError};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Fault: a run that only one kind of executor can await.
#[test]
fn a_run_is_a_future_for_any_executor() {
    let host = host();
    let lab = lab(&host);
    let script = spawn(&sleep(10).say(b'x')).join(0);
    assert_eq!(
        said(run(&host, &lab, &script).start().unwrap().wait()).unwrap(),
        "k(x)"
    );
    assert_eq!(
        said(futures::executor::block_on(
            run(&host, &lab, &script).start().unwrap()
        ))
        .unwrap(),
        "k(x)"
    );
    let tokio = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    assert_eq!(
        said(tokio.block_on(run(&host, &lab, &script).start().unwrap())).unwrap(),
        "k(x)"
    );
    // Moved between threads after it was polled.
    let mut moved = run(&host, &lab, &script).start().unwrap();
    assert!(futures::executor::block_on(futures::future::poll_immediate(&mut moved)).is_none());
    assert_eq!(
        said(std::thread::spawn(|| moved.wait()).join().unwrap()).unwrap(),
        "k(x)"
    );
    assert_nothing_left(&host);
}

/// Fault: "Cannot drop a runtime in a context where blocking is not allowed", and a host that hangs its
/// dropper.
#[test]
fn a_host_can_be_dropped_inside_async_code() {
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    tokio.block_on(async {
        for own_drivers in [true, false] {
            let mut builder = builder();
            if !own_drivers {
                builder = builder.tokio(tokio::runtime::Handle::current());
            }
            let host = builder.build().unwrap();
            let lab = lab(&host);
            assert_eq!(
                said(run(&host, &lab, &sleep(5).say(b'x')).start().unwrap().await).unwrap(),
                "x"
            );
            let spinner = run(&host, &lab, &spin()).start().unwrap();
            eventually("it runs", || host.pool().stacks == 1);
            drop(host);
            assert!(matches!(spinner.await, Err(RunError::Closed)));
        }
    });
}

/// Fault: a close that misses somebody: a run whose future never resolves, a joiner that waits for
/// ever, a task that starts afterwards. Whatever the moment.
#[test]
fn close_reaches_everybody() {
    for mode in MODES {
        for moment in 0..12 {
            let host = builder().instances(8).preemption(mode).build().unwrap();
            let lab = lab(&host);
            let mut scripts = vec![
                spin(),
                yield_forever(),
                sleep(250).sleep(250).sleep(250),
                tree(5),
            ];
            scripts.push(spawn(&spin()).join(0));
            scripts.push(Script::default().times(30, &spawn(&busy(50))).spin());
            let runs: Vec<_> = scripts
                .iter()
                .map(|script| run(&host, &lab, script).start().unwrap())
                .collect();
            std::thread::sleep(Duration::from_micros(300 * moment));
            host.close();
            host.close();
            assert!(matches!(
                run(&host, &lab, &say(b'x')).start(),
                Err(RunError::Closed)
            ));
            assert!(matches!(host.load(b"(component)"), Err(LoadError::Closed)));
            for run in runs {
                let outcome = run.wait();
                assert!(
                    matches!(outcome, Ok(_) | Err(RunError::Closed)),
                    "{outcome:?}"
                );
            }
            assert_nothing_left(&host);
        }
    }
}

/// Fault: a shutdown that does not wait for those who finish, or waits for those who do not.
#[test]
fn shutdown_waits_for_its_grace() {
    let host = host();
    let lab = lab(&host);
    let good = run(&host, &lab, &sleep(50).say(b'x')).start().unwrap();
    let shutdown = host.shutdown(HANG);
    assert!(matches!(
        run(&host, &lab, &say(b'x')).start(),
        Err(RunError::Closed)
    ));
    shutdown.wait();
    assert_eq!(said(good.wait()).unwrap(), "x");
    assert_nothing_left(&host);

    let host = crate::support::host();
    let endless = run(&host, &crate::support::lab(&host), &spin())
        .start()
        .unwrap();
    futures::executor::block_on(host.shutdown(Duration::from_millis(20)));
    assert!(endless.is_finished());
    assert!(matches!(endless.wait(), Err(RunError::Closed)));
    assert_nothing_left(&host);
}

/// Fault: a run that ends when its handle is dropped, or whose statistics are gone with it.
#[test]
pub fn dropping_a_run_detaches_it() {
    let host = host();
    let lab = lab(&host);
    let run = run(&host, &lab, &spawn(&sleep(20)).join(0))
        .name("detached\x1b[2J")
        .start()
        .unwrap();
    let canceller = run.canceller();
    assert_eq!(run.name(), "detached\\u{1b}[2J");
    drop(run);
    eventually("it ends by itself", || host.stats().live_runs == 0);
    let stats = canceller.stats();
    assert_eq!(
        (stats.tasks, stats.live_tasks, stats.spawns, stats.joins),
        (2, 0, 1, 1),
        "{stats:?}"
    );
    assert!(host.groups().is_empty());
    assert_nothing_left(&host);
}

/// Fault: a trap without the backtrace that finds it.
#[test]
fn a_trap_in_the_root_has_a_backtrace() {
    let host = host();
    let error = said(run(&host, &lab(&host), &trap()).start().unwrap().wait()).unwrap_err();
    let RunError::Trapped {
        trap, backtrace, ..
    } = &error
    else {
        panic!("{error}")
    };
    assert!(trap.contains("unreachable"), "{trap}");
    assert!(backtrace.contains("run"), "{backtrace}");
    assert_eq!(error.exit_code(), 134);
    assert_nothing_left(&host);
}

/// Fault: a panic in the embedder's own import that takes a worker, or the joiner's hope, along.
#[test]
pub fn a_panicking_import_ends_its_task_only() {
    let host = builder()
        .workers(1)
        .imports(|linker| {
            linker
                .root()
                .func_wrap("boom", |_, ()| -> hart_host::wasmtime::Result<()> {
                    panic!("boom\x07")
                })
        })
        .build()
        .unwrap();
    let component = host
        .load(
            br#"(component
                (import "boom" (func $boom))
                (core func $lowered (canon lower (func $boom)))
                (core module $m (import "" "boom" (func $boom)) (func (export "f") call $boom))
                (core instance $i (instantiate $m (with "" (instance (export "boom" (func $lowered))))))
                (func (export "f") (canon lift (core func $i "f"))))"#,
        )
        .unwrap();
    let error = host
        .invoke(&component, "f()")
        .unwrap()
        .start()
        .unwrap()
        .wait()
        .unwrap_err();
    assert!(error.to_string().contains("boom\\u{7}"), "{error}");
    assert_eq!(output(&host, &lab(&host), &say(b'x')), "x");
    assert_nothing_left(&host);
}

/// Fault: a run that was cancelled in the middle of a poll, and says that it trapped: the guest met the cancellation as
/// a spawn that was refused, did not expect that, and trapped before its next preemption point.
#[test]
fn a_trap_after_the_cancellation_is_one_of_a_cancelled_run() {
    let canceller: Arc<OnceLock<Canceller>> = Arc::default();
    let cancels = canceller.clone();
    let host = builder()
        .workers(1)
        .imports(move |linker| {
            let cancels = cancels.clone();
            linker.root().func_wrap("cancel", move |_, ()| {
                cancels.wait().cancel();
                Ok(())
            })
        })
        .build()
        .unwrap();
    let component = host
        .load(
            br#"(component
                (import "cancel" (func $cancel))
                (core func $lowered (canon lower (func $cancel)))
                (core module $m
                    (import "" "cancel" (func $cancel))
                    (func (export "f") call $cancel unreachable))
                (core instance $i (instantiate $m (with "" (instance (export "cancel" (func $lowered))))))
                (func (export "f") (canon lift (core func $i "f"))))"#,
        )
        .unwrap();
    let run = host.invoke(&component, "f()").unwrap().start().unwrap();
    assert!(canceller.set(run.canceller()).is_ok());
    let error = run.wait().unwrap_err();
    assert!(matches!(error, RunError::Cancelled), "{error:?}");
    assert_nothing_left(&host);
}

/// Fault: settings that make no sense and panic later instead of being refused.
#[test]
fn bad_settings_are_refused() {
    let settings = [
        builder().workers(0),
        builder().workers(usize::MAX),
        builder().instances(0),
        builder().instances(1_000_000),
        builder().preemption(hart_host::Preemption::Epoch {
            slice: Duration::ZERO,
        }),
        builder().preemption(hart_host::Preemption::Fuel { slice: 0 }),
        builder().limits(Limits::new().blocking_threads(0)),
    ];
    for builder in settings {
        let error = builder.build().unwrap_err().to_string();
        assert!(!error.contains('\n') && error.len() > 20, "{error}");
    }
    let host = host();
    let lab = lab(&host);
    let starts = [
        run(&host, &lab, &say(b'x')).weight(0),
        run(&host, &lab, &say(b'x')).dir("/no/such/directory", "/", hart_host::DirAccess::ReadOnly),
        run(&host, &lab, &say(b'x')).stdin(hart_host::Stdio::Capture),
        run(&host, &lab, &say(b'x')).stdout(hart_host::Stdio::Bytes(Vec::new())),
        run(&crate::support::host(), &lab, &say(b'x')),
        host.command(&lab),
        host.call(&lab, "nothing", Vec::new()),
        host.call(&lab, "script", Vec::new()),
    ];
    for builder in starts {
        let error = builder.start().unwrap_err();
        assert!(
            matches!(error, RunError::Setup(_) | RunError::Closed),
            "{error:?}"
        );
    }
    assert!(host.tenant().weight(0).build().is_err());
    assert_nothing_left(&host);
}

/// Fault: a shutdown that nobody waits for to its end, after which the host refuses runs and never closes.
#[test]
fn a_shutdown_ends_the_host_whoever_waits() {
    let host = host();
    let lab = lab(&host);
    let spinner = run(&host, &lab, &spin()).start().unwrap();
    eventually("it runs", || host.pool().stacks == 1);
    drop(host.shutdown(Duration::from_millis(10)));
    assert!(matches!(spinner.wait(), Err(RunError::Closed)));
    assert_nothing_left(&host);
}

/// Fault: a guest's names that move the cursor where a `main` returns the error of a run.
#[test]
fn what_debug_shows_of_an_error_is_escaped() {
    let host = host();
    let text = b"(component
        (core module $m (func $\"a\\1b[2Jb\" (unreachable)) (func (export \"f\") (call $\"a\\1b[2Jb\")))
        (core instance $i (instantiate $m))
        (func (export \"f\") (canon lift (core func $i \"f\"))))";
    let traps = host.load(text).unwrap();
    let error = host
        .call(&traps, "f", Vec::new())
        .start()
        .unwrap()
        .wait()
        .unwrap_err();
    let shown = format!("{error:?}");
    assert!(
        shown.contains("unreachable") && shown.contains("[2Jb"),
        "{shown}"
    );
    assert!(!shown.contains('\u{1b}'), "{shown}");
}

/// Hunts a run that goes on though its handle is to end it, and one that ends though it was let go.
#[test]
pub fn a_run_may_end_with_its_handle() {
    let host = host();
    let lab = lab(&host);
    let spins = || {
        let run = run(&host, &lab, &spin()).start().unwrap();
        let canceller = run.canceller();
        (run, canceller)
    };
    let (run, _) = spins();
    drop(run.abort_on_drop());
    eventually("it is cancelled", || host.live_guests() == 0);

    let ((first, one), (second, other)) = (spins(), spins());
    drop(first);
    second.abort_on_drop().detach();
    let goes_on = |canceller: &hart_host::Canceller| {
        let used = canceller.stats().cpu_time;
        eventually("it goes on", || canceller.stats().cpu_time > used);
    };
    goes_on(&one);
    goes_on(&other);
    one.cancel();
    other.cancel();
    eventually("both are gone", || host.live_guests() == 0);
}
