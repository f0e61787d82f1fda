//! What an async guest gains from a second core.

use super::suite::SUITE;
use crate::measure::{Bench, Case, time};
use hart_build::Stack;
use hart_host::{Cache, Component, Host};
use std::time::Duration;

const CHILDREN: u32 = 1_000;

/// What each of them computes for.
const WORK: Duration = Duration::from_micros(500);

pub(super) fn run(bench: &mut Bench) {
    let cases = [("fan-out", "spawned"), ("fan-out/inside", "inside")];
    if !cases.iter().any(|(name, _)| bench.wants(SUITE, name)) {
        return;
    }
    let file = hart_build::bench_guest("fan-out", Stack::Small);
    let sides = [1, 2].map(|workers| {
        let host = Host::builder().workers(workers).cache(Cache::Off).build();
        let host = host.expect("the defaults fit this machine");
        let component = host.load_file(&file).expect("the guest was just built");
        (host, component)
    });
    let iterations = bench.pace().iterations(WORK);
    let side = |(host, component): &(Host, Component), what: &str| {
        let arguments = [
            "fan-out",
            what,
            &CHILDREN.to_string(),
            &iterations.to_string(),
        ];
        time(|| {
            let run = host.command(component).args(arguments).start();
            let ended = run.expect("it starts").wait();
            let code = ended.expect("the guest does not fail").exit_code;
            assert_eq!(code, 0);
        })
    };
    for (name, what) in cases {
        let case = Case {
            suite: SUITE,
            name,
            peer_name: "hart, 1 worker",
        };
        bench.compare(&case, &mut || side(&sides[1], what), &mut || {
            side(&sides[0], what)
        });
    }
}
