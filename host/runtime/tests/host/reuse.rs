//! Instances that are used again, by tasks that were spawned so.
//!
//! The lab's output is a global of its: a task in an instance that was used before says what was said there, too.

use hart_host::{HostBuilder, Limits, Profile, RunError};

use crate::support::*;

/// An option of later spawns: they may have an instance that was used before, and leave theirs.
fn reuse() -> Script {
    Script::default().option(b'u', 0)
}

fn a() -> Script {
    say(b'a')
}

/// What a root says whose first task is `first`, and whose next one says `a`.
fn after(first: &Script) -> String {
    let host = host();
    let lab = lab(&host);
    output(
        &host,
        &lab,
        &reuse().spawn(first).join(0).spawn(&a()).join(1),
    )
}

/// Both ways to be preempted, each in every profile.
fn hosts() -> impl Iterator<Item = HostBuilder> {
    MODES.into_iter().flat_map(|mode| {
        [Profile::Fast, Profile::Dense].map(|profile| builder().preemption(mode).profile(profile))
    })
}

/// Fault: an instance that is made anew, or whose new task has the books of the last one.
#[test]
fn what_a_task_leaves_is_there_for_the_next_one_that_wants_it() {
    for builder in hosts() {
        let host = builder.build().unwrap();
        let lab = lab(&host);
        let script = reuse()
            .spawn(&a())
            .join(0)
            .spawn(&a())
            .join(1)
            .spawn(&a())
            .join(2);
        let run = run(&host, &lab, &script).start().unwrap();
        let outcome = run.wait().unwrap();
        assert_eq!(outcome.stats.reused, 2);
        assert_eq!(outcome.stats.tasks, 4);
        assert_eq!(said(Ok(outcome)).unwrap(), "k(a)k(aa)k(aaa)");
        assert_nothing_left(&host);
    }
}

/// Fault: an instance that is used again although nobody has said that it may be.
#[test]
fn a_task_that_does_not_say_so_has_an_instance_of_its_own() {
    let host = host();
    let lab = lab(&host);
    let twice = spawn(&a()).join(0).spawn(&a()).join(1);
    assert_eq!(output(&host, &lab, &twice), "k(a)k(a)");
    // One of the two does not.
    let second = spawn(&a()).join(0).option(b'u', 0).spawn(&a()).join(1);
    assert_eq!(output(&host, &lab, &second), "k(a)k(a)");
}

/// Fault: an instance in an unknown state, in the middle of a call, or that an attacker may have taken over with less
/// than a return.
#[test]
fn an_instance_is_used_again_after_a_return_only() {
    assert_eq!(after(&a()), "k(a)k(aa)");
    assert_eq!(after(&a().trap()), "tk(a)");
    assert_eq!(after(&a().fail()), "fk(a)");
    assert_eq!(after(&a().exit_ok()), "kk(a)");
    assert_eq!(after(&a().exit_err()), "ok(a)");
    let host = host();
    let lab = lab(&host);
    let cancelled = reuse()
        .spawn(&a().yield_forever())
        .cancel(0)
        .join(0)
        .spawn(&a())
        .join(1);
    assert_eq!(output(&host, &lab, &cancelled), "ck(a)");
    let late = reuse()
        .option(b't', 5_000_000)
        .spawn(&a().spin())
        .join(0)
        .option(b't', 60_000_000_000)
        .spawn(&a())
        .join(1);
    assert_eq!(output(&host, &lab, &late), "Tk(a)");
}

/// Fault: a handle of the last task's that names nothing, or something else, in the next one's table.
#[test]
fn an_instance_that_keeps_a_handle_is_not_used_again() {
    // A task, options, standard output.
    for first in [
        a().spawn(&Script::default()).join(0),
        a().option(b'x', 7),
        a().write(),
    ] {
        let said = after(&first);
        assert!(said.ends_with("k(a)"), "{said}");
    }
    // A handle that is given back is none.
    assert!(after(&a().sleep(1)).ends_with("k(aa)"));
}

/// Fault: a task with few rights that gets at one with more, by way of the instance that it leaves.
#[test]
fn tasks_with_different_rights_share_no_instance() {
    let host = host();
    let lab = lab(&host);
    let script = reuse()
        .spawn(&a())
        .join(0)
        .option(b'd', OUTPUT)
        .spawn(&a())
        .join(1)
        .spawn(&a())
        .join(2);
    assert_eq!(output(&host, &lab, &script), "k(a)k(a)k(aa)");
}

/// A run that has left an instance for its next task, and goes on.
fn keeps_one(host: &hart_host::Host, lab: &hart_host::Component) -> hart_host::Run {
    let script = reuse().spawn(&a()).join(0).yield_forever();
    let run = run(host, lab, &script).start().unwrap();
    eventually("the task was joined", || run.stats().joins == 1);
    run
}

/// Fault: one tenant's bytes in the instance of another.
#[test]
fn runs_share_no_instance() {
    let host = host();
    let lab = lab(&host);
    let first = keeps_one(&host, &lab);
    for _ in 0..2 {
        let second = reuse().spawn(&a()).join(0).spawn(&a()).join(1);
        assert_eq!(output(&host, &lab, &second), "k(a)k(aa)");
    }
    first.cancel();
    assert!(matches!(first.wait(), Err(RunError::Cancelled)));
    assert_nothing_left(&host);
}

