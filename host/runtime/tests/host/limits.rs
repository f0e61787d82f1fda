//! Every limit has a name, and saves the others.

use crate::support::*;
use hart_host::{LimitKind, Limits, Preemption, RunError, Stdio};
use std::time::Duration;

fn root_reaches(mode: Preemption, limits: Limits, script: &Script) -> LimitKind {
    let (host, lab) = limited(mode, limits);
    let error = said(
        run(&host, &lab, script)
            .stdout(Stdio::Capture)
            .start()
            .unwrap()
            .wait(),
    )
    .unwrap_err();
    let limit = error.limit().unwrap_or_else(|| panic!("no limit: {error}"));
    assert!(
        error.to_string().contains(&format!("`{}`", limit.limit)),
        "{error}"
    );
    assert_nothing_left(&host);
    limit.limit
}

/// Fault: a limit that is not kept, or an error that does not say which one it was.
#[test]
fn the_root_is_told_which_limit_it_reached() {
    for mode in MODES {
        let limits = Limits::new();
        assert_eq!(
            root_reaches(mode, limits.memory(4 << 20), &grow_forever()),
            LimitKind::Memory
        );
        assert_eq!(
            root_reaches(mode, limits.task_memory(4 << 20), &grow_forever()),
            LimitKind::TaskMemory
        );
        let short = Duration::from_millis(20);
        assert_eq!(
            root_reaches(mode, limits.cpu_time(short), &spin()),
            LimitKind::CpuTime
        );
        assert_eq!(
            root_reaches(mode, limits.task_cpu_time(short), &spin()),
            LimitKind::TaskCpuTime
        );
        assert_eq!(
            root_reaches(mode, limits.timeout(short), &yield_forever()),
            LimitKind::Timeout
        );
        assert_eq!(
            root_reaches(mode, limits.output_bytes(10_000), &write().write().write()),
            LimitKind::OutputBytes
        );
    }
    assert_eq!(
        root_reaches(MODES[1], Limits::new().fuel(1_000_000), &spin()),
        LimitKind::Fuel
    );
    let flood = Script::default().times(16 * 256 + 1, &write());
    assert_eq!(
        root_reaches(MODES[0], Limits::new(), &flood),
        LimitKind::OutputBytes
    );
}

/// Fault: a first instance that does not fit and is reported as anything but out of memory.
#[test]
fn an_instance_that_does_not_fit_is_out_of_memory() {
    assert_eq!(
        root_reaches(MODES[0], Limits::new().memory(10_000), &say(b'x')),
        LimitKind::Memory
    );
}

fn child_is_told(limits: Limits, script: &Script, letter: char, limit: LimitKind) {
    let (host, lab) = limited(Preemption::default(), limits);
    let said = output(&host, &lab, script);
    assert!(
        said.starts_with(letter) && said.contains(&format!("`{limit}`")),
        "{limit}: {said}"
    );
    assert_nothing_left(&host);
}

/// Fault: a spawn or a join that is refused for a limit which it does not name.
#[test]
fn guests_are_told_which_limit_they_reached() {
    let one = say(b'x');
    let nested = spawn(&spawn(&spawn(&one).explain()).join(0)).join(0);
    let (host, lab) = limited(Preemption::default(), Limits::new().depth(2));
    assert!(output(&host, &lab, &nested).contains("k(k(L(the limit `depth` of 2 was reached"));
    child_is_told(
        Limits::new().tasks(2),
        &spawn(&spin()).spawn(&one).explain(),
        'L',
        LimitKind::Tasks,
    );
    child_is_told(
        Limits::new().input_bytes(1),
        &spawn(&one).explain(),
        'L',
        LimitKind::InputBytes,
    );
    child_is_told(
        Limits::new().result_bytes(1023),
        &spawn(&give(1)).join(0).explain(),
        'o',
        LimitKind::ResultBytes,
    );
    let capped = Script::default()
        .option(b'x', 0)
        .spawn(&spawn(&one).explain())
        .join(0);
    let (host, lab) = limited(Preemption::default(), Limits::new());
    assert!(output(&host, &lab, &capped).contains("`max-tasks`"));
}

