//! What watching costs: the same server, or run, with and without it, by the CPU time that a request or a run takes.
//!
//! CPU time and not requests a second, because on a small machine the clients take a part of the cores. Both sides run in
//! turn, and a ratio is one of neighbours.

use super::{
    client,
    figures::{CONNECTIONS, figure},
    server::{Server, Side, ticks},
};
use crate::{
    measure::Bench,
    row::{Row, median},
};
use std::{
    ffi::OsString,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

const SUITE: &str = "observe";
const PEER: &str = "without";

/// Microseconds of a tick of `/proc`'s clock: it has a hundred of them in a second, everywhere.
const TICK: f64 = 10_000.0;

pub(crate) fn run(bench: &mut Bench) {
    let directory = std::env::temp_dir().join(format!("hart-observe-{}", std::process::id()));
    if let Err(error) = std::fs::create_dir_all(&directory) {
        eprintln!(
            "hart-bench: {}: {error}: no row of `{SUITE}`",
            directory.display()
        );
        return;
    }
    let socket = directory.join("hart.sock").into_os_string();
    let admin: [OsString; 2] = ["--admin".into(), socket.clone()];
    let flight: [OsString; 5] = [
        "--flight-recorder".into(),
        "--flight-directory".into(),
        directory.clone().into(),
        "--flight-stall".into(),
        "0s".into(),
    ];
    hello(bench, "hello/metrics", [&admin, &[]], None);
    hello(bench, "hello/flight", [&flight, &[]], None);
    match collector() {
        Ok(collector) => {
            let sampled = [
                "--otlp",
                &format!("http://{collector}"),
                "--otlp-protocol",
                "http",
            ];
            let sampled = sampled.into_iter().chain(["--otlp-sample", "1%"]);
            let sampled: Vec<OsString> = sampled.map(Into::into).collect();
            hello(bench, "hello/otlp", [&sampled, &[]], None);
        }
        Err(error) => {
            eprintln!("hart-bench: no collector listens: {error}: no row of `{SUITE}/hello/otlp`")
        }
    }
    let other = directory.join("other.sock").into_os_string();
    hello(
        bench,
        "hello/top",
        [&admin, &["--admin".into(), other]],
        Some(&socket),
    );
    tree(bench, "tree/metrics", &admin);
    tree(bench, "tree/flight", &flight);
    let _ = std::fs::remove_dir_all(&directory);
}

/// The CPU time of a request, with these options and with those; `top` is attached to the first.
fn hello(bench: &mut Bench, case: &str, options: [&[OsString]; 2], top: Option<&OsString>) {
    if !bench.wants(SUITE, case) {
        return;
    }
    let guest = hart_build::guest("hello-http");
    let servers = options.map(|options| Server::start_with(&Side::Hart, options, &guest));
    let _top = top.map(Top::start);
    let span = Duration::from_millis(500);
    let each = |server: &Server| {
        let before = server.cpu_ticks();
        let load = client::closed(server.address(), "/hello", CONNECTIONS, span);
        (server.cpu_ticks() - before) as f64 * TICK / load.answered().max(1) as f64
    };
    for server in &servers {
        each(server);
    }
    let rounds = if bench.is_quick() { 15 } else { 61 };
    compare(bench, case, "us", rounds, |side| each(&servers[side]));
}

/// The CPU time of a run that spawns thousands of tasks which do nearly nothing.
fn tree(bench: &mut Bench, case: &str, options: &[OsString]) {
    if !bench.wants(SUITE, case) {
        return;
    }
    let program = Side::Hart.program().expect("it was looked for");
    let guest = hart_build::guest("tree");
    let each = |options: &[OsString]| {
        let before = children_ticks();
        let mut command = Command::new(&program);
        command.arg("run").args(options).arg(&guest).arg("14");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.status().expect("the program starts");
        assert!(status.success(), "{status}");
        (children_ticks() - before) as f64 * TICK / 1e3
    };
    each(options);
    let rounds = if bench.is_quick() { 7 } else { 31 };
    compare(bench, case, "ms", rounds, |side| {
        each(if side == 0 { options } else { &[] })
    });
}

/// Both sides in turn.
fn compare(
    bench: &mut Bench,
    case: &str,
    unit: &'static str,
    rounds: usize,
    each: impl Fn(usize) -> f64,
) {
    let (pairs, repeated) = bench.repeat(rounds, |round| {
        // Whoever is second finds a warmer machine: take turns.
        if round % 2 == 0 {
            let with = each(0);
            (with, each(1))
        } else {
            let without = each(1);
            (each(0), without)
        }
    });
    let (with, without): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let ratios: Vec<f64> = pairs.iter().map(|(with, without)| without / with).collect();
    let more: Vec<f64> = ratios
        .iter()
        .map(|ratio| (1.0 / ratio - 1.0) * 100.0)
        .collect();
    bench.record(Row {
        suite: SUITE,
        case: case.to_owned(),
        unit,
        hart: median(&with),
        peer: median(&without),
        peer_name: PEER,
        ratio: median(&ratios),
        rounds,
        repeated,
        figures: vec![figure("costs", "%", &more, None)],
    });
}

/// What takes everything that it is sent by OTLP, and says so.
fn collector() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || while taken(&stream).is_ok() {});
        }
    });
    Ok(address)
}

/// Takes one request.
fn taken(mut stream: &TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(count) = line.strip_prefix("content-length:") {
            length = count.trim().parse().unwrap_or(0);
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    stream.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n",
    )
}

/// `hart top`, which looks each second.
struct Top(Child);

impl Top {
    fn start(socket: &OsString) -> Self {
        let program = Side::Hart.program().expect("it was looked for");
        let mut command = Command::new(program);
        command
            .arg("top")
            .arg("--json")
            .arg(socket)
            .stdout(Stdio::null());
        Self(command.spawn().expect("the program starts"))
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Of all processes that this one has waited for.
fn children_ticks() -> u64 {
    ticks(Path::new("/proc/self/stat"), [15, 16])
}
