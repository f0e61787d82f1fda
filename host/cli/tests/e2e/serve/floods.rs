//! Clients that send without an end, or read nothing: others are answered, and memory has a bound.

use super::raw_http2::{Raw, frame, request};
use super::{Server, get};
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

/// Hunts a client that reads nothing of its answer, and so keeps a guest and its place for ever.
#[test]
fn who_reads_nothing_gives_way() {
    let server = Server::lab(&[
        "--max-concurrent-requests",
        "1",
        "--queue-timeout",
        "1000s",
        "--body-timeout",
        "300ms",
    ]);
    let mut plain = server.connect();
    plain.write_all(&get("/big/100000000000")).unwrap();
    plain.read_exact(&mut [0]).unwrap();
    assert_eq!(server.text("/hello"), "hello");
    // A stream without a window, of a connection that is alive.
    let mut raw = Raw::connect(&server);
    raw.write(4, 0, 0, b"\x00\x04\x00\x00\x00\x00");
    raw.send(1, "GET", "/big/100000000000", true);
    while raw.read().unwrap().stream != 1 {}
    assert_eq!(server.text("/hello"), "hello");
    let (frames, _) = raw.answer(1);
    assert!(frames.iter().any(|frame| frame.kind == 3), "{frames:?}");
    // It is used as before.
    raw.write(4, 0, 0, b"\x00\x04\x00\x00\xff\xff");
    raw.send(3, "GET", "/hello", true);
    assert_eq!(raw.answer(3).1, b"hello\n");
}

/// The most that a client sends, bytes.
const MOST: usize = 16 << 20;

/// Hunts frames of HTTP/2 that cost a client nothing, and the server its memory or the others their answers.
#[test]
fn floods_of_frames_end_or_have_a_bound() {
    let server = Server::lab(&[]);
    assert_eq!(server.text("/hello"), "hello");
    let before = server.resident();
    let hello = request("GET", "/hello", &[]);
    let begun_and_reset = |turn: u32| {
        let stream = 2 * turn + 1;
        [
            frame(1, 5, stream, &hello),
            frame(3, 0, stream, b"\0\0\0\x08"),
        ]
        .concat()
    };
    // A header of 4,000 bytes in the table of HPACK, and then a request that names it 8,000 times.
    let entry = [b"\x40\x01x\x7f\xa1\x1e".to_vec(), vec![b'a'; 4000]].concat();
    let bomb = |turn: u32| match turn {
        0 => frame(1, 5, 1, &[&hello[..], &entry].concat()),
        _ => frame(1, 5, 2 * turn + 1, &[&hello[..], &[0xbe; 8000]].concat()),
    };
    let continued = |turn: u32| match turn {
        0 => frame(1, 1, 1, &hello),
        _ => frame(9, 0, 1, b"\x00\x01a\x01b"),
    };
    let empty = |turn: u32| match turn {
        0 => frame(1, 4, 1, &request("POST", "/count-body", &[])),
        _ => frame(0, 0, 1, b""),
    };
    type Flood<'a> = &'a (dyn Fn(u32) -> Vec<u8> + Sync);
    // Whether the client is sent away; otherwise the server takes no more than it answers.
    let floods: [(&str, Flood<'_>, bool); 6] = [
        ("resets", &begun_and_reset, true),
        ("bomb", &bomb, true),
        ("continuations", &continued, true),
        ("empty data", &empty, true),
        ("settings", &|_| frame(4, 0, 0, b""), false),
        ("pings", &|_| frame(6, 0, 0, b"12345678"), false),
    ];
    for (name, flood, is_ended) in floods {
        let mut raw = Raw::connect(&server);
        raw.0
            .set_write_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let mut reads = raw.0.try_clone().unwrap();
        thread::scope(|scope| {
            // Those who are sent away hear why; the others read nothing.
            let reader = is_ended.then(|| scope.spawn(move || super::read_all(&mut reads)));
            let writer = scope.spawn(|| {
                let mut sent = 0;
                for turn in 0.. {
                    let frames = flood(turn);
                    sent += frames.len();
                    if sent > MOST || raw.0.write_all(&frames).is_err() {
                        break;
                    }
                }
                sent
            });
            for _ in 0..3 {
                assert_eq!(server.text("/hello"), "hello", "{name}");
            }
            let sent = writer.join().unwrap();
            assert!(sent < MOST, "{name}");
            if let Some(reader) = reader {
                reader.join().unwrap();
            }
        });
        let _ = raw.0.shutdown(Shutdown::Both);
        let now = server.resident();
        assert!(now < before + (64 << 20), "{name}: {before} {now}");
    }
}