/// Fault: spawns that queue without bound when the pool is full.
#[test]
fn the_queue_of_spawns_is_bounded() {
    let host = builder()
        .workers(1)
        .instances(1)
        .limits(Limits::new().queued(3).timeout(HANG))
        .build()
        .unwrap();
    // A pool of one lets nobody spawn.
    assert!(output(&host, &lab(&host), &spawn(&say(b'x')).explain()).contains("`depth`"));

    let limits = Limits::new().queued(3).depth(1).timeout(HANG);
    let host = builder()
        .workers(1)
        .instances(2)
        .limits(limits)
        .build()
        .unwrap();
    let script = Script::default().times(5, &spawn(&say(b'x'))).explain();
    let said = output(&host, &lab(&host), &script);
    assert!(said.contains("`queued`"), "{said}");
    assert_nothing_left(&host);
}

/// Fault: results that are held for nobody, or not counted while they are held.
#[test]
fn results_are_counted_until_they_are_joined() {
    let host = host();
    let lab = lab(&host);
    let script = spawn(&give(512))
        .spawn(&give(512))
        .wait_any(1)
        .drop_handle(0)
        .join(1)
        .sleep(50);
    let run = run(&host, &lab, &script).start().unwrap();
    let canceller = run.canceller();
    run.wait().unwrap();
    let stats = canceller.stats();
    assert_eq!(stats.memory, 0, "{stats:?}");
    assert!(stats.peak_memory >= 512 << 10, "{stats:?}");

    // Four megabytes of results in a run that may hold two: the later ones are out of memory.
    let (host, lab) = limited(Preemption::default(), Limits::new().memory(2 << 20));
    let script = Script::default()
        .times(4, &spawn(&give(900)))
        .join(3)
        .join(2)
        .join(1)
        .join(0);
    let said = output(&host, &lab, &script);
    assert!(said.contains('M') && said.contains('k'), "{said}");
    assert_nothing_left(&host);
}

/// Fault: one run's bombs that take the host, or another run, along.
#[test]
fn bombs_end_and_others_go_on() {
    let host = builder().build().unwrap();
    let lab = lab(&host);
    let limits = Limits::new().memory(32 << 20).tasks(50).timeout(HANG);
    let fork = Script::default().times(100, &spawn(&spin()));
    let bombs = [
        grow_forever(),
        recurse(),
        fork.explain(),
        Script::default().times(500, &write()),
    ]
    .map(|script| {
        run(&host, &lab, &script)
            .limits(limits.output_bytes(1 << 20))
            .start()
            .unwrap()
    });
    let good = run(&host, &lab, &spawn(&busy(1000).say(b'x')).join(0))
        .start()
        .unwrap();
    let [memory, recursion, fork, flood] = bombs.map(hart_host::Run::wait);
    assert!(
        matches!(memory, Err(RunError::OutOfMemory(_))),
        "{memory:?}"
    );
    let Err(RunError::Trapped {
        trap, backtrace, ..
    }) = recursion
    else {
        panic!("{recursion:?}")
    };
    assert!(
        trap.contains("stack exhausted") && backtrace.contains("recurse"),
        "{trap}\n{backtrace}"
    );
    assert!(said(fork).unwrap().contains("`tasks`"));
    assert_eq!(
        flood.unwrap_err().limit().unwrap().limit,
        LimitKind::OutputBytes
    );
    assert_eq!(said(good.wait()).unwrap(), "k(x)");
    assert_nothing_left(&host);
}

/// Fault: tenants' limits that hold per run instead of for all runs together.
#[test]
fn a_tenants_limits_hold_for_all_of_its_runs() {
    let host = host();
    let lab = lab(&host);
    let tenant = host
        .tenant()
        .name("small")
        .limits(Limits::new().tasks(2).memory(8 << 20))
        .build()
        .unwrap();
    let grows = run(&host, &lab, &grow_forever());
    let grows = grows.tenant(&tenant).start().unwrap().wait();
    assert_eq!(
        grows.unwrap_err().limit().unwrap().limit,
        LimitKind::TenantMemory
    );
    let two =
        [spin(), spin()].map(|script| run(&host, &lab, &script).tenant(&tenant).start().unwrap());
    let third = run(&host, &lab, &spin()).tenant(&tenant).start();
    assert_eq!(
        third.unwrap_err().limit().unwrap().limit,
        LimitKind::TenantTasks
    );
    for run in two {
        run.cancel();
        assert!(run.wait().is_err());
    }

    let tenant = host
        .tenant()
        .limits(Limits::new().cpu_time(Duration::from_millis(20)))
        .build()
        .unwrap();
    let runs =
        [spin(), spin()].map(|script| run(&host, &lab, &script).tenant(&tenant).start().unwrap());
    for run in runs {
        assert_eq!(
            run.wait().unwrap_err().limit().unwrap().limit,
            LimitKind::TenantCpuTime
        );
    }
    assert_nothing_left(&host);
}
