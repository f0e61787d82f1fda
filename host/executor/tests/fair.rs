//! The fair lane on one simulated core, whose clock moves only when a task says so: shares are exact.
#![cfg(not(loom))]

mod common;

use common::bed::{Bed, Machine, SLICE, assert_near, long, share};
use hart_executor::{
    CurrentWorker, Executor, Group, Platform, Step, Tenant, Verdict, Worker, WorkerId,
};
use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

/// Hunts shares that do not follow weights.
#[test]
fn shares_follow_weights() {
    let mut bed = Bed::new();
    let groups: Vec<_> = [1, 2, 4, 8].map(|weight| bed.group(weight * 100)).into();
    for group in &groups {
        bed.spin(group);
    }
    bed.run_for(long(15_000));
    let all = Duration::from_millis(long(15_000));
    for (group, weight) in groups.iter().zip([1.0, 2.0, 4.0, 8.0]) {
        assert_near(share(group, all), weight / 15.0, 0.002);
    }
}

/// Hunts shares that go by the number of tasks: a group of 100 spinners beside a group of one.
#[test]
fn a_group_with_many_tasks_gets_one_share() {
    let mut bed = Bed::new();
    let (many, one) = (bed.group(100), bed.group(100));
    for _ in 0..if cfg!(miri) { 20 } else { 100 } {
        bed.spin(&many);
    }
    bed.spin(&one);
    bed.run_for(long(10_000));
    assert_near(share(&one, Duration::from_millis(long(10_000))), 0.5, 0.002);
}

/// Hunts a tenant that gets more by having more groups.
#[test]
fn a_tenant_shares_its_weight_among_its_groups() {
    let mut bed = Bed::new();
    let tenant = bed.executor.tenant().weight(100).build();
    let groups: Vec<_> = (0..3)
        .map(|i| {
            bed.executor
                .group()
                .weight(100 << i)
                .tenant(&tenant)
                .build()
        })
        .collect();
    let alone = bed.group(100);
    for group in groups.iter().chain([&alone]) {
        bed.spin(group);
    }
    bed.run_for(long(14_000));
    let all = Duration::from_millis(long(14_000));
    assert_near(share(&alone, all), 0.5, 0.005);
    for (group, weight) in groups.iter().zip([1.0, 2.0, 4.0]) {
        assert_near(share(group, all), 0.5 * weight / 7.0, 0.005);
    }
}

/// Hunts sleep that is saved up: a group that arrives after 10 s gets half from then on, and no more.
#[test]
fn a_newcomer_gets_its_share_at_once_and_nothing_back() {
    let mut bed = Bed::new();
    let (old, new) = (bed.group(100), bed.group(100));
    bed.spin(&old);
    bed.run_for(long(10_000));
    let before = old.stats().cpu_time;
    bed.spin(&new);
    bed.run_for(long(1_000));
    let since = Duration::from_millis(long(1_000));
    assert_near(share(&new, since), 0.5, 0.005);
    let old_share = (old.stats().cpu_time - before).div_duration_f64(since);
    assert_near(old_share, 0.5, 0.005);
}

/// Hunts debt that a short sleep wipes out: a group that sleeps an instant after every slice must not get
/// more than its share.
#[test]
fn a_short_sleep_forgives_no_debt() {
    let mut bed = Bed::new();
    let (steady, napper) = (bed.group(100), bed.group(100));
    bed.spin(&steady);
    let nap = bed.wait(&napper, 3 * SLICE);
    bed.run_for(1);
    let end = bed.machine.now() + long(9_000) * SLICE;
    while bed.machine.now() < end {
        if let Some(waker) = nap.lock().unwrap().take() {
            waker.wake();
        }
        assert_ne!(bed.worker.step(), Step::Closed);
    }
    let used = napper.stats().cpu_time.as_secs_f64();
    let all = used + steady.stats().cpu_time.as_secs_f64();
    assert!(
        cfg!(miri) || used / all < 0.51,
        "the napper got {}",
        used / all
    );
}

