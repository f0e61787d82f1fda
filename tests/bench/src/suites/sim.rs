//! The simulated machine: how fast it is, and whether what it predicts comes true.
//!
//! | case | hart | the peer |
//! | --- | --- | --- |
//! | `steps/futures` | scheduling steps a second, tasks of futures on 8 harts | 300,000, what was promised |
//! | `steps/guests` | polls of 10,000 units of fuel a second, guests on 4 harts | 50,000, what was promised |
//! | `large` | GiB resident after 100,000 tasks on 1,024 harts | 4, what was promised |
//! | `lane/*` | the part of linear that many harts get done in polls of a length, with a lane for each 8 | with one lane |
//! | `trace/*` | a run whose workers are recorded, as by `hart run --trace` | the same run, not recorded |
//! | `speed-up/*` | the example on 2 workers, against 1 | what the machine says of 2 harts and 1 |

use crate::{
    ground::WORKERS,
    measure::Bench,
    row::{Row, median},
};
use hart_host::{Cache, Component, Host, Stdio, Trace};
use hart_sim::{Config, Guest, Many, Schedule, Workload};
use std::time::Instant;

const SUITE: &str = "sim";

pub(crate) fn run(bench: &mut Bench) {
    if bench.wants(SUITE, "steps/futures") {
        let work: Workload = "fork:5000,tree:5000,busy:8".parse().expect("a workload");
        let mut config = Config::new(1);
        config.harts = 8;
        rate(bench, "steps/futures", 300_000.0, || {
            let outcome = hart_sim::run(&config, |sim| work.start(sim));
            assert!(outcome.failure.is_none(), "{:?}", outcome.failure);
            outcome.stats.steps
        });
    }
    if bench.wants(SUITE, "steps/guests") {
        let guest = guest("pipeline").arg("4").arg("5000");
        rate(bench, "steps/guests", 50_000.0, || {
            let run = guest.run(&Config::new(1)).expect("it runs");
            assert!(run.machine.failure.is_none(), "{:?}", run.machine.failure);
            run.machine.stats.total().polls
        });
    }
    for (name, args) in [("pipeline", ["6", "20000"]), ("tree", ["14", ""])] {
        let case = format!("speed-up/{name}");
        if bench.wants(SUITE, &case) {
            let args: Vec<_> = args.into_iter().filter(|arg| !arg.is_empty()).collect();
            speed_up(bench, case, name, &args);
        }
    }
    for (name, args) in [("pipeline", &["6", "20000"][..]), ("tree", &["13"])] {
        let case = format!("trace/{name}");
        if bench.wants(SUITE, &case) {
            traced(bench, case, name, args);
        }
    }
    for (name, poll, window) in LANES {
        for harts in [8, 64, 256, 1_024] {
            let case = format!("lane/{name}/{harts}");
            if bench.wants(SUITE, &case) && !(bench.is_quick() && harts > 256) {
                lane(bench, case, harts, poll, window);
            }
        }
    }
    if bench.wants(SUITE, "large") {
        large(bench);
    }
}

/// Polls of guests and how long to look at them, in virtual nanoseconds.
const LANES: [(&str, u64, u64); 3] = [
    ("10us", 10_000, 2_000_000),
    ("100us", 100_000, 5_000_000),
    ("1ms", 1_000_000, 20_000_000),
];

/// What many harts get done, against as many times a half of what two do. The machine is deterministic: one round.
fn lane(bench: &mut Bench, case: String, harts: usize, poll: u64, window: u64) {
    let part = |harts, one_lane| {
        let many = Many {
            harts,
            in_domain: 8,
            one_lane,
        };
        many.utilization(poll, window)
    };
    let two = part(2, false);
    let (lanes, one) = (part(harts, false) / two, part(harts, true) / two);
    bench.record(Row {
        suite: SUITE,
        case,
        unit: "of linear",
        hart: lanes,
        peer: one,
        peer_name: "one lane",
        ratio: lanes / one,
        rounds: 1,
        repeated: 0,
        figures: Vec::new(),
    });
}

fn guest(name: &str) -> Guest {
    let bytes = std::fs::read(hart_build::guest(name)).expect("it was built");
    Guest::new(&bytes).expect("a component").name(name)
}

/// Things a second, against a promise: the only peer that a simulator has here.
#[expect(clippy::cast_precision_loss, reason = "rates")]
fn rate(bench: &mut Bench, case: &str, promised: f64, mut work: impl FnMut() -> u64) {
    let rounds = if bench.is_quick() { 5 } else { 15 };
    let (rates, repeated) = bench.repeat(rounds, |_| {
        let began = Instant::now();
        let done = work();
        done as f64 / began.elapsed().as_secs_f64()
    });
    let rate = median(&rates);
    bench.record(Row {
        suite: SUITE,
        case: case.into(),
        unit: "1/s",
        hart: rate,
        peer: promised,
        peer_name: "promised",
        ratio: rate / promised,
        rounds,
        repeated,
        figures: Vec::new(),
    });
}

