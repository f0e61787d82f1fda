//! The machine itself.

use hart_sim::{Config, Sim, run};

fn tree(sim: &Sim, depth: u32) -> futures::future::BoxFuture<'static, u64> {
    let sim = sim.clone();
    Box::pin(async move {
        sim.spend(1_000);
        if depth == 0 {
            return 1;
        }
        let children: Vec<_> = (0..3)
            .map(|_| sim.spawn("node", tree(&sim, depth - 1)).unwrap())
            .collect();
        let mut sum = 0;
        for child in children {
            sum += child.await.unwrap();
        }
        sum
    })
}

#[test]
fn a_tree_runs_on_many_harts() {
    let outcome = run(&Config::new(1), |sim| {
        drop(sim.spawn("root", tree(sim, 6)).unwrap());
    });
    if let Some(failure) = outcome.failure {
        panic!("{failure}");
    }
    println!("{}", outcome.stats);
    assert!(outcome.stats.harts.iter().all(|hart| hart.polls > 100));
}
