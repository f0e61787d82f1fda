//! What requests and answers may look like: one table for HTTP/1, one for HTTP/2.

use super::raw_http2::{Raw, request};
use super::{Answer, Server, get};

/// Hunts requests that servers read in two ways, answers that a guest must not give, and refusals that never arrive.
#[test]
fn requests_are_read_in_one_way_or_refused() {
    let server = Server::lab(&[]);
    let host = "Host: a\r\nConnection: close\r\n";
    let chunked = "Host: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n";
    for (head, rest, status, said) in [
        // Targets.
        (
            "GET /target?a HTTP/1.1",
            host.to_owned(),
            200,
            "a /target?a",
        ),
        (
            "GET http://b.c:81/target HTTP/1.1",
            host.into(),
            200,
            "b.c:81 /target",
        ),
        (
            "GET https://b.c/scheme HTTP/1.1",
            host.into(),
            200,
            "Some(Scheme::Http)",
        ),
        (
            "GET http://u@b.c/target HTTP/1.1",
            host.into(),
            400,
            "one host",
        ),
        ("OPTIONS * HTTP/1.1", host.into(), 404, ""),
        ("GET * HTTP/1.1", host.into(), 400, "no path"),
        ("GET target HTTP/1.1", host.into(), 400, "no path"),
        ("GET ?a HTTP/1.1", host.into(), 400, ""),
        ("CONNECT a:80 HTTP/1.1", host.into(), 501, "no proxy"),
        ("TRACE /hello HTTP/1.1", host.into(), 200, "hello"),
        // Hosts.
        (
            "GET /target HTTP/1.1",
            "Host: [::1]:80\r\nConnection: close\r\n".into(),
            200,
            "[::1]:80 /target",
        ),
        (
            "GET /hello HTTP/1.1",
            "Connection: close\r\n".into(),
            400,
            "no host",
        ),
        (
            "GET /hello HTTP/1.1",
            format!("Host: b\r\n{host}"),
            400,
            "one host",
        ),
        (
            "GET /hello HTTP/1.1",
            "Host: \r\nConnection: close\r\n".into(),
            400,
            "one host",
        ),
        (
            "GET /hello HTTP/1.1",
            "Host: a/b\r\nConnection: close\r\n".into(),
            400,
            "one host",
        ),
        (
            "GET /hello HTTP/1.1",
            "Host: u@a\r\nConnection: close\r\n".into(),
            400,
            "one host",
        ),
        (
            "GET /hello HTTP/1.1",
            "Host: a:b\r\nConnection: close\r\n".into(),
            400,
            "one host",
        ),
        (
            "GET /hello HTTP/1.1",
            "Host: ::1\r\nConnection: close\r\n".into(),
            400,
            "one host",
        ),
        // Versions. A health check of HTTP/1.0 names no host.
        (
            "OPTIONS /target HTTP/1.0",
            String::new(),
            200,
            "localhost /target",
        ),
        ("GET /hello HTTP/1.2", host.into(), 400, ""),
        ("GET /hello", String::new(), 400, ""),
        // Bodies.
        (
            "POST /trailers-of HTTP/1.1",
            format!("{chunked}\r\n3;a=\"b\"\r\nabc\r\n0;c\r\nx-a: 1\r\nx-b: 2\r\n"),
            200,
            "x-a,x-b",
        ),
        (
            "POST /count-body HTTP/1.1",
            format!("{chunked}\r\n3;{}\r\nabc\r\n0\r\n", "a".repeat(100_000)),
            200,
            "-1",
        ),
        (
            "POST /count-body HTTP/1.1",
            format!("{chunked}\r\n0\r\nx: {}\r\n", "a".repeat(100_000)),
            200,
            "-1",
        ),
        (
            "POST /count-body HTTP/1.1",
            format!("{chunked}Transfer-Encoding: chunked\r\n\r\n0\r\n"),
            501,
            "chunked",
        ),
        (
            "POST /hello HTTP/1.1",
            format!("{host}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n"),
            501,
            "chunked",
        ),
        (
            "POST /hello HTTP/1.0",
            format!("{host}Transfer-Encoding: chunked\r\n\r\n0\r\n"),
            400,
            "",
        ),
        (
            "POST /hello HTTP/1.1",
            format!("{host}Content-Length: 99999999999999999999\r\n"),
            400,
            "",
        ),
        // Upgrades and expectations that nobody fulfils.
        (
            "GET /hello HTTP/1.1",
            "Host: a\r\nConnection: close, Upgrade\r\nUpgrade: h2c, websocket\r\n".into(),
            200,
            "hello",
        ),
        (
            "POST /count-body HTTP/1.1",
            format!("{host}Expect: pigs-fly\r\nContent-Length: 1\r\n\r\nx"),
            200,
            "1",
        ),
        // Answers that are none.
        ("GET /status/101 HTTP/1.1", host.into(), 500, "status 101"),
        ("GET /status/103 HTTP/1.1", host.into(), 500, "status 103"),
        ("GET /status/204 HTTP/1.1", host.into(), 204, ""),
        // Too much.
        (
            "GET /hello HTTP/1.1",
            format!("{host}{}", "x: y\r\n".repeat(101)),
            431,
            "",
        ),
    ] {
        let answer = server.ask(format!("{head}\r\n{rest}\r\n").as_bytes());
        assert_eq!(answer.status, status, "{head} {rest:.200}: {answer:?}");
        let text = String::from_utf8_lossy(&answer.body);
        assert!(text.contains(said), "{head} {rest:.200}: {text}");
    }
    let long = format!("GET /hello?{} HTTP/1.1\r\n{host}\r\n", "x".repeat(70_000));
    assert_eq!(server.ask(long.as_bytes()).status, 431);
    // An answer comes also where bytes come behind its request.
    for behind in ["\r\n", "GET /hel"] {
        let mut bytes = get("/hello");
        bytes.extend_from_slice(behind.as_bytes());
        assert_eq!(server.ask(&bytes).text(), "hello", "{behind:?}");
    }
    let kept = "GET /target HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(server.ask(kept.as_bytes()).text(), "a /target");
    // The head of an answer to HEAD is followed by the next answer.
    let two = "HEAD /wrong-length/60 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned();
    let answered = server.send(&[two.as_bytes(), &get("/hello")].concat());
    let answered = String::from_utf8(answered).unwrap();
    let heads: Vec<&str> = answered.split("HTTP/1.1 200 OK").collect();
    assert!(
        heads.len() == 3 && heads[1].ends_with("\r\n\r\n"),
        "{answered}"
    );
}

