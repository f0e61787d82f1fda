//! `hart:exec` from the guest's side: spawn, join, wait, yield, close, cancel, options.

use crate::support::*;
use hart_host::Preemption;

/// Fault: a result that gets lost or mixed up on its way from child to parent.
#[test]
fn a_child_returns_its_bytes() {
    let host = host();
    let lab = lab(&host);
    let script = spawn(&say(b'x').say(b'y'))
        .spawn(&say(b'z'))
        .join(1)
        .join(0);
    assert_eq!(output(&host, &lab, &script), "k(z)k(xy)");
    assert_nothing_left(&host);
}

/// Fault: a trap in one task that takes its siblings or its parent along, or that cannot be told from
/// another failure.
#[test]
fn every_way_to_end_has_its_own_join_error() {
    let host = host();
    let lab = lab(&host);
    let script = spawn(&trap())
        .spawn(&fail())
        .spawn(&exit_err())
        .spawn(&exit_ok())
        .spawn(&recurse())
        .spawn(&busy(500).say(b'!'))
        .join(0)
        .join(1)
        .join(2)
        .join(3)
        .join(4)
        .join(5);
    assert_eq!(output(&host, &lab, &script), "tfoktk(!)");
    assert_nothing_left(&host);
}

/// Fault: a result handed out twice, or a second join that waits for ever.
#[test]
fn a_result_is_taken_once() {
    let host = host();
    let lab = lab(&host);
    assert_eq!(
        output(&host, &lab, &spawn(&say(b'x')).join(0).join(0).finished(0)),
        "k(x)a1"
    );
    assert_nothing_left(&host);
}

/// Fault: `wait-any` that forgets a task that was joined, or waits for the wrong one.
#[test]
fn wait_any_finds_the_one_that_ended() {
    for mode in MODES {
        let host = builder().workers(1).preemption(mode).build().unwrap();
        let lab = lab(&host);
        let script = spawn(&spin())
            .spawn(&say(b'x'))
            .wait_any(2)
            .join(1)
            .wait_any(2)
            .cancel(0)
            .join(0)
            .wait_any(2);
        assert_eq!(output(&host, &lab, &script), "1k(x)1c0", "{mode}");
        assert_nothing_left(&host);
    }
}

/// Fault: the trap in wasmtime when a pollable is a child of the handle that is dropped first; a
/// pollable that never becomes ready because its task was detached.
#[test]
fn a_pollable_outlives_the_handle() {
    let host = host();
    let lab = lab(&host);
    assert_eq!(output(&host, &lab, &spawn(&busy(200)).poll(0)), "p");
    assert_nothing_left(&host);
}

/// Fault: WASI's timers without a reactor (a panic), or a sleep that blocks the only worker.
#[test]
fn sleeping_leaves_the_worker_to_others() {
    let host = builder().workers(1).build().unwrap();
    let lab = lab(&host);
    let script = spawn(&sleep(100).say(b's'))
        .spawn(&say(b'x'))
        .wait_any(2)
        .join(1)
        .join(0);
    assert_eq!(output(&host, &lab, &script), "1k(x)k(s)");
    assert_nothing_left(&host);
}

/// Fault: a task that cannot be ended because it waits: for a child that spins, for a timer, for a
/// place, or in a loop of yields.
#[test]
fn cancel_ends_tasks_in_every_state() {
    for mode in MODES {
        let host = builder()
            .workers(1)
            .instances(70)
            .preemption(mode)
            .build()
            .unwrap();
        let lab = lab(&host);
        let blocked_in_join = spawn(&spin()).join(0);
        let script = spawn(&spin())
            .spawn(&blocked_in_join)
            .spawn(&sleep(250).sleep(250).sleep(250))
            .spawn(&yield_forever())
            .times(20, &yield_now())
            // One that has not begun, as the only worker is busy with this script.
            .spawn(&spin())
            .cancel(4)
            .cancel(3)
            .cancel(2)
            .cancel(1)
            .cancel(0)
            .join(0)
            .join(1)
            .join(2)
            .join(3)
            .join(4);
        assert_eq!(output(&host, &lab, &script), "ccccc", "{mode}");
        assert_nothing_left(&host);
    }
}

/// Fault: a late cancel that destroys a result which was there.
#[test]
fn cancel_after_the_end_changes_nothing() {
    let host = host();
    let lab = lab(&host);
    assert_eq!(
        output(
            &host,
            &lab,
            &spawn(&say(b'x')).wait_any(1).cancel(0).join(0)
        ),
        "0k(x)"
    );
}

