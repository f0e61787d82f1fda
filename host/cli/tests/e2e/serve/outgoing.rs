//! Requests that guests send.

use super::Server;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::thread;

/// Answers every request with a redirect to `/next` of itself, or with what it is.
fn upstream() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let head = match first.contains("/redirect") {
                true => "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2:1/\r\n",
                false => "HTTP/1.1 200 OK\r\n",
            };
            let _ = write!(
                stream,
                "{head}Content-Length: 4\r\nConnection: close\r\n\r\nbody"
            );
        }
    });
    address
}

/// Hunts a request that goes where nobody said that it may, and one that does not go where it may.
#[test]
pub(crate) fn guests_send_requests_to_what_was_allowed() {
    let upstream = upstream();
    let port = upstream.split(':').nth(1).unwrap();
    let other = format!("localhost:{port}");
    let fetch = |server: &Server, target: &str| server.text(&format!("/fetch/{target}"));
    let denied = "ErrorCode::HttpRequestDenied";

    let server = Server::lab(&[]);
    assert_eq!(fetch(&server, &upstream), denied);
    let server = Server::lab(&["-S", "inherit-network"]);
    assert_eq!(fetch(&server, &upstream), denied);

    let server = Server::lab(&["--allow-http", &upstream]);
    assert_eq!(fetch(&server, &upstream), "200 Some(4)");
    assert_eq!(fetch(&server, &format!("{upstream}/a/b")), "200 Some(4)");
    // A redirect is the guest's to follow, and no more allowed than any other.
    assert_eq!(
        fetch(&server, &format!("{upstream}/redirect")),
        "302 Some(4)"
    );
    assert_eq!(fetch(&server, "127.0.0.2:1"), denied);
    assert_eq!(fetch(&server, &other), denied);
    assert_eq!(
        fetch(&server, &format!("x@{upstream}")),
        "ErrorCode::HttpRequestUriInvalid"
    );

    let server = Server::lab(&["--allow-http", &other]);
    assert_eq!(fetch(&server, &other), "200 Some(4)");
    assert_eq!(fetch(&server, &upstream), denied);

    let server = Server::lab(&["-S", "http"]);
    assert_eq!(fetch(&server, &upstream), "200 Some(4)");
    assert_eq!(fetch(&server, &other), "200 Some(4)");
}