/// Hunts a guest of WASI 0.3 that is told less than one of 0.2, and answers of its that are none or lose their trailers.
#[test]
fn guests_of_the_newer_version_are_no_different() {
    let lab = hart_build::guest("http-lab-async");
    let server = Server::start(&[], &lab.to_string_lossy());
    assert_eq!(server.text("/target"), "localhost /target");
    for (path, status) in [("/status/101", 500), ("/trap", 500), ("/error-code", 500)] {
        assert_eq!(server.get(path).status, status, "{path}");
    }
    for path in ["/trap-in-body", "/wrong-length/60"] {
        let answered = server.send(&get(path));
        // Where a body breaks at once, hyper closes before the head is sent.
        if answered.is_empty() {
            continue;
        }
        let answer = Answer::read(&answered);
        assert!(
            answer.status == 500 || !answer.is_whole,
            "{path}: {answer:?}"
        );
    }
    let mut raw = Raw::connect(&server);
    raw.send(1, "POST", "/echo", false);
    raw.write(0, 0, 1, b"abc");
    // A header with a name of three bytes and a value of one, and the end of the stream.
    raw.write(1, 5, 1, b"\x00\x03x-a\x011");
    let (frames, data) = raw.answer(1);
    assert_eq!(data, b"abc");
    // Head, body, trailers.
    let kinds: Vec<u8> = frames.iter().map(|frame| frame.kind).collect();
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), (1, 1), "{frames:?}");
    assert!(frames.len() > 2, "{frames:?}");
}

/// Hunts what of HTTP/2 is another thing than in HTTP/1.
#[test]
fn streams_are_read_in_one_way_or_refused() {
    let server = Server::lab(&[]);
    let mut raw = Raw::connect(&server);
    let mut number = 1;
    // The status is the first byte of the head: an index of HPACK's table, or 0x48 and the digits.
    let (ok, empty, bad, failed, other) =
        (Some(0x88), Some(0x89), Some(0x8c), Some(0x8e), Some(0x48));
    for (method, path, more, status, said) in [
        ("GET", "/target", &[][..], ok, "a /target"),
        // A body after it would break the protocol.
        ("HEAD", "/big/100000", &[], ok, ""),
        ("GET", "/status/204", &[], empty, ""),
        ("GET", "/status/101", &[], failed, "status 101"),
        ("CONNECT", "", &[], other, "no proxy"),
        ("GET", "*", &[], bad, "no path"),
        (
            "GET",
            "/target",
            &[("host", "b"), ("host", "c")],
            bad,
            "one host",
        ),
        ("GET", "/hello", &[("connection", "close")], None, ""),
        (
            "GET",
            "/hello",
            &[("transfer-encoding", "chunked")],
            None,
            "",
        ),
    ] {
        raw.write(1, 5, number, &request(method, path, more));
        let (frames, data) = raw.answer(number);
        let text = String::from_utf8_lossy(&data).into_owned();
        let head = frames.iter().find(|frame| frame.kind == 1);
        assert_eq!(
            head.map(|frame| frame.payload[0]),
            status,
            "{method} {path}: {frames:?}"
        );
        assert!(
            text.contains(said) && said.is_empty() == text.is_empty(),
            "{method} {path}: {text}"
        );
        number += 2;
    }
    assert_eq!(server.text("/hello"), "hello");
}
