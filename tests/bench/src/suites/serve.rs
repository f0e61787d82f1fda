//! `hart serve` against `wasmtime serve`: real processes on loopback, the same component, the same clients.
//!
//! The peer is the binary that `--wasmtime` names, with its defaults and a timeout, as its best users run it.

mod apps;
mod client;
mod figures;
pub(crate) mod observe;
mod server;
mod stream;

use crate::{
    measure::{Bench, Case},
    row::{Row, median},
};
use client::Load;
use figures::{CONNECTIONS, PEER, SUITE, answered, failed, figure, p50, p99, span};
use server::{Server, Side};
use std::path::PathBuf;

/// Requests a second of all clients of an open loop together: a twentieth of what a small machine can do.
const OPEN_RATE: f64 = 400.0;

/// Requests at once that compute.
const SPINNERS: [usize; 5] = [0, 2, 8, 32, 128];

pub(crate) fn run(bench: &mut Bench, wasmtime: Option<PathBuf>) {
    let sides = [Side::Hart, Side::Wasmtime(wasmtime)];
    for side in &sides {
        if let Err(missing) = side.program() {
            eprintln!("hart-bench: {missing}: no row of `serve`");
            return;
        }
    }
    for (case, guest) in [("hello/p2", "hello-http"), ("hello/p3", "hello-http-async")] {
        rates(bench, &sides, case, guest);
    }
    for spinners in SPINNERS {
        noisy(bench, &sides, spinners);
    }
    start(bench, &sides);
    idle(bench, &sides[0]);
    stream::run(bench, &sides);
    apps::run(bench);
}

/// Requests a second of a closed loop.
fn rates(bench: &mut Bench, sides: &[Side; 2], case: &str, guest: &str) {
    if !bench.wants(SUITE, case) {
        return;
    }
    let span = span(bench);
    let servers = sides.each_ref().map(|side| Server::start(side, guest));
    let load = |server: &Server| client::closed(server.address(), "/hello", CONNECTIONS, span);
    // Code, pools and caches are warm afterwards.
    servers.iter().for_each(|server| drop(load(server)));
    let rounds = if bench.is_quick() { 3 } else { 7 };
    let (loads, repeated) = bench.repeat(rounds, |_| servers.each_ref().map(load));
    let rate = |load: &Load| load.answered() as f64 / span.as_secs_f64() / 1e3;
    let of = |side: usize, figure: fn(&Load) -> f64| -> Vec<f64> {
        loads.iter().map(|loads| figure(&loads[side])).collect()
    };
    let harts: Vec<f64> = loads.iter().map(|loads| rate(&loads[0])).collect();
    let peers: Vec<f64> = loads.iter().map(|loads| rate(&loads[1])).collect();
    let mut row = Row::of_rates(SUITE, case, PEER, &harts, &peers, repeated);
    row.figures = vec![
        figure("p99", "ms", &of(0, p99), Some(&of(1, p99))),
        figure("failed", "", &of(0, failed), Some(&of(1, failed))),
    ];
    bench.record(row);
}

/// How late short requests are answered beside others that compute: all of one app.
fn noisy(bench: &mut Bench, sides: &[Side; 2], spinners: usize) {
    let case = format!("noisy/{spinners}");
    if !bench.wants(SUITE, &case) {
        return;
    }
    let span = span(bench);
    let servers = sides.each_ref().map(|side| Server::start(side, "http-lab"));
    let load = |server: &Server| {
        let address = server.address();
        let _spins = client::Spinners::start(address, "/spin/5000", spinners);
        client::open(address, "/hello", CONNECTIONS, OPEN_RATE, span)
    };
    let rounds = if bench.is_quick() { 1 } else { 3 };
    let (loads, repeated) = bench.repeat(rounds, |_| servers.each_ref().map(load));
    let of = |side: usize, figure: fn(&Load) -> f64| -> Vec<f64> {
        loads.iter().map(|loads| figure(&loads[side])).collect()
    };
    let (harts, peers) = (of(0, p99), of(1, p99));
    let ratios: Vec<f64> = harts.iter().zip(&peers).map(|(h, p)| p / h).collect();
    let row = Row {
        suite: SUITE,
        case,
        unit: "ms",
        hart: median(&harts),
        peer: median(&peers),
        peer_name: PEER,
        ratio: median(&ratios),
        rounds: loads.len(),
        repeated,
        figures: vec![
            figure("median", "ms", &of(0, p50), Some(&of(1, p50))),
            figure("answered", "", &of(0, answered), Some(&of(1, answered))),
            figure("failed", "", &of(0, failed), Some(&of(1, failed))),
        ],
    };
    bench.record(row);
}

/// From the start of the process to its first answer, with compiled code in the cache.
fn start(bench: &mut Bench, sides: &[Side; 2]) {
    let mut once = |side: usize| {
        crate::measure::time(|| {
            let server = Server::start(&sides[side], "hello-http");
            client::once(server.address(), "/hello");
        })
    };
    let case = Case {
        suite: SUITE,
        name: "start",
        peer_name: PEER,
    };
    let once = std::cell::RefCell::new(&mut once);
    bench.compare(&case, &mut || once.borrow_mut()(0), &mut || {
        once.borrow_mut()(1)
    });
}

/// What a connection that waits for its next request takes of the server's memory.
fn idle(bench: &mut Bench, side: &Side) {
    let count = if bench.is_quick() { 1_000 } else { 8_000 };
    if !bench.wants(SUITE, "idle") {
        return;
    }
    let server = Server::start(side, "hello-http");
    client::once(server.address(), "/hello");
    let before = server.resident();
    let idle = client::Idle::open(server.address(), "/hello", count);
    let each = server.resident().saturating_sub(before) as f64 / count as f64 / 1024.0;
    let answered = idle.ask_again("/hello");
    bench.record(Row {
        suite: SUITE,
        case: "idle".into(),
        unit: "KiB",
        hart: each,
        peer: 12.0,
        peer_name: "target",
        ratio: 12.0 / each,
        rounds: 1,
        repeated: 0,
        figures: vec![
            figure("connections", "", &[count as f64], None),
            figure("answered after", "", &[answered as f64], None),
        ],
    });
}
