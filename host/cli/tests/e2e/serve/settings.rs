//! The options of `hart serve` that no other test sees.

use super::{Server, get, post};
use crate::support::{Scratch, hart};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// An address that nobody listens on now.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Hunts a server that listens elsewhere, or is not ended by a connection to the address for that.
#[test]
pub(crate) fn a_connection_to_the_shutdown_address_ends_it() {
    let (address, shutdown) = (free_address(), free_address());
    let file = hart_build::guest("http-lab");
    let server = Server::run(
        crate::support::command()
            .args(["serve", "--addr", &address, "--shutdown-addr", &shutdown])
            .arg(file),
    );
    assert_eq!(server.address.to_string(), address);
    assert_eq!(server.text("/hello"), "hello");
    drop(TcpStream::connect(shutdown).unwrap());
    assert_eq!(server.wait().0, Some(0));

    // One that is taken is named, with the way out.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let hello = hart_build::guest("http-lab");
    let said = hart(["serve", "--addr", &taken, &hello.to_string_lossy()])
        .exits(1)
        .stderr;
    assert!(said.contains(&taken) && said.contains("--addr"), "{said}");
}

/// Hunts headers that do not reach the guest, or that a client can bring itself.
#[test]
pub(crate) fn headers_are_those_of_the_operator() {
    let scratch = Scratch::new();
    scratch.write("headers", "x-from-file: f\n\nx-two: 1\n");
    let from_file = format!("@{}", scratch.path().join("headers").display());
    let server = Server::lab(&["-H", "x-own: operator", "-H", &from_file, "-H", "x-two: 2"]);
    let ask = |name: &str| {
        let asked = format!(
            "GET /header/{name} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Own: client\r\nX-Client: c\r\n\r\n"
        );
        server.ask(asked.as_bytes()).text()
    };
    assert_eq!(ask("x-own"), "operator");
    assert_eq!(ask("x-from-file"), "f");
    assert_eq!(ask("x-two"), "1,2");
    assert_eq!(ask("x-client"), "c");
    for (wrong, why) in [
        ("x-own", "no `:`"),
        ("a b: c", "no name"),
        ("a: \n", ""),
        ("@none", "none"),
    ] {
        let file = hart_build::guest("http-lab");
        let failed = hart([
            "serve",
            "--addr",
            "127.0.0.1:x",
            "-H",
            wrong,
            &file.to_string_lossy(),
        ]);
        assert_eq!(failed.code(), 2, "{wrong} {why} {}", failed.stderr);
    }
}

