//! What happens around a request: a new version of its app, another app that is asked for more than the machine can do,
//! tasks of its own on the other cores. There is no peer that does these; hart is compared with itself.

use super::{
    client,
    figures::{CONNECTIONS, SUITE, against_itself, answered, failed, figure, span},
    server::{Server, Side},
};
use crate::{
    measure::Bench,
    row::{Row, median},
};
use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

/// Requests a second of the app that is not the cause, all its clients together.
const QUIET_RATE: f64 = 200.0;

/// Clients of the app that is, and how many times what it can do they ask for.
const LOUD: usize = 200;
const TIMES: f64 = 4.0;

pub(super) fn run(bench: &mut Bench) {
    swap(bench);
    overload(bench);
    fan_out(bench);
}

/// A hundred new versions under load.
fn swap(bench: &mut Bench) {
    if !bench.wants(SUITE, "swap") {
        return;
    }
    let swaps = if bench.is_quick() { 10 } else { 100 };
    let pause = Duration::from_millis(100);
    let span = pause * (swaps + 5);
    let socket = Scratch::new("admin.sock");
    let options = ["--admin", &socket.text()];
    let guest = hart_build::guest("hello-http");
    let server = Server::start_with(&Side::Hart, &options, &guest);
    let component = std::fs::read(&guest).expect("it was built");
    let load = || client::open(server.address(), "/hello", CONNECTIONS, QUIET_RATE, span);
    let alone = load();
    let (loaded, swapped) = thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            let swap = |number: &u32| {
                thread::sleep(pause);
                // With a section of no meaning, so that it is compiled each time.
                let section = [&[0, 6, 1, b'n'], &number.to_le_bytes()[..]].concat();
                let next = [&component[..], &section].concat();
                client::post(&socket.0, "/apps/hello-http", &next)
            };
            (0..swaps).filter(swap).count()
        });
        (load(), swapping.join().unwrap_or(0))
    });
    let figures = vec![figure("swaps", "", &[swapped as f64], None)];
    bench.record(against_itself(
        "swap",
        &loaded,
        &alone,
        "without swaps",
        figures,
    ));
}

/// Two apps, one of them asked for far more than the machine can do.
fn overload(bench: &mut Bench) {
    if !bench.wants(SUITE, "overload") {
        return;
    }
    let span = span(bench);
    let config = Scratch::new("hart.toml");
    let lab = hart_build::guest("http-lab");
    let app = |name: &str, concurrency: usize| {
        format!(
            "[[app]]\nname = \"{name}\"\ncomponent = {lab:?}\npath = \"/{name}\"\nconcurrency = {concurrency}\nqueue = 16\nqueue-timeout = \"100ms\"\n"
        )
    };
    let text = app("quiet", 64) + &app("noisy", 8);
    std::fs::write(&config.0, text).expect("the directory can be written");
    let server = Server::start_apps(&config.0);
    let address = server.address();
    let quiet = || client::open(address, "/quiet/work/200", CONNECTIONS, QUIET_RATE, span);
    let path = "/noisy/work/2000";
    let alone = quiet();
    // As much as it can do: no more wait than there is room for.
    let peak = answered(&client::closed(address, path, 8, span));
    let rate = TIMES * peak / span.as_secs_f64();
    let (beside, loaded) = thread::scope(|scope| {
        let loaded = scope.spawn(|| client::open(address, path, LOUD, rate, span));
        (quiet(), loaded.join().unwrap_or_default())
    });
    let goodput = answered(&loaded) / peak;
    let figures = vec![
        figure("goodput of the other", "of its peak", &[goodput], None),
        figure("503 of the other", "", &[failed(&loaded)], None),
    ];
    bench.record(against_itself(
        "overload", &beside, &alone, "alone", figures,
    ));
}

/// A request whose 8 tasks compute for about 10 ms each: on all workers, and on one.
fn fan_out(bench: &mut Bench) {
    if !bench.wants(SUITE, "fan-out") {
        return;
    }
    let guest = hart_build::guest("fan-out-http");
    let servers = [&[][..], &["--workers", "1"]]
        .map(|options| Server::start_with(&Side::Hart, options, &guest));
    let ask = |server: &Server| {
        let start = Instant::now();
        client::once(server.address(), "/8/10000000");
        start.elapsed().as_secs_f64() * 1e3
    };
    // Code and pools are warm afterwards.
    let _ = servers.each_ref().map(ask);
    let rounds = if bench.is_quick() { 5 } else { 15 };
    let (times, repeated) = bench.repeat(rounds, |_| servers.each_ref().map(ask));
    let of = |side: usize| -> Vec<f64> { times.iter().map(|times| times[side]).collect() };
    let ratios: Vec<f64> = times.iter().map(|[all, one]| one / all).collect();
    bench.record(Row {
        suite: SUITE,
        case: "fan-out".into(),
        unit: "ms",
        hart: median(&of(0)),
        peer: median(&of(1)),
        peer_name: "one worker",
        ratio: median(&ratios),
        rounds: times.len(),
        repeated,
        figures: Vec::new(),
    });
}

/// A file of this process's, until it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("hart-bench-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn text(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It may not be there.
        let _ = std::fs::remove_file(&self.0);
    }
}
