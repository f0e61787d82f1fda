//! Clients that send what they should not.

use super::{Answer, Server, get, post};
use std::io::Write as _;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Whether it is refused, or the connection closed, without a second request being seen in it.
fn is_refused(answered: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answered);
    text.is_empty() || (text.starts_with("HTTP/1.1 400") && text.matches("HTTP/1.1 ").count() == 1)
}

/// Hunts two readings of where a request ends.
#[test]
fn requests_cannot_be_smuggled() {
    let server = Server::lab(&[]);
    let smuggled = "GET /hello HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n";
    let length = smuggled.len();
    for head in [
        "Content-Length: 0\r\nContent-Length: 5".to_owned(),
        "Content-Length: 5\r\nContent-Length: 0".to_owned(),
        "Content-Length: 0, 5".to_owned(),
        "Content-Length: +5".to_owned(),
        "Content-Length: -1".to_owned(),
        "Content-Length: 5 5".to_owned(),
        "Transfer-Encoding: xchunked".to_owned(),
        "Transfer-Encoding : chunked".to_owned(),
        "Transfer-Encoding: chunked, identity".to_owned(),
        format!("X: y\r\n Content-Length: {length}"),
        "Content Length: 5".to_owned(),
        ": 5".to_owned(),
    ] {
        let bytes = format!("POST /count-body HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n{smuggled}");
        let answered = server.send(bytes.as_bytes());
        assert!(
            is_refused(&answered),
            "{head}: {}",
            String::from_utf8_lossy(&answered)
        );
    }
    // Where both are there, the chunks count, and the connection is not used again.
    let both = format!(
        "POST /count-body HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
    );
    let answered = String::from_utf8_lossy(&server.send(both.as_bytes())).into_owned();
    assert!(!answered.contains("hello"), "{answered}");
    for chunks in [
        "g\r\n",
        "-1\r\nx",
        "5\rx",
        "1;\nx\r\n",
        "ffffffffffffffffff\r\nx",
        "2\r\nxxx\r\n0\r\n\r\n",
    ] {
        let head = "POST /count-body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        let answered = server.send(format!("{head}{chunks}").as_bytes());
        let text = String::from_utf8_lossy(&answered);
        // The guest is told of a body that broke off.
        assert!(
            text.is_empty() || text.contains("-1\n") || is_refused(&answered),
            "{chunks:?}: {text}"
        );
    }
    assert_eq!(server.text("/hello"), "hello");
}

/// Hunts bytes that end the server, or keep others from being answered.
#[test]
fn mutations_of_a_request_are_nobody_elses_problem() {
    let server = Server::lab(&["--header-timeout", "100ms", "--body-timeout", "100ms"]);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut answers = 0;
            while !over.load(Ordering::Relaxed) {
                assert_eq!(server.text("/hello"), "hello");
                answers += 1;
            }
            answers
        });
        let threads: Vec<_> = (0..4)
            .map(|seed| {
                let server = &server;
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    for _ in 0..2_500 {
                        let mut bytes = post("/echo", b"some body");
                        for _ in 0..random.usize(1..6) {
                            // There is always a byte left to work on.
                            let at = random.usize(..bytes.len());
                            match random.u8(..4) {
                                0 => bytes[at] = random.u8(..),
                                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                                2 => bytes.insert(at, b"\r\n :;\0\xff"[random.usize(..7)]),
                                _ => bytes.truncate(at.max(1)),
                            }
                        }
                        let mut stream = server.connect();
                        let _ = stream.write_all(&bytes);
                        let _ = stream.shutdown(Shutdown::Write);
                        super::read_all(&mut stream);
                    }
                })
            })
            .collect();
        // The others end in any case, or a failure would never be told.
        let ended: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        over.store(true, Ordering::Relaxed);
        assert!(ended.into_iter().all(|ended| ended.is_ok()));
        assert!(others.join().unwrap() > 0);
    });
}

/// Hunts memory that a client can take, and clients that take all of something.
#[test]
fn floods_and_slow_clients_do_not_keep_others_out() {
    let server = Server::lab(&[]);
    let before = server.resident();
    let large = format!(
        "GET /hello HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let answered = server.send(large.as_bytes());
    assert!(answered.is_empty() || answered.starts_with(b"HTTP/1.1 431"));
    let many: String = (0..100_000)
        .map(|number| format!("x{number}: y\r\n"))
        .collect();
    server.send(format!("GET /hello HTTP/1.1\r\nHost: a\r\n{many}\r\n").as_bytes());
    // Heads that never come.
    let slow: Vec<_> = (0..1_000)
        .map(|_| {
            let mut stream = server.connect();
            stream
                .write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\nX-Slow: ")
                .unwrap();
            stream
        })
        .collect();
    let mut tiny = b"POST /count-body HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..1_000_000 {
        tiny.extend_from_slice(b"1\r\nx\r\n");
    }
    tiny.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(server.ask(&tiny).text(), "1000000");
    assert_eq!(server.text("/hello"), "hello");
    assert!(
        server.resident() < before + (200 << 20),
        "{before} {}",
        server.resident()
    );
    drop(slow);

    // A body that nobody reads: the answer comes all the same.
    let mut stream = server.connect();
    stream
        .write_all(b"POST /ignore-body HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n")
        .unwrap();
    assert_eq!(
        Answer::read(&super::read_all(&mut stream)).text(),
        "ignored"
    );
    // A client that sends no more is taken for one that has gone, as by other servers.
    let mut stream = server.connect();
    stream.write_all(&get("/sleep/1000000")).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(super::read_all(&mut stream).is_empty());
}

/// Hunts a server that stops accepting for good when it has had no descriptor for a connection.
#[test]
fn connections_are_accepted_again_when_descriptors_are() {
    let lab = hart_build::guest("http-lab");
    let hart = crate::support::command();
    let line = format!(
        "ulimit -n 100; exec '{}' serve --addr 127.0.0.1:0 '{}'",
        hart.get_program().to_string_lossy(),
        lab.display()
    );
    let mut shell = std::process::Command::new("sh");
    for (key, value) in hart.get_envs() {
        match value {
            Some(value) => shell.env(key, value),
            None => shell.env_remove(key),
        };
    }
    let server = Server::run(shell.args(["-c", &line]));
    let many: Vec<_> = (0..170).map(|_| server.connect()).collect();
    drop(many);
    assert_eq!(server.text("/hello"), "hello");
}

/// Hunts heads and bodies that a guest has the host hold, as many as it has handles, and that no limit counts.
#[test]
fn what_a_guest_makes_of_http_is_memory_of_its_run() {
    let server = Server::lab(&["-W", "max-memory=16MiB"]);
    for what in ["fields", "copies", "paths", "bodies"] {
        let some = format!("/{what}/20");
        assert_eq!(server.text(&some), "20", "{what}");
        // Large enough that copies of it count.
        let padding = "x".repeat(14 << 10);
        let many = format!(
            "GET /{what}/4000 HTTP/1.1\r\nhost: here\r\nx-padding: {padding}\r\nconnection: close\r\n\r\n"
        );
        let answer = server.ask(many.as_bytes());
        assert_eq!(answer.status, 503, "{what}: {answer:?}");
        assert!(answer.text().contains("memory"), "{what}: {answer:?}");
    }
    assert_eq!(server.text("/method/20"), "Ok(())");
    assert_eq!(server.text("/method/1000000"), "Err(())");
    // Far less than what 4,000 of any of them would take.
    assert!(server.resident() < 150 << 20, "{}", server.resident());
}
