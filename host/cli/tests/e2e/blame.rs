//! `hart blame`, against a server that serves one after the other, and against `hart serve`.

use crate::serve::Server;
use crate::support::{Scratch, hart};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

/// How long its slow route takes.
const SLOW: Duration = Duration::from_millis(200);

/// A server with one thread: whoever asks while it is busy waits. `/broken` closes without an answer, `/refused` is an error.
/// It goes on until the process ends.
fn one_after_the_other() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = Vec::new();
            let mut part = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read(&mut part) {
                    Ok(read) if read > 0 => request.extend_from_slice(&part[..read]),
                    _ => break,
                }
            }
            if request.starts_with(b"GET /slow ") {
                thread::sleep(SLOW);
            }
            let status = match () {
                () if request.starts_with(b"GET /broken ") => continue,
                () if request.starts_with(b"GET /refused ") => "503 Busy",
                () => "200 OK",
            };
            // Whoever has gone waits for nothing.
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
            );
        }
    });
    address
}

fn rows(json: &str) -> Vec<serde_json::Value> {
    serde_json::from_str(json).unwrap()
}

/// Hunts a client that waits for an answer before it asks again, so that a server that stalls looks fine; and routes that
/// are blamed for what they do not do.
#[test]
pub(crate) fn who_stalls_others_is_named() {
    let address = one_after_the_other();
    let scratch = Scratch::new();
    let picture = scratch.path().join("blame.svg");
    let url = |path: &str| format!("http://{address}{path}");
    let blamed = hart([
        "blame",
        "--json",
        "--rate=10",
        "--time=1s",
        "--load=4",
        "--timeout=20s",
        "--picture",
        &picture.to_string_lossy(),
        &url("/quick"),
        &url("/slow"),
    ])
    .exits(1);
    assert!(
        blamed.stderr.contains("/slow slows /quick: p99 "),
        "{blamed:#?}"
    );
    assert!(!blamed.stderr.contains("/quick slows"), "{blamed:#?}");
    let rows = rows(&blamed.stdout);
    assert_eq!(rows.len(), 4, "{blamed:#?}");
    for row in &rows {
        assert_eq!((&row["asked"], &row["answered"]), (&10.into(), &10.into()));
    }
    // It takes five at a time 200 ms each, one after the other.
    let beside = rows
        .iter()
        .find(|row| row["url"] == url("/quick").as_str() && row["beside"] == url("/slow").as_str());
    let beside = beside.expect("it was measured");
    assert!(beside["p50_ms"].as_f64().unwrap() > 200.0, "{rows:#?}");
    let svg = std::fs::read_to_string(&picture).unwrap();
    assert!(svg.contains("/quick beside /slow"), "{svg}");

    // Slower than alone by 20,000 times it is not.
    hart([
        "blame",
        "--rate=5",
        "--time=200ms",
        "--load=1",
        "--at-most=20000",
        &url("/quick"),
        &url("/slow"),
    ])
    .exits(0);
}

/// Hunts a server that is left with what the load began, and a table without a route.
#[test]
pub(crate) fn routes_of_hart_are_measured() {
    let server = Server::lab(&[]);
    let url = |path: &str| format!("http://{}{path}", server.address);
    let measured = hart([
        "blame",
        "--rate=20",
        "--time=500ms",
        "--load=2",
        "--at-most=1000000",
        &url("/"),
        &url("/header/x-a"),
        &url("/big/100000"),
    ])
    .exits(0);
    let table = &measured.stdout;
    assert_eq!(table.lines().count(), 10, "{table}");
    for row in [
        "/ alone",
        "/ beside /big/100000",
        "/big/100000 beside /header/x-a",
    ] {
        assert!(table.contains(row), "{table}");
    }
}

/// Hunts a server that dies under a load, and whose refusals at once look fast.
#[test]
fn who_makes_a_server_refuse_others_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let loaded = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let loaded = loaded.clone();
            thread::spawn(move || {
                use std::sync::atomic::Ordering::SeqCst;
                let mut request = [0; 1024];
                let read = stream.read(&mut request).unwrap_or(0);
                let is_load = request[..read].starts_with(b"GET /load ");
                if is_load {
                    loaded.fetch_add(1, SeqCst);
                    thread::sleep(SLOW);
                }
                if is_load || loaded.load(SeqCst) < 3 {
                    let _ = write!(
                        stream,
                        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
                    );
                }
                if is_load {
                    loaded.fetch_sub(1, SeqCst);
                }
            });
        }
    });
    let url = |path: &str| format!("http://{address}{path}");
    let blamed = hart([
        "blame",
        "--rate=10",
        "--time=500ms",
        "--load=8",
        "--timeout=3s",
        &url("/dies"),
        &url("/load"),
    ])
    .exits(1);
    assert!(blamed.stderr.contains("/load slows /dies"), "{blamed:#?}");
}

/// Hunts another's server that is loaded by a slip, and what cannot be measured that looks measured.
#[test]
pub(crate) fn what_cannot_be_blamed_is_said() {
    let address = one_after_the_other();
    let url = |path: &str| format!("http://{address}{path}");
    for (arguments, says) in [
        (vec![url("/one")], "name two"),
        (
            vec![url("/one"), "http://192.0.2.1/".into()],
            "--i-own-this-server",
        ),
        (
            vec![url("/one"), "https://localhost/".into()],
            "without TLS",
        ),
        (vec![url("/one"), "no url".into()], "write http://"),
        (vec![url("/broken"), url("/one")], "does not answer"),
        (vec![url("/one"), url("/refused")], "only with errors"),
        (
            vec!["--load=1001".into(), url("/a"), url("/b")],
            "up to 1000",
        ),
        (
            vec!["--rate=20000".into(), url("/a"), url("/b")],
            "up to 10000",
        ),
        (vec!["--time=1h".into(), url("/a"), url("/b")], "up to 10m"),
        (
            vec!["--at-most=x".into(), url("/a"), url("/b")],
            "--at-most",
        ),
    ] {
        let mut line = vec![
            "blame".to_owned(),
            "--rate=10".into(),
            "--time=100ms".into(),
        ];
        // The last one that is given counts.
        line.retain(|option| {
            let name = option.split('=').next().unwrap_or_default();
            name == "blame"
                || !arguments
                    .iter()
                    .any(|other: &String| other.starts_with(name))
        });
        line.extend(arguments);
        let refused = hart(&line).exits(2);
        assert!(refused.stderr.contains(says), "{says}: {refused:#?}");
    }
}
