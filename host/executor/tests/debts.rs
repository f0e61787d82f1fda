//! Groups that are charged, or given another rate, while they do not compete.
#![cfg(not(any(loom, shuttle)))]

mod common;

use common::bed::{Bed, SLICE};
use hart_executor::{Platform, Step, Worker};
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    sync::atomic::Ordering::Relaxed,
    task::Poll,
    time::Duration,
};

const fn slices(slices: u64) -> Duration {
    Duration::from_nanos(slices * SLICE)
}

/// Hunts: a charge to a group that is idle, or parked, or of a tenant, which is forgiven when it wakes because it was
/// behind the others then anyway.
#[test]
fn a_charge_to_an_idle_group_is_paid_for() {
    for (of_tenant, charges) in [(false, 1), (false, 10), (true, 1), (true, 10)] {
        let mut bed = Bed::new();
        let old = bed.group(100);
        bed.spin_by_slices(&old);
        let tenant = bed.executor.tenant().build();
        let group = bed.executor.group().tenant(&tenant).build();
        let group = if of_tenant { group } else { bed.group(100) };
        // It has slept for long, and what it did not use is not saved up.
        let waker = bed.begin_and_wait(&group, 0, SLICE);
        bed.run_for(200);
        for _ in 0..charges {
            group.charge(slices(40) / charges);
        }
        let before = old.stats().cpu_time;
        let its = group.stats().cpu_time;
        let began = bed.machine.now();
        while bed.machine.now() < began + 30 * SLICE {
            waker.lock().unwrap().clone().unwrap().wake();
            bed.run_for(1);
        }
        let got = old.stats().cpu_time - before;
        let has = group.stats().cpu_time - its;
        assert!(
            got >= slices(27),
            "the others are owed 40 slices and got {got:?}, it got {has:?} ({of_tenant}, {charges})"
        );
    }
}

/// Hunts: the same of a group that is parked, whose charge is older than its rate.
#[test]
fn a_charge_to_a_parked_group_is_paid_for() {
    let mut bed = Bed::new();
    let old = bed.group(100);
    bed.spin_by_slices(&old);
    let group = bed.executor.group().cpu_rate(1).build();
    bed.spin_by_slices(&group);
    bed.run_for(200);
    group.charge(slices(40));
    group.set_cpu_rate(None);
    let before = old.stats().cpu_time;
    bed.run_for(30);
    let got = old.stats().cpu_time - before;
    assert!(
        got >= slices(27),
        "the others got {got:?} of what they are owed"
    );
}

/// Hunts: new groups that are known because they were charged for something before their first turn, and so start
/// ahead of all others however many new ones there were.
#[test]
fn charged_newcomers_are_newcomers() {
    for charge in [Duration::ZERO, Duration::from_nanos(1)] {
        let mut bed = Bed::new();
        let old = bed.group(100);
        bed.spin_by_slices(&old);
        let newcomer = bed.group(100);
        newcomer.charge(charge);
        bed.run_for(2);
        // So many others that further ones get no credit.
        let fresh: Vec<_> = (0..20).map(|_| bed.group(100)).collect();
        for group in &fresh {
            let machine = bed.machine.clone();
            drop(bed.executor.build_task().group(group).spawn(async move {
                machine.now.fetch_add(SLICE / 10 * 9, Relaxed);
            }));
        }
        while fresh.iter().any(|group| group.stats().live_tasks > 0) {
            let _ = bed.worker.step();
        }
        // The old one is the only one that waits: nobody starts ahead of it.
        bed.spin_by_slices(&newcomer);
        let before = old.stats().polls;
        while (old.stats().polls, newcomer.stats().polls) == (before, 0) {
            let _ = bed.worker.step();
        }
        assert_eq!(newcomer.stats().polls, 0, "charged {charge:?}");
    }
}

/// Hunts: groups that stay parked by their tenant's old rate, when it is lifted and when it is raised; and another
/// tenant's, which go on too early.
#[test]
fn a_tenants_rate_that_changes_reaches_its_parked_groups() {
    for rate in [None, Some(1_000)] {
        let mut bed = Bed::new();
        let tenants = [(); 2].map(|()| bed.executor.tenant().cpu_rate(1).build());
        let groups: Vec<_> = (0..6)
            .map(|i| {
                let group = bed.executor.group().tenant(&tenants[i % 2]).build();
                bed.spin_by_slices(&group);
                group
            })
            .collect();
        // A debt of 1,000 windows, or of 1 at the new rate.
        groups[0].charge(slices(100));
        groups[1].charge(slices(100));
        for _ in 0..100 {
            let _ = bed.worker.step();
        }
        let parked: Vec<_> = groups.iter().map(|group| group.stats().polls).collect();
        let now = bed.machine.now();
        let until = bed.executor.next_refill().expect("all are parked");
        assert!(until > now + 100 * slices(100).as_nanos() as u64);
        tenants[0].set_cpu_rate(rate);
        let until = bed.executor.next_refill();
        if rate.is_some() {
            // Not yet, and not when the old rate would have allowed it either.
            let until = until.expect("all are parked");
            assert!(until <= now + 3 * slices(100).as_nanos() as u64);
            bed.machine.now.fetch_max(until, Relaxed);
        }
        for _ in 0..30 {
            let _ = bed.worker.step();
        }
        for (i, (group, before)) in groups.iter().zip(parked).enumerate() {
            let polls = group.stats().polls - before;
            assert_eq!(polls > 0, i % 2 == 0, "group {i} had {polls} turns");
        }
    }
}

thread_local! {
    /// What the task that is polled does once, on the worker's own thread.
    static ONCE: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// Hunts: a worker that sleeps until the old rate would allow a further task of a group that has one in a poll: the
/// group is not parked, and the new rate allows it now.
#[test]
fn a_rate_that_changes_wakes_those_who_were_turned_away() {
    for of_tenant in [false, true] {
        let (executor, machine) = common::on_machine(2);
        let [mut busy, mut other] = [(); 2].map(|()| Worker::new(&executor).unwrap());
        let tenant = executor.tenant().build();
        let group = executor.group().tenant(&tenant).build();
        let set = {
            let (group, tenant) = (group.clone(), tenant.clone());
            move |rate| {
                if of_tenant {
                    tenant.set_cpu_rate(rate);
                } else {
                    group.set_cpu_rate(rate);
                }
            }
        };
        set(Some(1));
        for _ in 0..2 {
            let its = group.clone();
            let task = poll_fn(move |_| {
                if let Some(once) = ONCE.take() {
                    its.charge(slices(50));
                    once();
                }
                Poll::<()>::Pending
            });
            drop(executor.build_task().group(&group).spawn(task));
        }
        let unparked = Rc::new(Cell::new(None));
        let tell = unparked.clone();
        ONCE.set(Some(Box::new(move || {
            let until = loop {
                match other.step() {
                    Step::Sleep { until } => break until,
                    Step::Polled => panic!("the rate is used up"),
                    _ => {}
                }
            };
            assert!(until.is_some(), "it sleeps until the rate allows more");
            let before = machine.unparked(1);
            set(None);
            tell.set(Some(machine.unparked(1) - before));
        })));
        while busy.step() != Step::Polled {}
        assert_eq!(unparked.get(), Some(1), "of the tenant: {of_tenant}");
    }
}
