//! Long bodies, eight at once, both ways: bytes a second, and what the server's memory grows to meanwhile.

use super::{
    rows::{PEER, SUITE, figure},
    server::{Server, Side},
};
use crate::{measure::Bench, row::Row};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Bodies at once.
const AT_ONCE: usize = 8;

/// What a client does with so many bytes; says whether all went well.
type Client = fn(SocketAddr, u64) -> bool;

pub(super) fn run(bench: &mut Bench, sides: &[Side; 2]) {
    let ways: [(&str, Client); 2] = [("stream/down", down), ("stream/up", up)];
    for (case, client) in ways {
        row(bench, sides, case, client);
    }
}

fn row(bench: &mut Bench, sides: &[Side; 2], case: &str, client: Client) {
    if !bench.wants(SUITE, case) {
        return;
    }
    let bytes: u64 = if bench.is_quick() { 64 << 20 } else { 1 << 30 };
    let rounds = if bench.is_quick() { 1 } else { 3 };
    let servers = sides.each_ref().map(|side| Server::start(side, "http-lab"));
    let (all, repeated) = bench.repeat(rounds, |_| {
        servers
            .each_ref()
            .map(|server| stream(server, bytes, client))
    });
    let rates = |side: usize| -> Vec<f64> { all.iter().map(|both| both[side].0).collect() };
    let grown = |side: usize| -> Vec<f64> { all.iter().map(|both| both[side].1).collect() };
    let mut row = Row::of_rates(SUITE, case, PEER, &rates(0), &rates(1), repeated);
    row.unit = "MiB/s";
    row.figures = vec![figure("memory", "MiB", &grown(0), Some(&grown(1)))];
    bench.record(row);
}

/// MiB a second of all clients together, and the most MiB that the server had meanwhile.
fn stream(server: &Server, bytes: u64, client: Client) -> (f64, f64) {
    const MIB: f64 = (1 << 20) as f64;
    let over = AtomicBool::new(false);
    let (time, most) = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = server.resident().max(most);
                thread::sleep(Duration::from_millis(10));
            }
            most
        });
        let start = Instant::now();
        let clients: Vec<_> = (0..AT_ONCE)
            .map(|_| scope.spawn(|| client(server.address(), bytes)))
            .collect();
        for client in clients {
            assert!(client.join().is_ok_and(|is_whole| is_whole), "all arrives");
        }
        let time = start.elapsed();
        over.store(true, Ordering::Relaxed);
        (time, watch.join().unwrap_or(0))
    });
    let rate = (bytes * AT_ONCE as u64) as f64 / MIB / time.as_secs_f64();
    (rate, most as f64 / MIB)
}

fn down(address: SocketAddr, bytes: u64) -> bool {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let request =
        format!("GET /big/{bytes} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .expect("the server reads");
    let mut buffer = vec![0; 256 << 10];
    let mut read = 0;
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        read += count as u64;
    }
    // With head and chunks there are a few more.
    read >= bytes
}

fn up(address: SocketAddr, bytes: u64) -> bool {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let head = format!(
        "POST /count-body HTTP/1.1\r\nhost: localhost\r\ncontent-length: {bytes}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("the server reads");
    let buffer = vec![b'u'; 256 << 10];
    let mut left = bytes;
    while left > 0 {
        let part = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        stream.write_all(&buffer[..part]).expect("the server reads");
        left -= part as u64;
    }
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.contains(&bytes.to_string())
}