/// Fault: `close` that spares grandchildren, ends its caller, lets it spawn again, or never comes to
/// tasks that run.
#[test]
fn close_ends_the_scope_and_only_the_scope() {
    for mode in MODES {
        let host = builder().workers(2).preemption(mode).build().unwrap();
        let lab = lab(&host);
        let family = spawn(&spawn(&spin()).join(0)).spawn(&spin()).join(0);
        // The first child closes its own scope and goes on; the root then closes everything.
        let child = spawn(&spin())
            .spawn(&yield_forever())
            .close()
            .join(0)
            .join(1)
            .spawn(&say(b'n'))
            .say(b'+');
        let script = spawn(&child)
            .join(0)
            .spawn(&family)
            .spawn(&spin())
            .sleep(20)
            .close()
            .join(1)
            .join(2)
            .spawn(&say(b'n'));
        assert_eq!(output(&host, &lab, &script), "k(CCC+)CCC", "{mode}");
        assert_nothing_left(&host);
    }
}

/// Fault: a child that outlives its parent and escapes the scopes above, or the end of the root.
#[test]
fn orphans_stay_in_the_scopes_above() {
    let host = host();
    let lab = lab(&host);
    // The child leaves a spinner behind; the root's close must find it. Nothing is left at the end.
    let run = run(
        &host,
        &lab,
        &spawn(&spawn(&spin())).join(0).close().sleep(250).sleep(250),
    )
    .start()
    .unwrap();
    eventually("the orphan is gone before its root", || {
        run.stats().tasks == 3 && run.stats().live_tasks == 1
    });
    run.cancel();
    assert!(run.wait().is_err());
    assert_nothing_left(&host);
}

/// Fault: tasks that go on when their root has ended, holding slots and cores.
#[test]
fn the_end_of_the_root_is_the_end_of_its_run() {
    for mode in MODES {
        let host = builder().workers(1).preemption(mode).build().unwrap();
        let lab = lab(&host);
        let script = spawn(&spin())
            .spawn(&spawn(&spin()).drop_handle(0).spin())
            .drop_handle(0)
            .say(b'r');
        assert_eq!(output(&host, &lab, &script), "r", "{mode}");
        assert_nothing_left(&host);
    }
}

/// Fault: rights that a child gets back, or that it never had taken away.
#[test]
fn rights_can_only_be_narrowed() {
    let host = host();
    let lab = lab(&host);
    let look = count_environment().count_directories().write();
    let grandchild = Script::default().option(b'd', 0).spawn(&look).join(0);
    let script = look
        .clone()
        .spawn(&look)
        .join(0)
        .option(b'd', FILESYSTEM | ENVIRONMENT | OUTPUT)
        .spawn(&grandchild)
        .join(1)
        .option(b'd', SPAWN)
        .spawn(&spawn(&say(b'n')))
        .join(2);
    let directory = std::env::temp_dir();
    let outcome = run(&host, &lab, &script)
        .env("A", "1")
        .env("B", "2")
        .dir(directory, "/data", hart_host::DirAccess::ReadWrite)
        .stdout(hart_host::Stdio::Capture)
        .start()
        .unwrap()
        .wait()
        .unwrap();
    // The root and its first child write; the one that was denied output does not.
    assert_eq!(outcome.stdout.len(), 2 * 4096);
    assert_eq!(said(Ok(outcome)).unwrap(), "21k(21)k(k(00))k(D)");
    assert_nothing_left(&host);
}

/// Fault: limits of a task that its child escapes, or that end others.
#[test]
fn options_limit_the_task() {
    let host = builder()
        .preemption(Preemption::Fuel { slice: 10_000 })
        .build()
        .unwrap();
    let lab = lab(&host);
    let script = Script::default()
        .option(b'f', 200_000)
        .spawn(&spin())
        .spawn(&busy(1).say(b'x'))
        .join(0)
        .join(1);
    assert_eq!(output(&host, &lab, &script), "Fk(x)");
    for mode in MODES {
        let host = builder().preemption(mode).build().unwrap();
        let script = Script::default()
            .option(b'm', 1 << 20)
            .spawn(&grow_forever())
            .option(b't', 20_000_000)
            .spawn(&spin())
            .spawn(&sleep(250).sleep(250))
            .option(b't', u64::MAX)
            .option(b'c', 10_000_000)
            .spawn(&spin())
            .join(0)
            .join(1)
            .join(2)
            .join(3);
        assert_eq!(
            output(&host, &crate::support::lab(&host), &script),
            "MTTT",
            "{mode}"
        );
        assert_nothing_left(&host);
    }
}

/// Fault: a cap that counts wrongly when tasks end, or that a grandchild does not count against.
#[test]
fn max_tasks_counts_everything_below() {
    let host = host();
    let lab = lab(&host);
    // Two alive at a time: a child and a grandchild; the next one is refused until they have ended.
    let child = spawn(&spawn(&sleep(50)).join(0))
        .sleep(20)
        .spawn(&say(b'x'))
        .join(0)
        .spawn(&say(b'y'))
        .join(1);
    let script = Script::default().option(b'x', 2).spawn(&child).join(0);
    assert_eq!(output(&host, &lab, &script), "k(Lk(k)k(y))");
}

/// Fault: a host that tells guests about cores which it does not use.
#[test]
pub fn parallelism_is_the_number_of_workers() {
    let host = builder().workers(3).build().unwrap();
    assert_eq!(output(&host, &lab(&host), &parallelism()), "3");
}
