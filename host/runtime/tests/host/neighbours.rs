//! Guests that behave badly, beside guests that do not: those finish, correctly, and nothing is left.

use crate::support::*;
use hart_host::{Host, Limits, Run, RunError, Stdio};
use std::time::Duration;

/// A tree of tasks with waits in it, and its output.
fn good() -> (Script, &'static str) {
    let leaf = busy(50).sleep(1).busy(50).say(b'x');
    let middle = spawn(&leaf).spawn(&leaf).join(0).yield_now().join(1);
    (
        spawn(&middle).spawn(&middle).join(0).join(1),
        "k(k(x)k(x))k(k(x)k(x))",
    )
}

/// Runs `good` a few times beside `bad`, which are ended afterwards if they go on for ever.
fn beside(host: &Host, bad: Vec<Run>) {
    let lab = lab(host);
    let (script, expected) = good();
    for _ in 0..3 {
        let good = run(host, &lab, &script).start().unwrap();
        assert_eq!(said(good.wait()).unwrap(), expected);
    }
    for run in &bad {
        run.cancel();
    }
    for run in bad {
        // However it ended.
        let _ = run.wait();
    }
    assert_nothing_left(host);
}

fn beside_script(bad: &Script) {
    for mode in MODES {
        let host = builder().instances(300).preemption(mode).build().unwrap();
        let lab = lab(&host);
        let bad = run(&host, &lab, bad).start().unwrap();
        eventually("it runs", || host.pool().in_use > 0);
        beside(&host, vec![bad]);
    }
}

/// Fault: a queue in which a thousand who want everything go before one who wants little.
#[test]
fn a_thousand_spinners() {
    let host = builder().instances(1_200).build().unwrap();
    let lab = lab(&host);
    // None of them spawns, so none needs free slots below it.
    let alone = Limits::new().depth(0).timeout(HANG);
    let spinners = (0..1_000)
        .map(|_| run(&host, &lab, &spin()).limits(alone).start().unwrap())
        .collect::<Vec<_>>();
    eventually("all of them run", || host.pool().in_use == 1_000);
    beside(&host, spinners);
}

/// Fault: a turn that is taken at once again by whoever gives it up all the time.
#[test]
fn one_that_yields_in_a_tight_loop() {
    beside_script(&yield_forever());
}

/// Fault: kills and teardowns, which are the host's work, done at others' expense.
#[test]
fn one_that_spawns_and_cancels_in_a_loop() {
    beside_script(&spawn(&spin()).cancel(0).drop_handle(0).repeat());
}

/// Fault: what a task leaves behind escapes its group's share, or its end.
#[test]
fn one_whose_children_leave_spinners_behind() {
    let leaves = Script::default().times(10, &spawn(&spin()));
    beside_script(&Script::default().times(3, &spawn(&leaves)).spin());
    // As a root it takes them along.
    let host = host();
    let outcome = run(&host, &lab(&host), &leaves).start().unwrap().wait();
    assert_eq!(said(outcome).unwrap(), "");
    beside(&host, Vec::new());
}

/// Fault: waits that are over at once and never come to a preemption point.
#[test]
fn one_that_sleeps_zero_in_a_loop() {
    beside_script(&sleep(0).repeat());
}

/// Fault: one instruction that takes long, again and again.
#[test]
fn one_that_fills_memory_in_a_loop() {
    beside_script(&fill(1_000));
}

/// Fault: output that is made faster than anybody takes it.
#[test]
fn one_that_fills_standard_output() {
    let host = host();
    let bad = run(&host, &lab(&host), &write().repeat())
        .stdout(Stdio::Capture)
        .start()
        .unwrap();
    beside(&host, vec![bad]);
    beside_script(&write().repeat());
}

/// Fault: an instance that is never made, and can be neither preempted nor killed while it is not.
#[test]
fn one_that_spins_in_its_start_function() {
    for mode in MODES {
        let host = builder().preemption(mode).build().unwrap();
        let text = br#"(component
            (core module $m (func $spin (loop $ever (br $ever))) (start $spin)
                (func (export "f")))
            (core instance $i (instantiate $m))
            (func (export "f") (canon lift (core func $i "f"))))"#;
        let spins = host.load(text).unwrap();
        let started = |limits| {
            host.call(&spins, "f", Vec::new())
                .limits(limits)
                .start()
                .unwrap()
        };
        let timed = started(Limits::new().timeout(Duration::from_millis(20)));
        assert!(matches!(timed.wait(), Err(RunError::TimedOut(_))), "{mode}");
        let bad = (0..4)
            .map(|_| started(Limits::new().timeout(HANG)))
            .collect();
        beside(&host, bad);
    }
}

/// Fault: handles that are memory of the host's without a limit.
#[test]
fn one_that_hoards_handles() {
    beside_script(&hoard());
}

/// Fault: a blocking thread that is gone for good, and in the end all of them, with every file operation.
#[test]
fn one_that_opens_pipes_nobody_writes() {
    use hart_host::DirAccess;

    let directory = with_a_pipe("hart-pipes");
    let host = builder()
        .limits(Limits::new().blocking_threads(1).timeout(HANG))
        .build()
        .unwrap();
    let reader = host.load_file(hart_build::guest("reader")).unwrap();
    let read = |name: &str| {
        host.command(&reader)
            .args(["reader", name])
            .dir(&directory, "/d", DirAccess::ReadOnly)
            .stdout(Stdio::Capture)
            .stderr(Stdio::Capture)
            .start()
            .unwrap()
    };
    for _ in 0..3 {
        let outcome = read("/d/pipe").wait().unwrap();
        let text = String::from_utf8(outcome.stderr).unwrap();
        assert!(outcome.exit_code == 1 && text.contains("/d/pipe"), "{text}");
    }
    assert_eq!(read("/d/file").wait().unwrap().stdout, b"contents");
    beside(&host, Vec::new());
    std::fs::remove_dir_all(&directory).unwrap();
}
