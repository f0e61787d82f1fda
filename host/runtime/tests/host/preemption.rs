//! Guests that will not yield.

use crate::support::*;
use hart_host::{LimitKind, Limits, Preemption, RunError};
use std::time::{Duration, Instant};

/// Fault: a spinner without competitors, for which nobody takes an epoch or ends a slice, outlives its
/// timeout.
#[test]
fn a_lone_spinner_dies_at_its_timeout() {
    for mode in MODES {
        let (host, lab) = limited(mode, Limits::new().timeout(Duration::from_millis(50)));
        let error = said(run(&host, &lab, &spin()).start().unwrap().wait()).unwrap_err();
        assert_eq!(
            error.limit().unwrap().limit,
            LimitKind::Timeout,
            "{mode}: {error}"
        );
        assert_nothing_left(&host);
    }
}

/// Fault: as above, for cancel.
#[test]
fn a_lone_spinner_dies_when_cancelled() {
    for mode in MODES {
        let host = builder().workers(1).preemption(mode).build().unwrap();
        let run = run(&host, &lab(&host), &spin()).start().unwrap();
        eventually("it runs", || host.pool().stacks == 1);
        run.cancel();
        assert!(matches!(run.wait(), Err(RunError::Cancelled)), "{mode}");
        assert_nothing_left(&host);
    }
}

/// Fault: as above, for close.
#[test]
fn a_lone_spinner_dies_when_the_host_closes() {
    for mode in MODES {
        let host = builder().workers(1).preemption(mode).build().unwrap();
        let run = run(&host, &lab(&host), &spin()).start().unwrap();
        eventually("it runs", || host.pool().stacks == 1);
        host.close();
        assert!(matches!(run.wait(), Err(RunError::Closed)), "{mode}");
        assert_nothing_left(&host);
    }
}

/// Fault: a task that waits behind a spinner for more than a few slices, on a single worker. Counted in
/// times that the spinner was made to give way, not in time.
#[test]
fn a_short_task_passes_a_spinner() {
    for mode in MODES {
        let host = builder().workers(1).preemption(mode).build().unwrap();
        let lab = lab(&host);
        // The root gives way first, so that the spinner has begun when the short task comes.
        let script = spawn(&spin()).yield_now().spawn(&say(b'x')).join(1);
        let outcome = run(&host, &lab, &script).start().unwrap().wait().unwrap();
        let preemptions = outcome.stats.preemptions;
        assert!(
            (1..=12).contains(&preemptions),
            "{mode}: {preemptions} preemptions"
        );
        assert_eq!(said(Ok(outcome)).unwrap(), "k(x)");
        let worker = host.stats().workers[0];
        assert!(
            worker.preemptions >= 1 && worker.spawns == 2 && worker.joins == 1,
            "{worker:?}"
        );
        assert_nothing_left(&host);
    }
}

/// Fault: epochs that nobody needs: a machine that never sleeps, a lone guest that pays for nothing.
#[test]
fn a_lone_guest_takes_no_epochs() {
    let host = host();
    let lab = lab(&host);
    output(&host, &lab, &Script::default().times(20, &busy(5000)));
    output(&host, &lab, &sleep(100));
    assert_eq!(host.stats().epochs, 0);
}

/// Fault: epochs that do not come although two guests share a core; a run that gets none of it.
#[test]
fn two_spinners_share_one_worker() {
    for mode in MODES {
        let host = builder().workers(1).preemption(mode).build().unwrap();
        let lab = lab(&host);
        let tenants = ["one", "two"].map(|name| host.tenant().name(name).build().unwrap());
        let runs = tenants
            .each_ref()
            .map(|tenant| run(&host, &lab, &spin()).tenant(tenant).start().unwrap());
        eventually("both are preempted again and again", || {
            runs.iter().all(|run| run.stats().preemptions > 20)
        });
        assert!(runs.iter().all(|run| run.stats().cpu_time > Duration::ZERO));
        assert!(matches!(mode, Preemption::Fuel { .. }) || host.stats().epochs > 20);
        for run in runs {
            run.cancel();
            assert!(matches!(run.wait(), Err(RunError::Cancelled)));
        }
        assert_nothing_left(&host);
    }
}

/// Fault: a lost wake-up in fuel mode, where a fuel yield and a real wait look alike: a guest that
/// sleeps or joins is polled in a circle, or never again.
#[test]
fn fuel_yields_are_told_from_waits() {
    let host = builder()
        .workers(1)
        .preemption(Preemption::Fuel { slice: 1_000 })
        .build()
        .unwrap();
    let lab = lab(&host);
    let child = busy(20).sleep(20).busy(20).say(b'x');
    let outcome = run(&host, &lab, &spawn(&child).join(0))
        .start()
        .unwrap()
        .wait()
        .unwrap();
    // Alone on the machine most slices just go on: a poll per wait, not one per slice.
    assert!(outcome.stats.polls < 40, "{:?}", outcome.stats);
    assert_eq!(said(Ok(outcome)).unwrap(), "k(x)");
    assert_eq!(host.stats().epochs, 0);
}

