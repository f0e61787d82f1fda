//! Connections between two requests.

use super::{Answer, Server, get, read_all};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

const KEPT: &str = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Reads until the answer of `/hello` is there.
fn hello(stream: &mut TcpStream) {
    let mut answered = Vec::new();
    // Its body is in chunks.
    while !answered.ends_with(b"0\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("it is answered");
        answered.push(byte[0]);
    }
    assert_eq!(Answer::read(&answered).text(), "hello");
}

/// Hunts bytes that are lost, or seen twice, because the connection changes hands behind a request.
#[test]
fn requests_that_come_in_pieces_are_answered() {
    let server = Server::lab(&[]);
    let (first, rest) = KEPT.split_at(25);
    let mut stream = server.connect();
    // The beginning of the next one comes with the last one.
    let mut bytes = KEPT.to_owned();
    for _ in 0..20 {
        bytes += first;
        stream.write_all(bytes.as_bytes()).unwrap();
        hello(&mut stream);
        bytes = rest.to_owned();
    }
    // Several at once, and the last of them closes.
    bytes += &KEPT.repeat(3);
    stream.write_all(bytes.as_bytes()).unwrap();
    for _ in 0..4 {
        hello(&mut stream);
    }
    stream.write_all(&get("/hello")).unwrap();
    assert_eq!(Answer::read(&read_all(&mut stream)).text(), "hello");
}

/// Hunts a body that nobody has read, and that is taken for a request once the response is out.
#[test]
fn what_is_left_of_a_body_is_no_request() {
    let server = Server::lab(&[]);
    let body = String::from_utf8(get("/hello")).unwrap();
    let length = body.len();
    // The first goes on for a while with the body in its hands, the other never had it.
    for path in ["/after/500", "/ignore-body"] {
        let mut stream = server.connect();
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answered = Vec::new();
        let mut part = [0; 1024];
        while !answered.ends_with(b"0\r\n\r\n") {
            let count = stream.read(&mut part).unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&answered));
            answered.extend_from_slice(&part[..count]);
        }
        // The server may have closed the connection instead of reading it.
        let _ = stream.write_all(body.as_bytes());
        answered.extend(read_all(&mut stream));
        let text = String::from_utf8_lossy(&answered);
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{path}: {text}");
    }
}

/// Hunts buffers that are kept for connections which wait for their next request, and connections that are lost there.
#[test]
fn connections_that_wait_hold_little() {
    const CONNECTIONS: usize = 400;
    let server = Server::lab(&[]);
    let open = || {
        let mut stream = server.connect();
        stream.write_all(KEPT.as_bytes()).unwrap();
        hello(&mut stream);
        stream
    };
    // What the first ones take is there for good.
    let some: Vec<_> = (0..50).map(|_| open()).collect();
    let before = server.resident();
    let mut more: Vec<_> = (0..CONNECTIONS).map(|_| open()).collect();
    let each = server.resident().saturating_sub(before) / CONNECTIONS as u64;
    assert!(each < 12 << 10, "{each} bytes");
    for stream in &mut more {
        stream.write_all(KEPT.as_bytes()).unwrap();
        hello(stream);
    }
    drop(some);
}

/// Hunts a client that holds a connection without a word, and one that is cut off though it has had its answer.
#[test]
fn whoever_says_nothing_is_not_waited_for() {
    let server = Server::lab(&["--header-timeout", "50ms"]);
    let mut silent = server.connect();
    let mut kept = server.connect();
    kept.write_all(KEPT.as_bytes()).unwrap();
    hello(&mut kept);
    let mut slow = server.connect();
    slow.write_all(KEPT.as_bytes()).unwrap();
    hello(&mut slow);
    slow.write_all(b"GET /hel").unwrap();
    assert!(read_all(&mut silent).is_empty());
    assert!(read_all(&mut kept).is_empty());
    let _ = read_all(&mut slow);
}
