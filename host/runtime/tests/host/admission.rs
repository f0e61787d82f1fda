//! A pool that is too small for everybody at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::support::*;
use hart_host::{Cache, Host, Limits, Preemption, RunError, Stdio};

/// The guest of `guest/examples` that makes a tree of tasks, whose parents join their children.
fn tree(host: &Host, depth: u32) -> (String, hart_host::RunStats) {
    let component = host.load_file(hart_build::guest("tree")).unwrap();
    let run = host
        .command(&component)
        .args(["tree".into(), depth.to_string()])
        .stdout(Stdio::Capture);
    let outcome = run
        .stderr(Stdio::Inherit)
        .limits(Limits::new().timeout(HANG))
        .start()
        .unwrap()
        .wait()
        .unwrap();
    (
        String::from_utf8(outcome.stdout).unwrap().trim().to_owned(),
        outcome.stats,
    )
}

/// Fault: parents that hold all slots and join children which wait for one.
#[test]
fn a_deep_tree_completes_in_a_pool_of_a_thousand() {
    let host = Host::builder().cache(Cache::Off).build().unwrap();
    let (said, stats) = tree(&host, 15);
    assert_eq!((said.as_str(), stats.tasks), ("32767", 32_768));
    assert_nothing_left(&host);
}

/// Fault: as above, where the reserve of the rule is nearly all there is.
#[test]
fn a_deep_tree_completes_in_a_pool_of_eighty() {
    let host = builder().instances(80).build().unwrap();
    assert_eq!(tree(&host, 12).0, "4095");
    assert_nothing_left(&host);
}

/// Fault: a deadlock between runs that reserve for different depths, each holding what the other needs.
#[test]
fn trees_of_different_limits_do_not_block_each_other() {
    for mode in MODES {
        let host = builder().instances(20).preemption(mode).build().unwrap();
        let lab = lab(&host);
        let runs: Vec<_> = [5, 7, 12, 19, 64]
            .into_iter()
            .map(|depth| {
                let limits = Limits::new().depth(depth).timeout(HANG);
                run(&host, &lab, &crate::support::tree(5))
                    .limits(limits)
                    .start()
                    .unwrap()
            })
            .collect();
        for run in runs {
            let outcome = run.wait().unwrap();
            assert_eq!(outcome.stats.tasks, 63);
            assert_eq!(
                said(Ok(outcome)).unwrap(),
                "kk".replace(
                    'k',
                    "k(k(k(k(kk)k(kk))k(k(kk)k(kk)))k(k(k(kk)k(kk))k(k(kk)k(kk))))"
                )
            );
        }
        assert_nothing_left(&host);
    }
}

/// Fault: tasks that wait for memory which their own parents hold, for ever: the last resort of the
/// throttle must let them go, to succeed or to be told.
#[test]
fn a_run_short_of_memory_does_not_wait_for_ever() {
    let (host, lab) = limited(Preemption::default(), Limits::new().memory(1 << 20));
    // The root grows to nearly everything and joins a child for which there is hardly room.
    assert_eq!(
        output(&host, &lab, &grow(13).spawn(&say(b'x')).join(0)),
        "k(x)"
    );
    assert_eq!(
        output(&host, &lab, &grow(14).spawn(&say(b'x')).join(0)),
        "M"
    );
    // Many children, of whom a few fit at a time.
    let mut script = Script::default().times(40, &spawn(&busy(10).say(b'x')));
    for index in 0..40 {
        script = script.join(index);
    }
    assert_eq!(output(&host, &lab, &script), "k(x)".repeat(40));
    assert_nothing_left(&host);
}