/// Fault: a limit of fuel that is off by a slice, or that differs from run to run.
#[test]
pub fn fuel_is_exact() {
    let host = builder()
        .preemption(Preemption::Fuel { slice: 1_000 })
        .build()
        .unwrap();
    let lab = lab(&host);
    let with = |limits: Limits| {
        let script = busy(10).yield_now().busy(1);
        let run = run(&host, &lab, &script).limits(limits.timeout(HANG));
        run.start().unwrap().wait()
    };
    let used = with(Limits::new()).unwrap().stats.fuel;
    assert!(used > 10_000, "{used}");
    for (kind, limits) in [
        (LimitKind::Fuel, Limits::fuel as fn(Limits, u64) -> Limits),
        (LimitKind::TaskFuel, Limits::task_fuel),
    ] {
        let enough = |fuel: u64| match with(limits(Limits::new(), fuel)) {
            Ok(outcome) => {
                assert_eq!(outcome.stats.fuel, used.min(fuel));
                true
            }
            Err(RunError::OutOfFuel(limit)) => {
                assert_eq!((limit.limit, limit.value), (kind, fuel));
                false
            }
            Err(error) => panic!("{error}"),
        };
        let search = || {
            let (mut low, mut high) = (0_u64, used);
            while low + 1 < high {
                let middle = low.midpoint(high);
                if enough(middle) {
                    high = middle
                } else {
                    low = middle
                }
            }
            high
        };
        assert!(enough(used));
        let least = search();
        assert_eq!(search(), least);
        // What comes after the last loop and the last call passes.
        assert!(used - least < 500, "{used} {least}");
    }
}

/// Fault: trusted mode that cannot even run ordinary guests, or end one that waits.
#[test]
fn without_preemption_guests_still_wait_and_end() {
    let host = builder()
        .workers(1)
        .preemption(Preemption::None)
        .build()
        .unwrap();
    let lab = lab(&host);
    assert_eq!(
        output(
            &host,
            &lab,
            &spawn(&busy(10).say(b'x'))
                .spawn(&sleep(250))
                .join(0)
                .cancel(1)
                .join(1)
        ),
        "k(x)c"
    );
    assert_nothing_left(&host);
}

/// Fault: a latency class that waits for the slices of others: its slice is how often the clock ticks, and its
/// turn comes before theirs. Counted in how often the spinner lost its core before it had used its own slice.
#[test]
pub fn a_short_slice_buys_earlier_turns() {
    let host = builder()
        .workers(1)
        .preemption(Preemption::Epoch {
            slice: Duration::from_secs(5),
        })
        .build()
        .unwrap();
    let lab = lab(&host);
    let spinner = run(&host, &lab, &spin()).start().unwrap();
    eventually("it runs", || host.pool().stacks == 1);
    let waits = Script::default().times(20, &sleep(2).busy(10)).say(b'x');
    let quick = run(&host, &lab, &waits)
        .slice(Duration::from_micros(200))
        .start()
        .unwrap();
    assert_eq!(said(quick.wait()).unwrap(), "x");
    // On a busy machine some waits are over before the spinner has its turn again.
    assert!(spinner.stats().preemptions >= 5, "{:?}", spinner.stats());
    spinner.cancel();
    let _ = spinner.wait();
}

/// Fault: a host whose slice is short or long and whose runs are preempted by the default one.
#[test]
fn the_hosts_slice_is_that_of_its_runs() {
    let host = builder()
        .workers(1)
        .preemption(Preemption::Epoch {
            slice: Duration::from_millis(100),
        })
        .build()
        .unwrap();
    let lab = lab(&host);
    let began = Instant::now();
    let runs = [(); 3].map(|()| run(&host, &lab, &spin()).start().unwrap());
    eventually("they have taken turns", || {
        runs.iter().all(|run| run.stats().preemptions > 0)
    });
    let preemptions: u64 = runs.iter().map(|run| run.stats().preemptions).sum();
    // A quarter of the slice, where very many wait, is the least that is kept.
    let most = began.elapsed().as_millis() / 25;
    assert!(
        u128::from(preemptions) <= most,
        "{preemptions} preemptions, {most} at most"
    );
    for run in runs {
        run.cancel();
        let _ = run.wait();
    }
}

/// Fault: a worker that is stuck in a guest which cannot be preempted, and all of its neighbours with it; one
/// thread more each time, for ever.
#[test]
fn a_stuck_worker_is_replaced() {
    let host = builder()
        .workers(2)
        .preemption(Preemption::None)
        .build()
        .unwrap();
    let lab = lab(&host);
    // Long enough to be found stuck, and over some time: nothing else could end it.
    let long = Script::default().times(12, &busy(60_000));
    for _ in 0..2 {
        let stuck = [(); 3].map(|()| run(&host, &lab, &long).start().unwrap());
        eventually("they have begun", || host.pool().stacks > 0);
        let script = spawn(&sleep(5).busy(10).say(b'x')).join(0);
        let good = run(&host, &lab, &script).start().unwrap();
        assert_eq!(said(good.wait()).unwrap(), "k(x)");
        for run in stuck {
            // Without effect until it comes back by itself.
            run.cancel();
            let _ = run.wait();
        }
    }
    let workers = host.stats().workers;
    assert!(workers.len() > 2 && workers.len() <= 18, "{workers:?}");
    assert_eq!(host.workers(), 2);
    assert_nothing_left(&host);
}