/// Fault: an instance that outlives its run, and keeps it, because nobody uses it when the run is ended.
#[test]
fn an_idle_instance_goes_with_its_run() {
    for builder in hosts() {
        let host = builder.build().unwrap();
        let lab = lab(&host);
        let run = keeps_one(&host, &lab);
        run.cancel();
        assert!(matches!(run.wait(), Err(RunError::Cancelled)));
        assert_nothing_left(&host);
        let run = keeps_one(&host, &lab);
        drop(host);
        assert!(matches!(run.wait(), Err(RunError::Closed)));
    }
}

/// Fault: an instance that is kept for a run which never spawns again.
#[test]
fn an_idle_instance_is_given_back_by_and_by() {
    let host = host();
    let lab = lab(&host);
    let run = keeps_one(&host, &lab);
    let (memory, root) = (run.stats().memory, 1);
    eventually(
        "the instance is gone, and its memory was given back",
        || host.pool().component_instances == root && run.stats().memory < memory,
    );
    run.cancel();
    assert!(run.wait().is_err());
}

/// Fault: slots that nobody uses and nobody gets: a run that waits, or that finds the pool exhausted in spite of its
/// slot.
#[test]
fn idle_instances_make_way() {
    for profile in [Profile::Fast, Profile::Dense] {
        let host = builder()
            .instances(5)
            .profile(profile)
            .limits(Limits::new().timeout(HANG).depth(1))
            .build()
            .unwrap();
        let lab = lab(&host);
        for _ in 0..20 {
            let script = reuse()
                .spawn(&a().sleep(1))
                .spawn(&a().sleep(1))
                .join(0)
                .join(1)
                .yield_forever();
            let first = run(&host, &lab, &script).start().unwrap();
            eventually("both were joined", || first.stats().joins == 2);
            let waits = spawn(&a().yield_forever()).spawn(&a().yield_forever());
            let second = run(&host, &lab, &waits.join(0)).start().unwrap();
            eventually("all slots are taken", || {
                host.pool().in_use == 4 && second.stats().spawns == 2
            });
            let third = spawn(&a()).join(0);
            first.cancel();
            assert!(first.wait().is_err());
            assert_eq!(second.stats().live_tasks, 3);
            second.cancel();
            assert!(matches!(second.wait(), Err(RunError::Cancelled)));
            assert_eq!(output(&host, &lab, &third), "k(a)");
            assert_nothing_left(&host);
        }
    }
}

/// Fault: memory of instances that nobody uses and that others are refused; memory that is not counted, or counted
/// twice, when an instance passes from one task to the next.
#[test]
fn memory_of_idle_instances_counts_and_makes_way() {
    let host = host();
    let lab = lab(&host);
    let megabytes = |pages: u16| a().grow(pages);
    let limits = Limits::new().memory(24 << 20).timeout(HANG);
    // 10 MiB, again in the same instance (which has them by then), and beside it.
    let script = reuse()
        .spawn(&megabytes(160))
        .join(0)
        .spawn(&a())
        .join(1)
        .option(b'd', OUTPUT)
        .spawn(&megabytes(160))
        .join(2)
        .option(b'd', SPAWN)
        .spawn(&megabytes(160))
        .join(3)
        .yield_forever();
    let run = run(&host, &lab, &script).limits(limits).start().unwrap();
    eventually("all were joined", || run.stats().joins == 4);
    let stats = run.stats();
    assert_eq!(stats.reused, 1);
    assert!(
        stats.memory > 10 << 20,
        "what is kept is counted: {stats:?}"
    );
    assert!(stats.peak_memory <= 24 << 20, "{stats:?}");
    // The last one had its memory because the first two were dropped for it.
    assert!(stats.memory < 16 << 20, "what is idle makes way: {stats:?}");
    // Once they are gone, what is left is the root.
    eventually("they are given back", || run.stats().memory < 2 << 20);
    run.cancel();
    assert!(run.wait().is_err());
    assert_nothing_left(&host);

    // A task that may not have so much gets an instance of its own.
    let small = reuse()
        .spawn(&megabytes(160))
        .join(0)
        .option(b'm', 2 << 20)
        .spawn(&a())
        .join(1);
    assert_eq!(output(&host, &lab, &small), "k(a)k(a)");
}

/// Fault: a task that pays for what others have used in its instance.
#[test]
fn limits_of_a_task_are_counted_anew() {
    let (host, lab) = limited(MODES[1], Limits::new().task_fuel(40_000_000));
    let child = a().busy(2_000);
    let script = (0..8).fold(reuse(), |script, index| script.spawn(&child).join(index));
    let run = run(&host, &lab, &script).start().unwrap();
    let outcome = run.wait().unwrap();
    assert_eq!(outcome.stats.reused, 7);
    assert!(outcome.stats.fuel > 8 * 5_000_000, "{:?}", outcome.stats);
    // The last one runs out of fuel, not the eighth of eight.
    let script = script.spawn(&a().spin()).join(8);
    let said = output(&host, &lab, &script);
    assert!(said.ends_with('F'), "{said}");
}
