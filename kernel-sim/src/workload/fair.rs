//! Groups that compute all the time, and whether their shares follow their weights.
//!
//! The bound. What a group that always has tasks has used, divided by its weight, must not stay behind any
//! other group's by more than [`SLICES`] slices and chunks of both: in the fair lane a turn is given to the
//! earliest virtual deadline, so that each is ahead or behind by at most one turn at any time. Time by which
//! faults stopped harts or moved the clock is added. The check is of one side only, so that it holds for
//! groups that sleep as well.
//!
//! With several lanes a group may be further ahead, by a slice for each lane, which is used there and not settled; and
//! further behind, by two slices, because a lane is not helped before it lags by them.

use crate::{
    oracle::Oracle,
    sim::{Sim, SimGroup},
};
use fastrand::Rng;
use hart_executor::yield_now;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
};

/// Turns by which a group may be ahead of another.
const SLICES: u64 = 2;
/// Slices by which a lane may lag.
const LAG: u64 = 2;
/// The executor's default slice, in nanoseconds.
const SLICE: u64 = 1_000_000;
/// Between two preemption points.
const CHUNK: u64 = 250_000;
const MILLISECOND: u64 = 1_000_000;

struct Contender {
    group: SimGroup,
    weight: u32,
    tasks: u32,
    /// Tasks that are there.
    present: Arc<AtomicU32>,
    /// It never sleeps.
    always: bool,
    /// The longest between two preemption points.
    chunk: u64,
}

/// Counts a task while it is there.
struct Present(Arc<AtomicU32>);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

fn contender(sim: &Sim, name: &str, weight: u32, tasks: u32, stop: &Arc<AtomicBool>) -> Contender {
    let group = sim.group(name, weight);
    let present = Arc::new(AtomicU32::new(0));
    for _ in 0..tasks {
        present.fetch_add(1, Relaxed);
        let (this, its, stop) = (sim.clone(), group.clone(), stop.clone());
        let here = Present(present.clone());
        let task = async move {
            let _here = here;
            while !stop.load(Relaxed) {
                this.compute(&its, CHUNK, CHUNK).await;
            }
        };
        drop(sim.task("spinner").group(&group).spawn(task));
    }
    Contender {
        group,
        weight,
        tasks,
        present,
        always: true,
        chunk: CHUNK,
    }
}

pub(super) fn fair(sim: &Sim, size: u32, mut rng: Rng) {
    let stop = Arc::new(AtomicBool::new(false));
    let groups = rng.u32(2..=4);
    let contenders = (0..groups)
        .map(|at| {
            let weight = [50, 100, 100, 200, 400][rng.usize(..5)];
            contender(sim, &format!("g{at}"), weight, rng.u32(1..=4), &stop)
        })
        .collect();
    judge(sim, u64::from(size) * MILLISECOND, contenders, stop);
}

/// How long the napper computes at once.
const NAPPER: u64 = 3_000_000;

pub(super) fn nap(sim: &Sim, size: u32, mut rng: Rng) {
    let stop = Arc::new(AtomicBool::new(false));
    // However many harts there are, the steady ones can use all, and the napper's share is less than the one
    // hart that its one task can use: so it shows if it gets more.
    let harts = u32::try_from(sim.harts()).unwrap_or(u32::MAX);
    let mut contenders: Vec<_> = (0..2)
        .map(|at| {
            contender(
                sim,
                &format!("steady{at}"),
                100 * harts,
                harts.max(2),
                &stop,
            )
        })
        .collect();
    let group = sim.group("napper", 100);
    let present = Arc::new(AtomicU32::new(1));
    let (this, its, here) = (sim.clone(), stop.clone(), Present(present.clone()));
    let nap = rng.u64(1_000..20_000);
    let task = async move {
        let _here = here;
        while !its.load(Relaxed) {
            this.spend(NAPPER);
            this.sleep(nap).await;
            yield_now().await;
        }
    };
    drop(sim.task("napper").group(&group).spawn(task));
    contenders.push(Contender {
        group,
        weight: 100,
        tasks: 1,
        present,
        always: false,
        chunk: NAPPER,
    });
    // A lead takes some turns to grow beyond the bound.
    judge(sim, (20 + u64::from(size)) * MILLISECOND, contenders, stop);
}

