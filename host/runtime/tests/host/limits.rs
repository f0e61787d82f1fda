//! Every limit has a name, and saves the others.

use crate::support::*;
use hart_host::{Host, LimitKind, Limits, Preemption, RunError, RunStats, Stdio};
use std::time::{Duration, Instant};

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
pub fn the_root_is_told_which_limit_it_reached() {
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
    // One has a slot and keeps it, three wait.
    let script = Script::default().times(5, &spawn(&sleep(200))).explain();
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
pub fn a_tenants_limits_hold_for_all_of_its_runs() {
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

/// Fault: fuel that every task of a run, or every run of a tenant, has anew; tasks that go on when the run's is used up.
#[test]
fn fuel_is_shared_by_all_tasks_of_a_run_and_all_runs_of_a_tenant() {
    let host = builder()
        .preemption(Preemption::Fuel { slice: 10_000 })
        .build()
        .unwrap();
    let lab = lab(&host);
    let one = run(&host, &lab, &busy(10)).start().unwrap().wait().unwrap();
    let one = one.stats.fuel;
    // In turn, so that each finds what the ones before it have left.
    let turn = spawn(&busy(10)).join(0);
    let script = turn
        .clone()
        .spawn(&busy(10))
        .join(1)
        .spawn(&busy(10))
        .join(2);
    let three = |limits| {
        run(&host, &lab, &script)
            .limits(limits)
            .start()
            .unwrap()
            .wait()
    };
    let enough = three(Limits::new()).unwrap();
    assert!(enough.stats.fuel > 3 * one - one / 2, "{enough:?}");
    let kinds = said(three(Limits::new().fuel(enough.stats.fuel - one / 2))).unwrap();
    assert_eq!(kinds, "kkF", "the last one is out of fuel");
    // At the same time: all of them end, and not one slice each beyond the limit.
    let spinners = Script::default().times(4, &spawn(&spin())).spin();
    let started = run(&host, &lab, &spinners).limits(Limits::new().fuel(1_000_000));
    let canceller = started.start().unwrap();
    let stats = canceller.canceller();
    let error = canceller.wait().unwrap_err();
    assert_eq!(error.limit().unwrap().limit, LimitKind::Fuel);
    let used = stats.stats().fuel;
    assert!((1_000_000..=1_050_000).contains(&used), "{used}");

    let tenant = host
        .tenant()
        .limits(Limits::new().fuel(2 * one + one / 2))
        .build()
        .unwrap();
    let next = || {
        run(&host, &lab, &busy(10))
            .tenant(&tenant)
            .start()
            .unwrap()
            .wait()
    };
    assert_eq!(next().unwrap().stats.fuel, one);
    assert_eq!(next().unwrap().stats.fuel, one);
    assert_eq!(tenant.stats().fuel, 2 * one);
    let third = next().unwrap_err();
    assert_eq!(third.limit().unwrap().limit, LimitKind::TenantFuel);
    assert_nothing_left(&host);
}

/// Fault: a timeout that a task escapes by leaving its work to a child and ending.
#[test]
fn what_is_below_a_task_has_no_more_time_than_the_task() {
    for mode in MODES {
        let (host, lab) = limited(mode, Limits::new());
        let escapes = spawn(&spin())
            .option(b't', 3_600_000_000_000)
            .spawn(&spin());
        let script = Script::default()
            .option(b't', 50_000_000)
            .spawn(&escapes)
            .join(0);
        let run = run(&host, &lab, &script.sleep(200)).start().unwrap();
        eventually("they are gone", || {
            let stats = run.stats();
            stats.tasks == 4 && stats.live_tasks <= 1
        });
        assert_eq!(said(run.wait()).unwrap(), "k");
        assert_nothing_left(&host);
    }
}

/// Fault: a cancel that does nothing to what a task left behind when it ended.
#[test]
fn cancelling_a_task_that_has_ended_reaches_its_children() {
    let host = host();
    let lab = lab(&host);
    let leaves = spawn(&spin()).spawn(&sleep(250).sleep(250));
    let script = spawn(&leaves).wait_any(1).cancel(0).sleep(250);
    let run = run(&host, &lab, &script).start().unwrap();
    eventually("they are there", || run.stats().tasks == 4);
    eventually("they are gone", || run.stats().live_tasks == 1);
    assert_eq!(said(run.wait()).unwrap(), "0");
    assert_nothing_left(&host);
}

/// Fault: spawns that come as fast as a guest can make them, whatever the limit says; a refusal for good.
#[test]
fn spawns_per_second_are_limited() {
    let (host, lab) = limited(Preemption::default(), Limits::new().spawn_rate(3));
    let four = Script::default().times(4, &spawn(&say(b'x'))).explain();
    let refused = output(&host, &lab, &four);
    assert!(
        refused.starts_with('L') && refused.contains("`spawn_rate` of 3 per second"),
        "{refused}"
    );
    let patient = Script::default()
        .times(3, &spawn(&say(b'x')))
        .times(2, &sleep(250))
        .spawn(&say(b'y'))
        .join(3);
    assert_eq!(output(&host, &lab, &patient), "k(y)");

    let tenant = host
        .tenant()
        .limits(Limits::new().spawn_rate(2))
        .build()
        .unwrap();
    let unlimited = Limits::new().spawn_rate(1_000).timeout(HANG);
    let runs = [(); 3].map(|()| {
        let run = run(&host, &lab, &spawn(&say(b'x')).explain());
        let run = run.limits(unlimited).tenant(&tenant).start().unwrap();
        said(run.wait()).unwrap()
    });
    assert_eq!(
        runs.iter()
            .filter(|said| said.contains("tenant spawn_rate"))
            .count(),
        1,
        "{runs:?}"
    );
    assert_nothing_left(&host);
}

/// The CPU time of a run in so many milliseconds on the clock.
fn cpu_in(milliseconds: u64, stats: impl Fn() -> RunStats) -> Duration {
    let (before, began) = (stats().cpu_time, Instant::now());
    while began.elapsed() < Duration::from_millis(milliseconds) {
        std::thread::sleep(Duration::from_millis(5));
    }
    stats().cpu_time - before
}

/// Fault: a CPU rate that a guest which is alone, and so comes to no preemption points, does not notice; one
/// after which it never goes on, because every worker is busy with others when it may. Upper bounds only: how
/// much a test gets of a busy machine nobody knows.
#[test]
fn a_cpu_rate_holds_alone_and_beside_others() {
    for mode in MODES {
        let (host, lab) = limited(mode, Limits::new());
        // Two milliseconds of each window: it would get more than that on the busiest of machines.
        let limits = Limits::new().cpu_rate(20).timeout(HANG);
        let slow = run(&host, &lab, &spin()).limits(limits).start().unwrap();
        eventually("it has used its first window", || {
            slow.stats().throttled_time > Duration::ZERO
        });
        // A window more than ten times 2 ms, and what it runs over at the end of one.
        let used = cpu_in(1_000, || slow.stats());
        assert!(used < Duration::from_millis(40), "{mode}: {used:?}");
        let spinners = [(); 4].map(|()| run(&host, &lab, &spin()).start().unwrap());
        let before = slow.stats().throttled_time;
        eventually("it goes on, again and again", || {
            slow.stats().throttled_time > before + Duration::from_millis(300)
        });
        for run in spinners.into_iter().chain([slow]) {
            run.cancel();
            let _ = run.wait();
        }
        assert_nothing_left(&host);
    }
}

/// Fault: a tenant's rate that holds for each of its runs.
#[test]
fn a_tenants_cpu_rate_holds_for_all_of_its_runs() {
    let host = host();
    let lab = lab(&host);
    let tenant = host
        .tenant()
        .limits(Limits::new().cpu_rate(200))
        .build()
        .unwrap();
    let runs = [(); 3].map(|()| run(&host, &lab, &spin()).tenant(&tenant).start().unwrap());
    eventually("they have used the first window", || {
        runs.iter()
            .any(|run| run.stats().throttled_time > Duration::ZERO)
    });
    let (before, began) = (tenant.stats().cpu_time, Instant::now());
    std::thread::sleep(Duration::from_millis(1_000));
    let used = tenant.stats().cpu_time - before;
    let most = Duration::from_millis(100) + began.elapsed() / 5;
    assert!(used < most, "{used:?} of {most:?}");
    assert_eq!((tenant.stats().groups, tenant.stats().live_tasks), (3, 3));
    for run in runs {
        run.cancel();
        let _ = run.wait();
    }
    eventually("its groups are gone", || tenant.stats().groups == 0);
    assert_eq!(tenant.stats().live_tasks, 0);
    assert_nothing_left(&host);
}

/// Fault: books that stand still while a guest is alone, because nobody brings it to a preemption point.
#[test]
fn what_a_lone_guest_uses_can_be_read_while_it_runs() {
    let host = host();
    let run = run(&host, &lab(&host), &spin()).start().unwrap();
    eventually("it has used some time", || {
        run.stats().cpu_time > Duration::from_millis(20)
    });
    assert_eq!(host.groups()[0].id, run.stats().id);
    assert_eq!(host.stats().epochs, 0);
    run.cancel();
    let _ = run.wait();
}

/// Fault: the two sorts of waiting mixed up: for a first turn, and for the next one.
#[test]
fn preempted_time_is_kept_apart_from_waiting() {
    let host = builder().workers(1).build().unwrap();
    let lab = lab(&host);
    let runs = [(); 2].map(|()| run(&host, &lab, &spin()).start().unwrap());
    eventually("both have waited for their next turn", || {
        runs.iter()
            .all(|run| run.stats().preempted_time > Duration::from_millis(5))
    });
    for run in runs {
        run.cancel();
        let _ = run.wait();
    }
}

/// Fault: traps whose texts nobody counts, kept for as long as nobody joins.
#[test]
fn what_is_kept_of_a_trap_is_counted() {
    let host = host();
    let lab = lab(&host);
    let script = spawn(&recurse()).wait_any(1).sleep(250).join(0);
    let run = run(&host, &lab, &script).start().unwrap();
    let held = |run: &hart_host::Run| run.stats().memory;
    eventually("it has trapped", || run.stats().traps == 1);
    let kept = held(&run);
    let canceller = run.canceller();
    assert_eq!(said(run.wait()).unwrap(), "0t");
    assert!(kept > 0);
    assert_eq!(canceller.stats().memory, 0);
}

/// Fault: settings that panic, or mean something else, at the ends of their ranges; tenants that cross hosts.
#[test]
fn strange_settings_are_refused_or_harmless() {
    let forever = Limits::new().timeout(Duration::MAX);
    let host = builder()
        .preemption(Preemption::Epoch {
            slice: Duration::MAX,
        })
        .limits(forever)
        .build()
        .unwrap();
    let lab = lab(&host);
    assert_eq!(output(&host, &lab, &spawn(&say(b'x')).join(0)), "k(x)");
    let group = host
        .runtime()
        .group()
        .limits(forever)
        .slice(Duration::MAX)
        .build();
    assert_eq!(group.unwrap().spawn(async |_| 1).wait().unwrap(), 1);
    let zero = Limits::new().cpu_rate(0);
    assert!(host.tenant().limits(zero).build().is_err());
    assert!(host.runtime().group().limits(zero).build().is_err());
    assert!(run(&host, &lab, &say(b'x')).limits(zero).start().is_err());
    let other = Host::builder().workers(1).build().unwrap();
    let foreign = other.tenant().build().unwrap();
    let refused = run(&host, &lab, &say(b'x')).tenant(&foreign).start();
    assert!(matches!(refused, Err(RunError::Setup(_))));
    assert!(host.runtime().group().tenant(&foreign).build().is_err());
}
