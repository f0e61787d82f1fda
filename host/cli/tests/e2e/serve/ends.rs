//! How requests end that do not end well, and how the server ends.

use super::{Answer, Server, get, post};
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

/// Hunts a fault that takes more with it than its own request, or is told as another one.
#[test]
pub(crate) fn each_fault_has_its_status_and_nobody_else_notices() {
    let server = Server::lab(&["--timeout", "2s", "-W", "max-memory=64MiB"]);
    for (path, status, said) in [
        ("/trap", 500, "unreachable"),
        ("/no-response", 500, "no response"),
        ("/error-code", 500, "LoopDetected"),
        ("/spin/100000", 504, "timeout"),
        ("/sleep/100000", 504, "timeout"),
        ("/memory/100000000", 503, "memory"),
        ("/nothing-here", 404, ""),
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        let text = answer.text();
        assert!(
            text.contains(said) && text.lines().count() <= 1,
            "{path}: {text}"
        );
        assert_eq!(server.text("/hello"), "hello");
    }
}

/// Hunts an error that says more than it should.
#[test]
pub(crate) fn quiet_errors_say_nothing() {
    let server = Server::lab(&["--quiet-errors"]);
    let answer = server.get("/trap");
    assert_eq!(answer.status, 500);
    assert_eq!(answer.text(), "500 Internal Server Error");
}

/// Hunts half a body that is taken for a whole one.
#[test]
fn a_trap_in_the_body_breaks_it_off() {
    let server = Server::lab(&[]);
    for _ in 0..5 {
        let answered = server.send(&get("/trap-in-body"));
        // Where the trap comes before the head is sent, there may be nothing, or an error in its place.
        if !answered.is_empty() {
            let answer = Answer::read(&answered);
            assert!(!answer.is_whole || answer.status == 500, "{answer:?}");
        }
        assert_eq!(server.text("/hello"), "hello");
    }
}

/// Hunts an instance that is used again after it has trapped, more often than allowed, or after it should be gone.
#[test]
pub(crate) fn instances_are_used_as_often_as_allowed() {
    let server = Server::lab(&[]);
    assert_eq!([server.text("/count"), server.text("/count")], ["1", "1"]);
    // One at a time: a request that comes while the one before still ends would get an instance of its own.
    let server = Server::lab(&[
        "--max-concurrent-requests",
        "1",
        "--max-instance-reuse-count",
        "3",
        "--idle-instance-timeout",
        "1000s",
    ]);
    let counts: Vec<String> = (0..7).map(|_| server.text("/count")).collect();
    assert_eq!(counts, ["1", "2", "3", "1", "2", "3", "1"]);
    assert_eq!(server.get("/trap").status, 500);
    assert_eq!(server.text("/count"), "1");
    let server = Server::lab(&[
        "--max-instance-reuse-count",
        "9",
        "--idle-instance-timeout",
        "1ms",
    ]);
    assert_eq!(server.text("/count"), "1");
    let mut counts = (0..100).map(|_| {
        std::thread::sleep(Duration::from_millis(50));
        server.text("/count")
    });
    assert!(counts.any(|count| count == "1"));
}

/// Hunts a request that goes on after its client has gone: the next one waits for it here.
#[test]
fn a_client_that_goes_away_ends_its_request() {
    let server = Server::lab(&["--max-concurrent-requests", "1"]);
    for path in ["/spin/1000000", "/sleep/1000000", "/big/100000000000"] {
        let mut stream = server.connect();
        stream.write_all(&get(path)).unwrap();
        let busy = Server::load_is_one;
        busy(&server);
        drop(stream);
        assert_eq!(server.text("/hello"), "hello", "{path}");
    }
}

impl Server {
    /// Waits until a request runs. What can be seen of it from outside is that the next one is not answered.
    fn load_is_one(&self) {
        let mut stream = self.connect();
        stream.write_all(&get("/hello")).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let mut byte = [0];
        let _ = std::io::Read::read(&mut stream, &mut byte);
    }
}

/// Hunts a queue without an end, and a refusal that does not say when to come again.
#[test]
pub(crate) fn who_finds_the_queue_full_is_told_when_to_come_again() {
    let server = Server::lab(&[
        "--max-concurrent-requests",
        "1",
        "--max-queued-requests",
        "0",
    ]);
    let mut first = server.connect();
    first.write_all(&get("/spin/1000000")).unwrap();
    let busy = std::iter::repeat_with(|| server.get("/hello")).find(|answer| answer.status != 200);
    let busy = busy.unwrap();
    assert_eq!(busy.status, 503);
    assert!(busy.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert!(busy.text().contains("too many requests"), "{busy:?}");
    drop(first);
    // Once it is gone there is room.
    let mut later = std::iter::repeat_with(|| server.get("/hello").status);
    assert!(later.any(|status| status == 200));

    let server = Server::lab(&["--max-concurrent-requests", "1", "--queue-timeout", "50ms"]);
    let mut first = server.connect();
    first.write_all(&get("/spin/1000000")).unwrap();
    let mut later = std::iter::repeat_with(|| server.get("/hello").status);
    assert!(later.any(|status| status == 503));
}

/// Hunts guests that compute and keep others from being answered, on an instance each or on one that is used again.
#[test]
fn who_computes_holds_up_nobody() {
    for guest in ["http-lab"] {
        let file = hart_build::guest(guest);
        let server = Server::start(
            &["--max-instance-reuse-count", "100"],
            &file.to_string_lossy(),
        );
        let spins: Vec<TcpStream> = (0..32)
            .map(|_| {
                let mut stream = server.connect();
                stream.write_all(&get("/spin/10000000")).unwrap();
                stream
            })
            .collect();
        for _ in 0..50 {
            assert_eq!(server.text("/hello"), "hello");
        }
        // All of them are still at it.
        for stream in &spins {
            stream.set_nonblocking(true).unwrap();
            let mut byte = [0];
            let error = stream.peek(&mut byte).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        }
    }
}

/// Hunts a server that cuts off what it has begun, goes on for ever, or does not leave at once when it is told twice.
#[test]
pub(crate) fn signals_let_requests_end() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let server = Server::lab(&["--grace", "100s"]);
        let mut stream = server.connect();
        stream.write_all(&post("/echo", b"")[..]).unwrap();
        let mut slow = server.connect();
        slow.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n12")
            .unwrap();
        // The guest has it, as it sends back what it has got.
        let mut head = Vec::new();
        while !head.ends_with(b"12\r\n") {
            let mut byte = [0];
            std::io::Read::read_exact(&mut slow, &mut byte).unwrap();
            head.push(byte[0]);
        }
        server.signal(signal);
        // It accepts no more from now on.
        while TcpStream::connect(server.address).is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
        slow.write_all(b"34").unwrap();
        head.extend(super::read_all(&mut slow));
        assert_eq!(Answer::read(&head).text(), "1234");
        let (code, _, said) = server.wait();
        assert_eq!(code, Some(0), "{said}");
    }
    // A request that does not end is ended after the grace, or by a second signal.
    for (grace, signals, codes) in [
        ("100ms", 1, [Some(0); 2]),
        ("1000s", 2, [Some(130), Some(130)]),
    ] {
        let server = Server::lab(&["--grace", grace]);
        let mut stream = server.connect();
        stream.write_all(&get("/spin/10000000")).unwrap();
        assert_eq!(server.text("/hello"), "hello");
        for _ in 0..signals {
            server.signal(libc::SIGINT);
            while TcpStream::connect(server.address).is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let (code, _, said) = server.wait();
        assert!(codes.contains(&code), "{code:?} {said}");
    }
}
