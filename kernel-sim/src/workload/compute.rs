//! Tasks that compute, and how they come into being.

use crate::{
    random::{log_uniform, one_in},
    sim::{Join, Sim},
};
use fastrand::Rng;
use futures::future::{BoxFuture, FutureExt};
use hart_executor::yield_now;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The longest that a task computes at once, in nanoseconds.
const LONGEST: u64 = 30_000;

/// Joins, or polls the handle once and drops it, or just drops it.
async fn settle<T>(join: Join<T>, rng: &mut Rng) -> Option<T> {
    match rng.u32(..8) {
        0 => None,
        1 => join.now_or_never()?.ok(),
        _ => join.await.ok(),
    }
}

pub(super) fn tree(sim: &Sim, size: u32, mut rng: Rng) {
    let seed = rng.u64(..);
    let root = node(sim.clone(), size, seed);
    drop(sim.spawn("tree", root));
}

fn node(sim: Sim, size: u32, seed: u64) -> BoxFuture<'static, ()> {
    async move {
        let mut rng = Rng::with_seed(seed);
        sim.spend(log_uniform(&mut rng, 50, LONGEST));
        let mut left = size - 1;
        let mut children = Vec::new();
        while left > 0 {
            let share = rng.u32(1..=left);
            left -= share;
            let child = node(sim.clone(), share, rng.u64(..));
            children.extend(sim.spawn("node", child));
        }
        if rng.bool() {
            yield_now().await;
        }
        for child in children {
            settle(child, &mut rng).await;
        }
    }
    .boxed()
}

pub(super) fn fork(sim: &Sim, size: u32, mut rng: Rng) {
    let this = sim.clone();
    let root = async move {
        for _ in 0..3 {
            let mut tasks = Vec::new();
            for _ in 0..size {
                let (sim, cost) = (this.clone(), log_uniform(&mut rng, 50, LONGEST));
                let task = async move {
                    sim.spend(cost);
                    cost
                };
                tasks.extend(this.spawn("leaf", task).map(|join| (cost, join)));
            }
            for (cost, task) in tasks {
                if let Some(told) = settle(task, &mut rng).await {
                    this.expect(told == cost, || format!("a leaf gave {told}, not {cost}"));
                }
            }
        }
    };
    drop(sim.spawn("fork", root));
}

pub(super) fn skew(sim: &Sim, size: u32, mut rng: Rng) {
    let this = sim.clone();
    let root = async move {
        for _ in 0..size {
            let (sim, cost) = (this.clone(), log_uniform(&mut rng, 100, 100_000));
            let nap = one_in(&mut rng, 4);
            let task = async move {
                sim.spend(cost);
                if nap {
                    sim.sleep(cost).await;
                    sim.spend(cost);
                }
            };
            drop(this.spawn("skewed", task));
            if one_in(&mut rng, 8) {
                this.spend(1_000);
            }
        }
    };
    drop(sim.spawn("skew", root));
}

pub(super) fn burst(sim: &Sim, size: u32, mut rng: Rng) {
    let mut left = size;
    let mut at = 0;
    while left > 0 {
        let now = rng.u32(1..=left.min(12));
        left -= now;
        at += log_uniform(&mut rng, 500, 200_000);
        let (this, mut rng) = (sim.clone(), rng.fork());
        sim.outside(at, move || {
            for _ in 0..now {
                let (sim, cost) = (this.clone(), log_uniform(&mut rng, 50, LONGEST));
                let times = rng.u32(1..4);
                let task = async move {
                    for _ in 0..times {
                        sim.spend(cost);
                        yield_now().await;
                    }
                };
                drop(this.spawn("burst", task));
            }
        });
    }
}

/// Polls of all busy tasks together, for each hart: more than the starvation oracle lets anybody wait.
const BUSY_POLLS: u64 = 600;

pub(super) fn busy(sim: &Sim, size: u32, mut rng: Rng) {
    let polls = Arc::new(AtomicU64::new(0));
    let most = BUSY_POLLS * sim.harts() as u64;
    // No hart runs dry.
    for _ in 0..size.min(8).max(3 * u32::try_from(sim.harts()).unwrap_or(1)) {
        let (this, polls) = (sim.clone(), polls.clone());
        let cost = rng.u64(50..500);
        let task = async move {
            while polls.fetch_add(1, Relaxed) < most {
                this.spend(cost);
                yield_now().await;
            }
        };
        drop(sim.spawn("busy", task));
    }
    for _ in 0..size {
        let (this, cost) = (sim.clone(), rng.u64(50..2_000));
        let at = log_uniform(&mut rng, 1_000, 200_000);
        sim.outside(at, move || {
            let sim = this.clone();
            drop(this.spawn("injected", async move { sim.spend(cost) }));
        });
    }
}