/// Hunts a woken group that queues behind all the spinners: its turn comes within a slice or two.
#[test]
fn a_woken_group_is_served_soon() {
    let mut bed = Bed::new();
    for _ in 0..if cfg!(miri) { 8 } else { 128 } {
        let group = bed.group(100);
        bed.spin(&group);
    }
    let interactive = bed.group(100);
    let waiter = bed.wait(&interactive, SLICE / 10);
    bed.run_for(if cfg!(miri) { 20 } else { 1_000 });
    for _ in 0..if cfg!(miri) { 5 } else { 50 } {
        let waker = waiter.lock().unwrap().take().expect("it waits");
        let polls = interactive.stats().polls;
        let woken = bed.machine.now();
        waker.wake();
        while interactive.stats().polls == polls {
            assert_ne!(bed.worker.step(), Step::Closed);
        }
        let served = bed.machine.now() - woken;
        assert!(served <= 3 * SLICE, "it waited {served} ns");
        bed.run_for(20);
    }
}

/// Hunts a group that asks for less than its share and waits for a turn of all the others all the same: hundreds that
/// spin in step, and what it used to begin with puts it behind those that have their turn still to come.
#[test]
fn a_newcomer_that_asks_for_little_is_served_soon() {
    let mut bed = Bed::new();
    let groups = if cfg!(miri) { 8 } else { 128 };
    for _ in 0..groups {
        let group = bed.group(100);
        bed.spin_by_ticks(&group, SLICE / 4);
    }
    // Once, and half of them once more.
    bed.run_for(groups / 4 + groups / 8);
    let interactive = bed.group(100);
    let waiter = bed.begin_and_wait(&interactive, SLICE / 2, SLICE / 20);
    for round in 0..if cfg!(miri) { 3 } else { 40 } {
        let woken = bed.machine.now();
        let polls = interactive.stats().polls;
        if round > 0 {
            waiter.lock().unwrap().take().expect("it waits").wake();
        }
        while interactive.stats().polls == polls {
            assert_ne!(bed.worker.step(), Step::Closed);
        }
        let served = bed.machine.now() - woken;
        // At first it is one of a flood of new groups, about which nobody knows anything.
        assert!(
            round == 0 || served <= 2 * SLICE,
            "round {round}: it waited {served} ns"
        );
        bed.run_for(10);
    }
}

/// Hunts new groups that come without end, each as soon as the one before is served, and go before whoever is there: a
/// server whose requests are groups has as many as its clients ask for.
#[test]
fn newcomers_without_end_hold_up_nobody() {
    for (old_has_tenant, new_have_tenant) in
        [(false, false), (false, true), (true, false), (true, true)]
    {
        let mut bed = Bed::new();
        let tenant = bed.executor.tenant().build();
        let old = group_of(&bed.executor, old_has_tenant.then_some(&tenant));
        bed.spin_by_slices(&old);
        bed.run_for(10);
        let before = old.stats().cpu_time;
        newcomer(
            &bed.executor,
            &bed.machine,
            new_have_tenant.then_some(tenant),
        );
        bed.run_for(long(800));
        let since = Duration::from_millis(long(800));
        let got = (old.stats().cpu_time - before).div_duration_f64(since);
        // There are two at any time.
        assert!(
            cfg!(miri) || (0.4..0.6).contains(&got),
            "it got {got} of the time ({old_has_tenant}, {new_have_tenant})"
        );
    }
}

fn group_of(executor: &Executor, tenant: Option<&Tenant>) -> Group {
    match tenant {
        Some(tenant) => executor.group().tenant(tenant).build(),
        None => executor.group().build(),
    }
}

/// A group of its own that works a little, after it has made the next one.
fn newcomer(executor: &Executor, machine: &Arc<Machine>, tenant: Option<Tenant>) {
    let (next, clock) = (executor.clone(), machine.clone());
    let group = group_of(executor, tenant.as_ref());
    drop(executor.build_task().group(&group).spawn(async move {
        newcomer(&next, &clock, tenant);
        clock.now.fetch_add(SLICE / 10, Relaxed);
    }));
}

