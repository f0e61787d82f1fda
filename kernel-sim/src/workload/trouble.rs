//! Cancels, panics, closes, and tasks that wait for ever.

use crate::{random::log_uniform, sim::Sim};
use fastrand::Rng;
use hart_executor::yield_now;

pub(super) fn cancel(sim: &Sim, size: u32, mut rng: Rng) {
    for _ in 0..size.div_ceil(2) {
        let (this, steps) = (sim.clone(), rng.u32(0..6));
        let (cost, nap) = (log_uniform(&mut rng, 100, 30_000), rng.bool());
        let victim = async move {
            for _ in 0..steps {
                this.spend(cost);
                if nap {
                    this.sleep(cost).await;
                } else {
                    yield_now().await;
                }
            }
        };
        let Ok(victim) = sim.spawn("victim", victim) else {
            continue;
        };
        let this = sim.clone();
        let after = log_uniform(&mut rng, 100, 150_000);
        if rng.bool() {
            let canceller = async move {
                this.sleep(after).await;
                victim.cancel();
                let result = victim.await;
                let fine = result.is_ok() || result.is_err_and(|error| !error.is_panic());
                this.expect(fine, || "a cancelled task panicked".into());
            };
            drop(sim.spawn("canceller", canceller));
        } else {
            sim.outside(after, move || {
                victim.cancel();
                victim.cancel();
            });
        }
    }
}

/// What tasks panic with: no message is printed.
struct Expected;

pub(super) fn panic(sim: &Sim, size: u32, mut rng: Rng) {
    for _ in 0..size.div_ceil(2) {
        let (this, yields) = (sim.clone(), rng.u32(0..3));
        let task = async move {
            for _ in 0..yields {
                this.spend(200);
                yield_now().await;
            }
            // Not by the macro: the hook would print it.
            std::panic::resume_unwind(Box::new(Expected))
        };
        let Ok(task) = sim
            .spawn::<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>>("panics", Box::pin(task))
        else {
            continue;
        };
        if rng.bool() {
            let this = sim.clone();
            let joiner = async move {
                if let Err(error) = task.await
                    && error.is_panic()
                {
                    let known = error.into_panic().is::<Expected>();
                    this.expect(known, || "the joiner was given another panic".into());
                }
            };
            drop(sim.spawn("joiner", joiner));
        }
    }
}

pub(super) fn daemon(sim: &Sim, size: u32, mut rng: Rng) {
    for _ in 0..size {
        let (this, naps) = (sim.clone(), rng.u32(0..3));
        let nap = log_uniform(&mut rng, 500, 50_000);
        let task = async move {
            for _ in 0..naps {
                this.sleep(nap).await;
            }
            std::future::pending::<()>().await;
        };
        drop(sim.task("daemon").daemon().spawn(task));
    }
}

pub(super) fn close(sim: &Sim, size: u32, mut rng: Rng) {
    let this = sim.clone();
    let after = log_uniform(&mut rng, 100, 20_000 * u64::from(size));
    let task = async move {
        this.sleep(after).await;
        this.close();
        this.spend(1_000);
        let refused = this.spawn("late", async {}).is_err();
        this.expect(refused, || "a spawn after the close was accepted".into());
    };
    drop(sim.spawn("closer", task));
}
