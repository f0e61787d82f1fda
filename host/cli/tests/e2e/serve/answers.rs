//! What requests are answered.

use super::{Answer, Server, get, post};
use std::io::{Read as _, Write as _};

/// Hunts guests of either version of WASI that are not answered as they answer.
#[test]
fn a_greeting_is_what_the_guest_says() {
    for guest in ["hello-http", "hello-http-async"] {
        let file = hart_build::guest(guest);
        let server = Server::start(&[], &file.to_string_lossy());
        for _ in 0..3 {
            let answer = server.get("/");
            assert_eq!((answer.status, &*answer.text()), (200, "Hello from hart"));
            assert_eq!(answer.header("content-type"), Some("text/plain"));
        }
        let head = server.ask(b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!((head.status, head.body.len()), (200, 0));
    }
}

/// Hunts bodies that are held whole, cut or mixed, and one direction that waits for the other's end.
#[test]
fn bodies_are_streams_both_ways() {
    // More than the guest may have.
    let server = Server::lab(&["-W", "max-memory=8MiB"]);
    let body: Vec<u8> = (0..32 << 20).map(|i: u32| (i / 7) as u8).collect();
    let echoed = server.ask(&post("/echo", &body));
    assert_eq!(echoed.status, 200);
    assert!(
        echoed.is_whole && echoed.body == body,
        "{}",
        echoed.body.len()
    );
    let down = server.get("/big/30000000");
    assert!(down.is_whole && down.body.len() == 30_000_000);
    assert!(server.resident() < 300 << 20, "{}", server.resident());

    // Each part comes back before the next one is sent.
    let mut stream = server.connect();
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    let mut answered = Vec::new();
    for part in ["first;", "second;", "third;"] {
        write!(stream, "{:x}\r\n{part}\r\n", part.len()).unwrap();
        while !answered.ends_with(format!("{part}\r\n").as_bytes()) {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answered.push(byte[0]);
        }
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    answered.extend(super::read_all(&mut stream));
    assert_eq!(Answer::read(&answered).text(), "first;second;third;");
}

/// Hunts a connection that is closed after an answer, or mixes up two.
#[test]
fn a_connection_has_many_requests() {
    let server = Server::lab(&[]);
    let mut stream = server.connect();
    for number in 0..50 {
        let path = format!("/header/x-number-{number}");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: a\r\nX-Number-{number}: {number}\r\n\r\n"
        )
        .unwrap();
        let mut answered = Vec::new();
        while !answered.ends_with(b"0\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answered.push(byte[0]);
        }
        assert_eq!(Answer::read(&answered).text(), number.to_string());
    }
    // Sent without waiting for answers, they are answered in order.
    let last = get("/header/x-b");
    let mut both = b"GET /header/x-a HTTP/1.1\r\nHost: a\r\nX-A: first\r\n\r\n".to_vec();
    both.extend_from_slice(&last[..last.len() - 2]);
    both.extend_from_slice(b"X-B: second\r\n\r\n");
    stream.write_all(&both).unwrap();
    let answered = String::from_utf8(super::read_all(&mut stream)).unwrap();
    let [first, second] = ["first", "second"].map(|word| answered.find(word).unwrap());
    assert!(first < second, "{answered}");
}

/// Hunts a client that waits for ever for leave to send its body, and trailers that are lost.
#[test]
fn continue_is_said_and_trailers_are_passed_on() {
    let server = Server::lab(&[]);
    let mut stream = server.connect();
    stream
        .write_all(b"POST /count-body HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        .unwrap();
    let mut head = [0; 25];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"12345").unwrap();
    assert_eq!(Answer::read(&super::read_all(&mut stream)).text(), "5");

    let asked = b"GET /trailers HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTE: trailers\r\n\r\n";
    let answered = String::from_utf8(server.send(asked)).unwrap();
    assert!(answered.contains("body\n"), "{answered}");
    // hyper sends those of HTTP/1.1 that a `Trailer` header has announced; the guest announced none.
    assert!(answered.ends_with("0\r\n\r\n"), "{answered}");
}

/// Hunts headers that a guest could forge with, and a length that is not the body's.
#[test]
fn what_a_guest_must_not_set_it_cannot() {
    let server = Server::lab(&[]);
    let refused = server.text("/forbidden-header");
    assert_eq!(refused, "connection transfer-encoding upgrade host");
    assert_eq!(server.text("/hello"), "hello");
    for length in ["3", "60"] {
        let answered = server.send(&get(&format!("/wrong-length/{length}")));
        let text = String::from_utf8_lossy(&answered);
        let whole = text.contains("200 OK") && Answer::read(&answered).is_whole;
        let body = text.split("\r\n\r\n").nth(1).unwrap_or_default();
        assert!(!whole || body.len() == 3, "{length}: {text}");
    }
    assert_eq!(server.text("/hello"), "hello");
}