/// Hunts a latency class that pays with its share: shorter slices, same CPU time.
#[test]
fn a_shorter_slice_changes_turns_and_not_shares() {
    let mut bed = Bed::new();
    let quick = bed
        .executor
        .group()
        .slice(Duration::from_micros(100))
        .build();
    let slow = bed.group(100);
    bed.spin(&quick);
    bed.spin(&slow);
    bed.run_for(long(10_000));
    assert_near(
        share(&quick, Duration::from_millis(long(10_000))),
        0.5,
        0.005,
    );
}

/// Hunts slices that end at the first tick of a clock that ticks faster, because somebody else asked for that.
#[test]
fn ticks_do_not_cut_slices() {
    let mut bed = Bed::new();
    let groups = [bed.group(100), bed.group(100)];
    // It always wants to run, and hardly ever may.
    let hurried = bed
        .executor
        .group()
        .weight(1)
        .slice(Duration::from_micros(100))
        .build();
    for group in groups.iter().chain([&hurried]) {
        bed.spin_by_ticks(group, SLICE / 10);
    }
    bed.run_for(long(1_000));
    let polls: u64 = groups.iter().map(|group| group.stats().polls).sum();
    assert!(
        cfg!(miri) || (900..=1_200).contains(&polls),
        "{polls} turns in 1000 slices"
    );
}

/// Hunts slices that are as long where hundreds wait as where one does, and ones that go below the shortest.
#[test]
fn slices_adapt_to_how_many_wait() {
    let microseconds = Duration::from_micros;
    let all = [(2, 2_000), (3, 1_000), (8, 1_000), (30, 500), (100, 250)];
    let some = if cfg!(miri) { &all[..2] } else { &all[..] };
    for &(groups, kept) in some {
        let mut bed = Bed::new();
        for _ in 1..groups {
            let group = bed.group(100);
            bed.spin_by_ticks(&group, SLICE / 20);
        }
        // What is kept while somebody runs.
        let seen = Arc::new(Mutex::new(None));
        let (last, group, executor) = (seen.clone(), bed.group(100), bed.executor.clone());
        let (machine, its) = (bed.machine.clone(), group.clone());
        let spinner = poll_fn(move |cx| {
            loop {
                *last.lock().unwrap() = executor.shortest_slice();
                machine.now.fetch_add(SLICE / 20, Relaxed);
                if its.preemption_tick() == Verdict::Yield {
                    cx.waker().wake_by_ref();
                    return Poll::<()>::Pending;
                }
            }
        });
        drop(bed.executor.build_task().group(&group).spawn(spinner));
        // The first turns are those of groups that have just woken.
        bed.run_for(4 * groups);
        assert_eq!(*seen.lock().unwrap(), Some(microseconds(kept)), "{groups}");
        let short = microseconds(150);
        let hurried = bed.executor.group().slice(short).build();
        bed.spin_by_ticks(&hurried, SLICE / 20);
        bed.run_for(4 * groups);
        let least = seen.lock().unwrap().expect("they compete");
        assert!(least >= microseconds(100) && least < 2 * short, "{groups}");
    }
}

/// Hunts a group that owes newcomers what it used while nobody else was there: it ran alone, in one poll, and sleeps
/// when they come.
#[test]
fn who_ran_alone_owes_nothing_to_those_who_come_later() {
    let mut bed = Bed::new();
    let long = if cfg!(miri) { 10 } else { 1_000 };
    let early = bed.group(100);
    let waiter = bed.begin_and_wait(&early, long * SLICE, SLICE / 20);
    while early.stats().polls == 0 {
        assert_ne!(bed.worker.step(), Step::Closed);
    }
    for _ in 0..2 {
        let group = bed.group(100);
        bed.spin(&group);
    }
    bed.run_for(5);
    let polls = early.stats().polls;
    let woken = bed.machine.now();
    waiter.lock().unwrap().take().expect("it waits").wake();
    while early.stats().polls == polls {
        assert_ne!(bed.worker.step(), Step::Closed);
    }
    let served = bed.machine.now() - woken;
    assert!(served <= 3 * SLICE, "it waited {served} ns");
}