/// Hunts requests that take more than the server gives them.
#[test]
pub(crate) fn heads_and_bodies_have_limits() {
    let server = Server::lab(&[
        "--max-header-size",
        "16KiB",
        "--max-body-size",
        "1000",
        "--header-timeout",
        "300ms",
        "--body-timeout",
        "300ms",
    ]);
    // By its own word too long, and longer than it says.
    assert_eq!(server.ask(&post("/count-body", &[b'x'; 1001])).status, 413);
    assert_eq!(
        server.ask(&post("/count-body", &[b'x'; 1000])).text(),
        "1000"
    );
    let mut chunked = b"POST /count-body HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    chunked.extend_from_slice(b"200\r\n");
    chunked.extend_from_slice(&[b'x'; 512]);
    chunked.extend_from_slice(b"\r\n200\r\n");
    chunked.extend_from_slice(&[b'x'; 512]);
    chunked.extend_from_slice(b"\r\n0\r\n\r\n");
    // The guest was told, and answers as it likes.
    assert_eq!(server.ask(&chunked).text(), "-1");
    // One that answers with an error has the client told what was wrong.
    let needed = String::from_utf8(chunked.clone()).unwrap();
    let needed = needed.replace("/count-body", "/need-body");
    assert_eq!(server.ask(needed.as_bytes()).status, 413);

    let large = format!(
        "GET /hello HTTP/1.1\r\nHost: a\r\nX-Large: {}\r\n\r\n",
        "x".repeat(64 << 10)
    );
    let answered = server.send(large.as_bytes());
    // What the client goes on to send may take the answer with it.
    assert!(
        answered.is_empty() || answered.starts_with(b"HTTP/1.1 431"),
        "{}",
        String::from_utf8_lossy(&answered)
    );

    // A head that does not come, of the first request or of the second. A body that does not come: the guest is told.
    let mut slow = server.connect();
    slow.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\n")
        .unwrap();
    assert_eq!(super::Answer::read(&super::read_all(&mut slow)).status, 408);
    let mut slow = server.connect();
    let kept = b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
    slow.write_all(kept).unwrap();
    slow.write_all(b"GET /hello HTTP/1.1\r\nHost").unwrap();
    let answers = super::read_all(&mut slow);
    let answers = String::from_utf8_lossy(&answers);
    let (first, second) = answers
        .split_once("hello")
        .expect("the first answer's body");
    assert!(first.starts_with("HTTP/1.1 200"), "{answers}");
    assert!(second.contains("HTTP/1.1 408"), "{answers}");
    // One that asks for nothing more is told nothing.
    let mut idle = server.connect();
    idle.write_all(kept).unwrap();
    let answers = super::read_all(&mut idle);
    assert!(answers.ends_with(b"0\r\n\r\n"), "{answers:?}");
    let mut slow = server.connect();
    slow.write_all(b"POST /count-body HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 9\r\n\r\nhalf").unwrap();
    let answer = super::Answer::read(&super::read_all(&mut slow));
    assert_eq!(answer.text(), "-1");
    let mut slow = server.connect();
    slow.write_all(b"POST /need-body HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 9\r\n\r\nhalf").unwrap();
    let answer = super::Answer::read(&super::read_all(&mut slow));
    assert_eq!(answer.status, 408);
    assert!(answer.text().contains("too slowly"), "{answer:?}");
    assert_eq!(server.text("/hello"), "hello");
}

/// Hunts a connection that is served although there are as many as allowed.
#[test]
pub(crate) fn connections_wait_for_others() {
    let server = Server::lab(&["--max-concurrent-connections", "1"]);
    let mut first = server.connect();
    first
        .write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).unwrap();
    let mut second = server.connect();
    second.write_all(&get("/hello")).unwrap();
    second
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    assert!(second.read(&mut byte).is_err(), "it waits");
    drop(first);
    second.set_read_timeout(Some(super::GUARD)).unwrap();
    second.read_exact(&mut byte).unwrap();
}

/// Hunts a receipt that is not there, or says nothing.
#[test]
pub(crate) fn a_response_says_what_it_took() {
    let server = Server::lab(&["--server-timing"]);
    let answer = server.get("/spin/30");
    let timing = answer.header("server-timing").unwrap();
    let cpu = timing
        .split("cpu;dur=")
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap();
    assert!(cpu.parse::<f64>().unwrap() > 0.0, "{timing}");
    for part in ["wait;dur=", "preempted;dur=", "memory;desc="] {
        assert!(timing.contains(part), "{timing}");
    }
    assert_eq!(Server::lab(&[]).get("/hello").header("server-timing"), None);
}

/// Hunts grants of the other subcommands that a served guest does not get.
#[test]
pub(crate) fn guests_get_what_is_granted() {
    let server = Server::lab(&["--env", "GREETING=hello there"]);
    assert_eq!(server.text("/env/GREETING"), "hello there");
    assert_eq!(server.text("/env/PATH"), "");
}

/// Hunts a file that is served and takes no requests, and options that mean nothing and are taken.
#[test]
pub(crate) fn what_cannot_be_served_is_told() {
    let hello = hart_build::guest("hello");
    let said = hart(["serve", &hello.to_string_lossy()]).exits(2).stderr;
    assert!(said.contains("takes no HTTP requests"), "{said}");
    let lab = hart_build::guest("http-lab");
    let lab = lab.to_string_lossy();
    for options in [
        ["--max-instance-concurrent-reuse-count", "2"],
        ["--max-concurrent-requests", "0"],
        ["--allow-http", "http://a.b/"],
        ["--addr", "nowhere"],
    ] {
        hart(["serve", options[0], options[1], &lab]).exits(2);
    }
    let server = Server::lab(&["--max-instance-concurrent-reuse-count", "1"]);
    assert_eq!(server.text("/hello"), "hello");
}