/// Fault: a big run whose queue keeps a small one out.
#[test]
fn runs_take_turns_at_the_pool() {
    let host = builder()
        .workers(1)
        .instances(4)
        .limits(Limits::new().depth(1).timeout(HANG))
        .build()
        .unwrap();
    let lab = lab(&host);
    let mut script = Script::default().times(200, &spawn(&busy(20_000)));
    for index in 0..200 {
        script = script.join(index);
    }
    let big = run(&host, &lab, &script).start().unwrap();
    eventually("the pool is full", || host.queued_spawns() > 50);
    let small = run(&host, &lab, &spawn(&say(b'x')).join(0))
        .start()
        .unwrap();
    assert_eq!(said(small.wait()).unwrap(), "k(x)");
    assert!(
        !big.is_finished(),
        "the small run waited for all of the big one"
    );
    big.cancel();
    assert!(matches!(big.wait(), Err(RunError::Cancelled)));
    assert_nothing_left(&host);
}

/// Fault: tasks that never end hold so many slots that nobody else's root gets one.
#[test]
fn a_fork_bomb_leaves_room_for_others() {
    for mode in MODES {
        let limits = Limits::new().depth(3).timeout(HANG);
        let host = builder()
            .instances(32)
            .limits(limits)
            .preemption(mode)
            .build()
            .unwrap();
        let lab = lab(&host);
        let generation = Script::default().times(8, &spawn(&spin()));
        let bomb = Script::default()
            .times(8, &spawn(&generation.spin()))
            .spin();
        let bomb = run(&host, &lab, &bomb).start().unwrap();
        eventually("it has what it can get", || host.queued_spawns() > 8);
        assert_eq!(
            output(&host, &lab, &spawn(&say(b'x')).join(0)),
            "k(x)",
            "{mode}"
        );
        bomb.cancel();
        assert!(matches!(bomb.wait(), Err(RunError::Cancelled)));
        assert_nothing_left(&host);
    }
}

/// Fault: a child that waits though what never ends leaves it room; one that gets a slot which is kept for children of
/// others; one that is not let in when a slot comes free.
#[test]
fn what_never_ends_keeps_its_slot_until_it_is_cancelled() {
    let leaves = spawn(&spin()).say(b'x');
    for mode in MODES {
        // Children are let in where two slots are free: one for what they spawn.
        let limits = Limits::new().depth(2).timeout(HANG);
        let ground = builder().instances(4).limits(limits).preemption(mode);
        let host = ground.build().unwrap();
        let lab = lab(&host);
        let one = spawn(&leaves).join(0);
        // The third child waits: the root and two spinners leave one slot.
        let full = one.clone().spawn(&leaves).join(1);
        let full = full.spawn(&say(b'y')).sleep(20).finished(2);
        let ends = [
            (one.spawn(&say(b'y')).join(1), "k(x)k(y)"),
            (full.clone(), "k(x)k(x)0"),
            (full.clone().cancel(0).join(2), "k(x)k(x)0k(y)"),
            (full.clone().cancel(1).poll(2), "k(x)k(x)0p"),
            (full.cancel(2).join(2), "k(x)k(x)0c"),
        ];
        for (script, expected) in ends {
            assert_eq!(output(&host, &lab, &script), expected, "{mode}");
            assert_nothing_left(&host);
        }
    }
}

/// Fault: a second one that takes all that the first has left, so that the third run's root waits for ever.
#[test]
fn several_fork_bombs_leave_room_for_others() {
    let limits = Limits::new().depth(3).timeout(HANG);
    let host = builder().instances(120).limits(limits).build().unwrap();
    let lab = lab(&host);
    let bomb = Script::default().times(200, &spawn(&spin())).spin();
    let bombs: Vec<_> = (1..=3)
        .map(|bombs| {
            let bomb = run(&host, &lab, &bomb).start().unwrap();
            eventually("it has what it can get", || {
                host.queued_spawns() > bombs * 100 && host.pool().stacks > 0
            });
            bomb
        })
        .collect();
    assert_eq!(output(&host, &lab, &spawn(&say(b'x')).join(0)), "k(x)");
    for bomb in &bombs {
        bomb.cancel();
    }
    for bomb in bombs {
        assert!(matches!(bomb.wait(), Err(RunError::Cancelled)));
    }
    assert_nothing_left(&host);
}