/// Hunts a newcomer that finds the time of a group which ran alone, and was not charged, unspent: it would
/// have all of it to itself.
#[test]
fn a_newcomer_gets_half_and_no_more() {
    let mut bed = Bed::new();
    let (old, new) = (bed.group(100), bed.group(100));
    let (machine, its, late) = (bed.machine.clone(), old.clone(), new.clone());
    let executor = bed.executor.clone();
    let clock = bed.machine.clone();
    let mut alone = true;
    let task = poll_fn(move |cx| {
        if std::mem::take(&mut alone) {
            // Ten seconds without a preemption point; then somebody comes.
            machine.now.fetch_add(10_000 * SLICE, Relaxed);
            let clock = clock.clone();
            let spinner = poll_fn(move |cx| {
                clock.now.fetch_add(SLICE, Relaxed);
                cx.waker().wake_by_ref();
                Poll::<()>::Pending
            });
            drop(executor.build_task().group(&late).spawn(spinner));
            assert_eq!(its.preemption_point(), Verdict::Yield);
        } else {
            machine.now.fetch_add(SLICE, Relaxed);
        }
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    });
    drop(bed.executor.build_task().group(&old).spawn(task));
    bed.run_for(1);
    let before = [&old, &new].map(|group| group.stats().cpu_time);
    bed.run_for(100);
    let [old, new] = [(&old, before[0]), (&new, before[1])]
        .map(|(group, before)| group.stats().cpu_time - before);
    let slice = Duration::from_nanos(SLICE);
    assert!(old.abs_diff(new) <= 3 * slice, "{old:?} and {new:?}");
}

/// Hunts a latency class that waits for the slices of others: its turn comes at the next tick.
#[test]
fn a_shorter_slice_is_served_at_the_next_tick() {
    let mut bed = Bed::new();
    let tick = SLICE / 10;
    for _ in 0..if cfg!(miri) { 3 } else { 8 } {
        let group = bed.group(100);
        bed.spin_by_ticks(&group, tick);
    }
    let quick = bed
        .executor
        .group()
        .slice(Duration::from_micros(100))
        .build();
    let waiter = bed.wait(&quick, tick);
    bed.run_for(if cfg!(miri) { 8 } else { 1_000 });
    assert_eq!(
        bed.executor.shortest_slice(),
        Some(Duration::from_millis(1))
    );
    // A task that is woken in the middle of a spinner's poll, by that spinner.
    let waker = waiter.lock().unwrap().take().expect("it waits");
    let (machine, spinners) = (bed.machine.clone(), bed.group(100));
    let (its, executor) = (spinners.clone(), bed.executor.clone());
    let given_way = Arc::new(AtomicU64::new(0));
    let after = given_way.clone();
    let mut waker = Some(waker);
    let task = poll_fn(move |_| {
        if let Some(waker) = waker.take() {
            machine.now.fetch_add(tick, Relaxed);
            assert_eq!(its.preemption_tick(), Verdict::Continue);
            waker.wake();
            assert_eq!(executor.shortest_slice(), Some(Duration::from_micros(100)));
            machine.now.fetch_add(tick, Relaxed);
            after.store(u64::from(its.preemption_tick() == Verdict::Yield), Relaxed);
        }
        Poll::<()>::Pending
    });
    drop(bed.executor.build_task().group(&spinners).spawn(task));
    bed.run_for(if cfg!(miri) { 20 } else { 300 });
    assert_eq!(given_way.load(Relaxed), 1);
}