/// Stops the contenders after a while, and compares what they have got.
fn judge(sim: &Sim, after: u64, contenders: Vec<Contender>, stop: Arc<AtomicBool>) {
    let this = sim.clone();
    sim.outside(after, move || {
        stop.store(true, Relaxed);
        let complete = |contender: &Contender| contender.present.load(Relaxed) == contender.tasks;
        if !this.is_closed() && contenders.iter().all(complete) {
            compare(&this, &contenders);
            for contender in &contenders {
                account(&this, contender);
            }
        }
    });
}

/// The part of its tasks' harts that a group must be able to leave for its share to be checked.
const USABLE: f64 = 0.8;

/// Harts per unit of weight, where nobody uses more than its tasks can and those who sleep use nothing;
/// `None` if there are harts for all.
fn level(contenders: &[Contender], harts: u64) -> Option<f64> {
    let always = || contenders.iter().filter(|it| it.always);
    let mut full: Vec<&Contender> = always().collect();
    let mut harts = f64::from(u32::try_from(harts).unwrap_or(u32::MAX));
    loop {
        let weights: f64 = full.iter().map(|it| f64::from(it.weight)).sum();
        let level = harts / weights;
        let before = full.len();
        full.retain(|it| {
            let few = f64::from(it.tasks) <= level * f64::from(it.weight);
            harts -= if few { f64::from(it.tasks) } else { 0.0 };
            !few
        });
        if full.is_empty() {
            return None;
        }
        if full.len() == before {
            return Some(level);
        }
    }
}

fn compare(sim: &Sim, contenders: &[Contender]) {
    let harts = sim.harts() as u64;
    let slowest = sim.slowest();
    let disturbed = sim.disturbed();
    let level = level(contenders, harts);
    for behind in contenders.iter().filter(|it| it.always) {
        // A group with few tasks cannot use a large share; and what it leaves, others get.
        if level
            .is_none_or(|level| level * f64::from(behind.weight) > USABLE * f64::from(behind.tasks))
        {
            continue;
        }
        for ahead in contenders {
            let turn = |it: &Contender| SLICE + it.chunk * slowest / 100;
            // Everything times both weights, so that nothing is rounded.
            let (a, b) = (u64::from(ahead.weight), u64::from(behind.weight));
            let (got, had) = (sim.spent(&ahead.group), sim.spent(&behind.group));
            let lanes = sim.lanes();
            let apart = if lanes > 1 {
                SLICE * (lanes * b + LAG * a)
            } else {
                0
            };
            let bound = SLICES * (turn(ahead) * b + turn(behind) * a) + disturbed * (a + b) + apart;
            let lead = (got * b).saturating_sub(had * a);
            sim.check(lead <= bound, Oracle::Shares, || {
                format!(
                    "group {} (weight {a}) used {got} ns and group {} (weight {b}), which always had {} tasks, {had} ns: too far behind by {} ns",
                    ahead.group.group().name(),
                    behind.group.group().name(),
                    behind.tasks,
                    (lead - bound) / a,
                )
            });
        }
    }
}

/// What the executor charged is what the tasks spent.
fn account(sim: &Sim, contender: &Contender) {
    let stats = contender.group.group().stats();
    let charged = u64::try_from(stats.cpu_time.as_nanos()).unwrap_or(u64::MAX);
    let spent = sim.spent(&contender.group);
    // What is in flight is spent and not charged yet; short polls are charged by the clock on the wall.
    let in_flight = u64::from(contender.tasks) * contender.chunk * sim.slowest() / 100;
    let bound = spent / 20 + stats.polls * 10_000 + in_flight + MILLISECOND + sim.disturbed();
    sim.check(charged.abs_diff(spent) <= bound, Oracle::Accounting, || {
        format!(
            "group {} spent {spent} ns and was charged {charged} ns",
            contender.group.group().name()
        )
    });
}