/// Fault: a tenant that gets a turn at the pool for each of its many runs.
#[test]
fn tenants_take_turns_at_the_pool() {
    let limits = Limits::new().depth(0).timeout(HANG);
    let host = builder()
        .workers(1)
        .instances(3)
        .limits(limits)
        .build()
        .unwrap();
    let lab = lab(&host);
    let many = host.tenant().name("many").build().unwrap();
    let few = host.tenant().name("few").build().unwrap();
    let start = |tenant, script: &Script| run(&host, &lab, script).tenant(tenant).start().unwrap();
    let crowd: Vec<_> = (0..200).map(|_| start(&many, &busy(20_000))).collect();
    assert!(host.queued_spawns() > 150, "the pool is full");
    let one = start(&few, &say(b'x'));
    assert_eq!(said(one.wait()).unwrap(), "x");
    let waiting = host.queued_spawns();
    assert!(
        waiting > 100,
        "it waited for {} of the others",
        200 - waiting
    );
    let cancel = |runs: Vec<hart_host::Run>| {
        for run in &runs {
            run.cancel();
        }
        for run in runs {
            let _ = run.wait();
        }
    };
    cancel(crowd);
    // One whose roots never end leaves a slot, too.
    let spinners: Vec<_> = (0..20).map(|_| start(&many, &spin())).collect();
    eventually("they have what they can get", || host.pool().in_use == 2);
    let one = start(&few, &say(b'x'));
    assert_eq!(said(one.wait()).unwrap(), "x");
    cancel(spinners);
    assert_nothing_left(&host);
}

/// Fault: parents that wait in a way which admission does not see (they look, and yield) starve their own
/// children, whom a throttle holds back.
#[test]
fn looking_again_and_again_is_waiting_too() {
    let (host, lab) = limited(Preemption::default(), Limits::new().memory(1 << 20));
    // Too little memory for the throttle, enough for the child; the root never blocks.
    let script = grow(13)
        .spawn(&say(b'x'))
        .times(1000, &yield_now().busy(10))
        .sleep(250);
    let script = script.times(20, &sleep(250)).finished(0);
    let run = run(&host, &lab, &script).start().unwrap();
    let canceller = run.canceller();
    eventually("the child has come and gone", || {
        canceller.stats().tasks == 2 && canceller.stats().live_tasks == 1
    });
    run.cancel();
    drop(run);
}

/// Fault: a cancelled task that stays in the queue, or that is admitted after its end.
#[test]
fn tasks_that_wait_for_a_place_can_be_cancelled() {
    let host = builder()
        .workers(1)
        .instances(2)
        .limits(Limits::new().depth(1).timeout(HANG))
        .build()
        .unwrap();
    let lab = lab(&host);
    let script = spawn(&spin())
        .spawn(&say(b'x'))
        .spawn(&say(b'y'))
        .cancel(1)
        .join(1)
        .cancel(0)
        .join(0)
        .join(2);
    assert_eq!(output(&host, &lab, &script), "cck(y)");
    // A whole run that waits.
    let holder = run(&host, &lab, &sleep(250).sleep(250)).start().unwrap();
    let other = run(&host, &lab, &sleep(250).sleep(250)).start().unwrap();
    let waits = run(&host, &lab, &say(b'n')).start().unwrap();
    eventually("it waits", || host.queued_spawns() >= 1);
    waits.cancel();
    assert!(matches!(waits.wait(), Err(RunError::Cancelled)));
    drop((holder, other));
}