/// 100,000 tasks on 1,024 harts, in what this process has resident then.
#[expect(clippy::cast_precision_loss, reason = "a ratio")]
fn large(bench: &mut Bench) {
    let work: Workload = "fork:33334".parse().expect("a workload");
    let mut config = Config::new(1);
    config.harts = 1_024;
    let outcome = hart_sim::run(&config, |sim| work.start(sim));
    assert!(outcome.failure.is_none(), "{:?}", outcome.failure);
    assert!(outcome.stats.tasks >= 100_000);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| {
        let kib = line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?;
        kib.trim().parse::<u64>().ok()
    });
    let Some(peak) = peak else { return };
    let gib = peak as f64 / (1 << 20) as f64;
    bench.record(Row {
        suite: SUITE,
        case: "large".into(),
        unit: "GiB",
        hart: gib,
        peer: 4.0,
        peer_name: "promised",
        ratio: 4.0 / gib,
        rounds: 1,
        repeated: 0,
        figures: Vec::new(),
    });
}

/// What it costs to record a run, of two hosts in turn. What is recorded is written later, which is not in it.
fn traced(bench: &mut Bench, case: String, name: &str, args: &[&str]) {
    let hosts = [true, false].map(|traced| {
        let mut builder = Host::builder().workers(WORKERS).cache(Cache::Off);
        if traced {
            builder = builder.trace(Trace::DEFAULT_EVENTS);
        }
        let host = builder.build().expect("a host");
        let component = host.load_file(hart_build::guest(name));
        (host, component.expect("a component"))
    });
    let rounds = if bench.is_quick() { 11 } else { 41 };
    let (times, repeated) = bench.repeat(rounds, |round| {
        let mut times = [0.0; 2];
        for turn in 0..2 {
            let side = (turn + round) % 2;
            times[side] = once(&hosts[side].0, &hosts[side].1, name, args) * 1e3;
        }
        times
    });
    let column = |side: usize| times.iter().map(|round| round[side]).collect::<Vec<f64>>();
    let ratios: Vec<f64> = times.iter().map(|[on, off]| off / on).collect();
    bench.record(Row {
        suite: SUITE,
        case,
        unit: "ms",
        hart: median(&column(0)),
        peer: median(&column(1)),
        peer_name: "not recorded",
        ratio: median(&ratios),
        rounds,
        repeated,
        figures: Vec::new(),
    });
}

/// Seconds of a run.
fn once(host: &Host, component: &Component, name: &str, args: &[&str]) -> f64 {
    let run = host
        .command(component)
        .arg(name)
        .args(args.iter().copied())
        .stdout(Stdio::Capture);
    let began = Instant::now();
    let outcome = run.start().expect("it starts").wait().expect("it runs");
    assert_eq!(outcome.exit_code, 0);
    began.elapsed().as_secs_f64()
}

/// The speed-up of 2 workers, really and by the machine.
#[expect(clippy::cast_precision_loss, reason = "ratios")]
fn speed_up(bench: &mut Bench, case: String, name: &str, args: &[&str]) {
    let simulated = args.iter().fold(guest(name), |guest, arg| guest.arg(*arg));
    let makespan = |harts| {
        let mut config = Config::new(1);
        config.harts = harts;
        config.schedule = Schedule::Time;
        simulated.run(&config).expect("it runs").machine.makespan as f64
    };
    let predicted = makespan(1) / makespan(2);
    let hosts = [1, 2].map(|workers| {
        let builder = Host::builder().workers(workers).cache(Cache::Off);
        let host = builder.build().expect("a host");
        let file = hart_build::guest(name);
        let component = host.load_file(file).expect("a component");
        (host, component)
    });
    let rounds = if bench.is_quick() { 5 } else { 15 };
    let (ratios, repeated) = bench.repeat(rounds, |_| {
        let times = hosts
            .each_ref()
            .map(|(host, component)| once(host, component, name, args));
        times[0] / times[1]
    });
    let measured = median(&ratios);
    bench.record(Row {
        suite: SUITE,
        case,
        unit: "x",
        hart: measured,
        peer: predicted,
        peer_name: "simulated",
        ratio: measured / predicted,
        rounds,
        repeated,
        figures: Vec::new(),
    });
}