/// Hunts a CPU rate that is not kept, alone on the machine and beside others, for one task and for many.
#[test]
fn a_cpu_rate_is_kept() {
    for neighbours in [0, 1, 3] {
        for tasks in [1, 5] {
            if cfg!(miri) && (neighbours, tasks) != (1, 5) {
                continue;
            }
            let mut bed = Bed::new();
            let limited = bed.executor.group().cpu_rate(200).build();
            for _ in 0..tasks {
                bed.spin_by_ticks(&limited, SLICE);
            }
            let others: Vec<_> = (0..neighbours).map(|_| bed.group(100)).collect();
            for group in &others {
                bed.spin_by_ticks(group, SLICE);
            }
            bed.run_for(long(10_000));
            let all = Duration::from_millis(long(10_000));
            assert_near(share(&limited, all), 0.2, 0.002);
            let throttled = limited.stats().throttled_time;
            assert!(
                cfg!(miri) || throttled > Duration::from_millis(100),
                "{throttled:?}"
            );
            // What it may not have is the others'.
            for group in &others {
                assert_near(share(group, all), 0.8 / f64::from(neighbours), 0.01);
            }
            limited.set_cpu_rate(None);
        }
    }
}

/// Hunts a tenant that gets around its rate with several groups, and a group whose own rate is forgotten
/// because its tenant has one.
#[test]
fn a_tenants_cpu_rate_is_shared() {
    let mut bed = Bed::new();
    let tenant = bed.executor.tenant().cpu_rate(500).build();
    let groups: Vec<_> = (0..3)
        .map(|_| bed.executor.group().tenant(&tenant).build())
        .collect();
    groups[0].set_cpu_rate(Some(100));
    for group in &groups {
        bed.spin_by_ticks(group, SLICE);
    }
    bed.run_for(long(10_000));
    let all = Duration::from_millis(long(10_000));
    assert_near(share(&groups[0], all), 0.1, 0.002);
    let together: f64 = groups.iter().map(|group| share(group, all)).sum();
    assert_near(together, 0.5, 0.005);
    assert_near(share(&groups[1], all), share(&groups[2], all), 0.01);
}

/// Hunts a close that forgets tasks of a group that is parked: their joiners would wait for ever.
#[test]
fn close_reaches_parked_groups() {
    let mut bed = Bed::new();
    let group = bed.executor.group().cpu_rate(1).build();
    bed.spin_by_ticks(&group, SLICE);
    let second = bed.executor.build_task().group(&group).spawn(async {});
    for _ in 0..20 {
        let _ = bed.worker.step();
    }
    assert!(bed.executor.next_refill().is_some());
    bed.executor.close();
    assert!(second.is_complete());
    assert_eq!(bed.executor.pending_tasks(), 0);
    assert_eq!(bed.executor.next_refill(), None);
}

/// A place that another worker had before, on a core with another CPU clock.
///
/// Fails if a new worker goes on from the last reading of the worker before it: the poll is charged nothing.
#[test]
fn a_new_worker_reads_its_own_clock() {
    /// The time that other cores were busy and this one was not.
    struct OtherCore(Machine, AtomicU64);

    // SAFETY: the cell is that of `Machine`.
    unsafe impl Platform for OtherCore {
        fn park(&self, _: WorkerId, _: Option<u64>) {}
        fn unpark(&self, _: WorkerId) {}
        fn now(&self) -> u64 {
            self.0.now()
        }
        fn cpu_time(&self) -> u64 {
            self.0.now() - self.1.load(Relaxed)
        }
        fn current_worker(&self) -> Option<CurrentWorker> {
            self.0.current_worker()
        }
        unsafe fn set_current_worker(
            &self,
            worker: Option<CurrentWorker>,
        ) -> Option<CurrentWorker> {
            // SAFETY: the caller's.
            unsafe { self.0.set_current_worker(worker) }
        }
    }

    let machine = Arc::new(OtherCore(Machine::default(), AtomicU64::new(0)));
    machine.0.now.store(100 * SLICE, Relaxed);
    let executor = Executor::with_platform(1, machine.clone());
    let group = executor.group().build();
    for _ in 0..2 {
        let (its, polled) = (machine.clone(), group.clone());
        let task = async move { its.0.now.fetch_add(SLICE / 2, Relaxed) };
        drop(executor.build_task().group(&polled).spawn(task));
        let mut worker = Worker::new(&executor).unwrap();
        assert_eq!(worker.step(), Step::Polled);
        drop(worker);
        // The next one is on a core that was idle until now.
        machine.1.store(machine.0.now(), Relaxed);
    }
    assert_eq!(group.stats().cpu_time, Duration::from_nanos(SLICE));
}