/// Fault: a component that takes more of the pool than one slot: the pool's own refusal reaches a user,
/// or its instances are counted as one.
#[test]
fn a_component_takes_as_many_slots_as_it_needs() {
    let memories = "(memory 1) ".repeat(5);
    let big = format!(
        r#"(component
            (core module $m {memories} (func (export "f") (param $n i32)
                (loop $again
                    (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                    (br_if $again (local.get $n)))))
            (core instance $i (instantiate $m))
            (func (export "f") (param "n" u32) (canon lift (core func $i "f"))))"#
    );
    let host = builder().instances(7).build().unwrap();
    let component = host.load(big.as_bytes()).unwrap();
    let runs: Vec<_> = (0..30)
        .map(|_| {
            host.invoke(&component, "f(100000)")
                .unwrap()
                .start()
                .unwrap()
        })
        .collect();
    for run in runs {
        run.wait().unwrap();
    }
    let run = host
        .invoke(&component, "f(4000000000)")
        .unwrap()
        .start()
        .unwrap();
    eventually("it runs", || host.pool().stacks == 1);
    assert_eq!(host.pool().in_use, 5);
    run.cancel();
    assert!(run.wait().is_err());
    assert_nothing_left(&host);

    let host = builder().instances(2).build().unwrap();
    let component = host.load(big.as_bytes());
    // Refused when it is loaded, by the pool's own count of memories, or when it is run, by ours.
    if let Ok(component) = component {
        let error = host
            .invoke(&component, "f(1)")
            .unwrap()
            .start()
            .unwrap_err();
        assert!(
            error.to_string().contains("HostBuilder::instances"),
            "{error}"
        );
    }
}

/// Fault: guests admitted while the system has no memory left, until the kernel ends the process; or held back so that
/// nobody goes on, or for ever.
#[test]
pub fn where_memory_is_short_guests_wait_and_none_for_ever() {
    let left = Arc::new(AtomicU64::new(0));
    let reading = left.clone();
    let host = builder()
        .memory_reserve(1000)
        .available_memory(move || Some(reading.load(Ordering::Relaxed)))
        .build()
        .unwrap();
    let lab = lab(&host);
    let settings = host.settings();
    let reserve = settings.iter().find(|each| each.name == "memory-reserve");
    assert_eq!(reserve.unwrap().value, "1000 bytes");

    // Whoever has a slot waits for others of its run, one of which may always go.
    let (said, stats) = tree(&host, 4);
    assert_eq!((said.as_str(), stats.tasks), ("15", 16));

    // These wait for nobody: one of them goes in a while.
    let started = Instant::now();
    let run_of = |script: &Script| run(&host, &lab, script).start().unwrap();
    let spinning: Vec<_> = (0..30).map(|_| run_of(&spin())).collect();
    eventually("three have a slot", || host.pool().in_use >= 3);
    let in_use = host.pool().in_use;
    let whiles = started.elapsed().as_millis() / 100;
    assert!(
        u128::from(in_use) <= whiles + 2,
        "{in_use} in {whiles} whiles"
    );
    assert!(host.queued_spawns() > 0);

    left.store(1000, Ordering::Relaxed);
    eventually("all have a slot", || host.pool().in_use == 30);
    for run in &spinning {
        run.cancel();
    }
    for run in spinning {
        assert!(matches!(run.wait(), Err(RunError::Cancelled)));
    }

    // A reading that fails stops nobody.
    left.store(0, Ordering::Relaxed);
    let (said, _) = tree(&host, 2);
    assert_eq!(said, "3");
    assert_nothing_left(&host);
    let broken = builder()
        .memory_reserve(1000)
        .available_memory(|| panic!("no reading"))
        .build()
        .unwrap();
    let (said, _) = tree(&broken, 2);
    assert_eq!(said, "3");
    assert_nothing_left(&broken);
}

/// Fault: a program that would rather do without than wait, and is refused what it need not wait for, or made to wait.
#[test]
fn spawns_that_would_wait_are_refused_where_none_may() {
    let host = builder().instances(8).build().unwrap();
    let lab = lab(&host);
    let limits = Limits::new().queued(0).depth(1).timeout(HANG);
    let one = spawn(&Script::default()).join(0);
    let script = spawn(&spin()).times(20, &spawn(&spin())).explain().close();
    for _ in 0..20 {
        let outcome = run(&host, &lab, &one)
            .limits(limits)
            .start()
            .unwrap()
            .wait();
        assert_eq!(said(outcome).unwrap(), "k");
    }
    let run = run(&host, &lab, &script).limits(limits).start().unwrap();
    let outcome = run.wait();
    let said = said(outcome).unwrap();
    assert!(said.starts_with("L") && said.contains("`queued`"), "{said}");
    assert_nothing_left(&host);
}