/// Hunts a stream of new groups, each done within its first slice, that keeps everybody else from theirs.
#[test]
fn new_groups_do_not_starve_old_ones() {
    let mut bed = Bed::new();
    let old = bed.group(100);
    bed.spin_by_slices(&old);
    bed.run_for(2);
    let before = old.stats().cpu_time;
    let began = bed.machine.now.load(Relaxed);
    for _ in 0..if cfg!(miri) { 10 } else { 200 } {
        // The next is there before the last is done.
        for _ in 0..2 {
            let (machine, fresh) = (bed.machine.clone(), bed.group(100));
            drop(bed.executor.build_task().group(&fresh).spawn(async move {
                machine.now.fetch_add(SLICE / 10 * 9, Relaxed);
            }));
        }
        bed.run_for(2);
    }
    let got = (old.stats().cpu_time - before).as_nanos() as u64;
    let passed = bed.machine.now.load(Relaxed) - began;
    assert!(cfg!(miri) || got > passed / 4, "{got} of {passed}");
}

/// Hunts a tenant that has more than its share because its groups take turns at sleeping: each of them would be
/// a slice ahead of the others whenever it wakes.
#[test]
fn a_tenants_groups_are_one_slice_ahead_together() {
    let mut bed = Bed::new();
    let other = bed.group(100);
    bed.spin_by_slices(&other);
    let tenant = bed.executor.tenant().weight(100).build();
    let groups: Vec<_> = (0..if cfg!(miri) { 10 } else { 40 })
        .map(|_| bed.executor.group().tenant(&tenant).build())
        .collect();
    let wakers: Vec<_> = groups
        .iter()
        .map(|group| bed.wait(group, SLICE / 10 * 9))
        .collect();
    bed.run_for(if cfg!(miri) { 15 } else { 50 });
    let before = other.stats().cpu_time;
    let began = bed.machine.now();
    for round in (0..1_000).filter(|round| !cfg!(miri) || round % 500 < 5) {
        // All at once, or one after the other.
        for (at, waker) in wakers.iter().enumerate() {
            if round < 500 && round % 40 == 0 || round >= 500 && round % 40 == at {
                waker.lock().unwrap().clone().unwrap().wake();
            }
        }
        bed.run_for(1);
    }
    let got = (other.stats().cpu_time - before).as_nanos() as f64;
    let passed = (bed.machine.now() - began) as f64;
    assert!(cfg!(miri) || got / passed > 0.49, "{got} of {passed}");
}

/// Hunts the same of a tenant whose groups are new, each of them done within its first slice.
#[test]
fn a_stream_of_groups_of_one_tenant_gets_its_share() {
    let mut bed = Bed::new();
    let old = bed.group(100);
    bed.spin_by_slices(&old);
    bed.run_for(2);
    let tenant = bed.executor.tenant().weight(100).build();
    let before = old.stats().cpu_time;
    let began = bed.machine.now();
    for _ in 0..if cfg!(miri) { 10 } else { 400 } {
        for _ in 0..2 {
            let machine = bed.machine.clone();
            let fresh = bed.executor.group().tenant(&tenant).build();
            drop(bed.executor.build_task().group(&fresh).spawn(async move {
                machine.now.fetch_add(SLICE / 10 * 9, Relaxed);
            }));
        }
        bed.run_for(1);
    }
    let got = (old.stats().cpu_time - before).as_nanos() as f64;
    let passed = (bed.machine.now() - began) as f64;
    assert!(
        cfg!(miri) || (0.45..0.55).contains(&(got / passed)),
        "{got} of {passed}"
    );
}

/// Hunts a tenant whose groups that spin keep its others waiting for half a round of them: requests of an app beside those
/// of its own that compute.
#[test]
fn a_tenants_spinners_keep_none_of_its_groups_waiting() {
    let mut bed = Bed::new();
    let tenant = bed.executor.tenant().build();
    for _ in 0..if cfg!(miri) { 8 } else { 32 } {
        bed.spin_by_slices(&group_of(&bed.executor, Some(&tenant)));
    }
    let sleeper = group_of(&bed.executor, Some(&tenant));
    let waker = bed.wait(&sleeper, SLICE / 10);
    bed.run_for(if cfg!(miri) { 20 } else { 200 });
    for round in 0..if cfg!(miri) { 2 } else { 40 } {
        // One that wakes, or a new one.
        let (began, polls) = (bed.machine.now(), sleeper.stats().polls);
        let fresh = group_of(&bed.executor, Some(&tenant));
        if round % 2 == 0 {
            waker.lock().unwrap().clone().unwrap().wake();
        } else {
            let machine = bed.machine.clone();
            drop(bed.executor.build_task().group(&fresh).spawn(async move {
                machine.now.fetch_add(SLICE / 10, Relaxed);
            }));
        }
        while sleeper.stats().polls == polls && fresh.stats().polls == 0 {
            assert_ne!(bed.worker.step(), Step::Closed);
        }
        let waited = bed.machine.now() - began;
        assert!(waited <= 2 * SLICE, "round {round}: it waited {waited} ns");
        bed.run_for(3);
    }
}

/// Hunts a group that stays parked although its rate was taken away.
#[test]
fn a_rate_that_is_lifted_lets_a_parked_group_go_on() {
    let mut bed = Bed::new();
    let group = bed.executor.group().cpu_rate(1).build();
    let other = bed.group(100);
    let debt = Duration::from_millis(long(10_000));
    group.charge(debt);
    bed.spin(&group);
    bed.spin(&other);
    bed.run_for(if cfg!(miri) { 10 } else { 100 });
    // Its first turn found the rate used up.
    assert!(group.stats().cpu_time <= debt + Duration::from_millis(2));
    group.set_cpu_rate(None);
    bed.run_for(long(30_000));
    assert!(group.stats().cpu_time > debt + debt / 10);
}

/// Hunts a tick that says for ever that something is left, where all that is left waits for its CPU rate: a loop of
/// the caller's own would spin until then.
#[test]
fn a_tick_says_what_may_run_now() {
    let mut bed = Bed::new();
    let group = bed.executor.group().cpu_rate(100).build();
    bed.spin_by_ticks(&group, SLICE);
    let mut ticks = 0;
    while bed.worker.tick().has_remaining {
        ticks += 1;
        assert!(ticks < 1_000, "it may not run, and is left");
    }
    let refill = bed.executor.next_refill().expect("its rate is used up");
    bed.machine.now.store(refill, Relaxed);
    let tick = bed.worker.tick_n(0);
    assert!(tick.has_remaining, "its time has come");
    assert!(bed.worker.tick().polled > 0);
}

/// Hunts a tenant whose groups are those of two executors: each would count what its own use of the weight and the
/// CPU rate, and see nothing of the other.
#[test]
#[should_panic(expected = "the tenant `acme` belongs to another executor")]
fn a_tenant_is_of_one_executor() {
    let (here, there) = (Bed::new(), Bed::new());
    let tenant = there.executor.tenant().name("acme").build();
    let _ = here.executor.group().tenant(&tenant).build();
}
