//! What `-S` grants, seen by real sockets on loopback.

use crate::support::{Finished, Running, command, hart, root};
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Stdio;
use std::thread;

/// `hart -S GRANT probe ARGUMENTS`.
fn line(grant: &str, arguments: &[&str]) -> Vec<OsString> {
    let mut line: Vec<OsString> = Vec::new();
    if !grant.is_empty() {
        line.extend(["-S".into(), grant.into()]);
    }
    line.push(hart_build::guest("probe").into());
    line.extend(arguments.iter().map(OsString::from));
    line
}

fn probe(grant: &str, arguments: &[&str]) -> Finished {
    hart(line(grant, arguments))
}

/// Answers "pong" to every "ping" by TCP.
fn tcp() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut question = [0; 5];
            if stream.read_exact(&mut question).is_ok() && &question == b"ping\n" {
                let _ = stream.write_all(b"pong\n");
            }
        }
    });
    address
}

/// The same by UDP.
fn udp() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let mut question = [0; 16];
        while let Ok((size, from)) = socket.recv_from(&mut question) {
            assert_eq!(&question[..size], b"ping");
            let _ = socket.send_to(b"pong", from);
        }
    });
    address
}

/// Hunts a grant that grants nothing, more than it says, or nothing together with another one.
#[test]
pub(crate) fn every_network_key_grants_what_it_says() {
    let (tcp, udp) = (tcp(), udp());
    let tries = [["connect", &tcp], ["udp", &udp], ["resolve", "localhost"]];
    for (grant, expected) in [
        ("", [false, false, false]),
        ("inherit-network", [true, true, true]),
        ("inherit-network=n", [false, false, false]),
        ("inherit-network,tcp=n", [false, true, true]),
        ("inherit-network,udp=n", [true, false, true]),
        ("inherit-network,tcp=n,udp=n", [false, false, true]),
        (
            "inherit-network,allow-ip-name-lookup=n",
            [true, true, false],
        ),
        ("allow-ip-name-lookup", [false, false, true]),
        ("tcp,udp", [false, false, false]),
    ] {
        for (what, allowed) in tries.iter().zip(expected) {
            let ended = probe(grant, what).exits(i32::from(!allowed));
            let said = ended.stdout.trim();
            match (allowed, what[0]) {
                (false, _) => assert!(said.starts_with("error"), "{grant} {what:?}: {said}"),
                (true, "resolve") => assert!(said.contains("127.0.0.1"), "{grant}: {said}"),
                (true, _) => assert_eq!(said, "pong", "{grant} {what:?}"),
            }
        }
    }
}

/// Hunts a network that guests can only call out to.
#[test]
fn a_guest_listens() {
    let mut hart = command();
    hart.args(line("inherit-network", &["listen", "127.0.0.1:0"]));
    let mut child = hart.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = said.next().unwrap().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"ping\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "pong\n");
    assert_eq!(said.next().unwrap().unwrap(), "ping");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Hunts a right that a task gives up and keeps, with grants that are made by a hook as well.
#[test]
fn a_task_without_the_right_has_no_network() {
    let (tcp, udp) = (tcp(), udp());
    let tries = [["connect", &tcp], ["udp", &udp], ["resolve", "localhost"]];
    for grant in [
        "inherit-network",
        "inherit-network,tcp=y,udp=n",
        "allow-ip-name-lookup",
    ] {
        for what in &tries {
            let ended = probe(grant, &["deny", "network", what[0], what[1]]).exits(1);
            assert!(
                ended.stdout.starts_with("error"),
                "{grant} {what:?}: {ended:#?}"
            );
            // The others keep it.
            let with = probe(grant, &["deny", "environment", what[0], what[1]]);
            let without = probe(grant, what);
            assert_eq!(with.stdout, without.stdout, "{grant} {what:?}");
        }
    }
}

/// Hunts a grant that is for WASI 0.2 only.
#[test]
fn wasi_0_3_has_the_same_network() {
    let (tcp, udp) = (tcp(), udp());
    let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
    let call = format!("try({}, {})", port(&tcp), port(&udp));
    let file = root().join("host/cli/tests/e2e/sockets-0.3.wat");
    for (grant, bits) in [
        ("inherit-network=n", 0),
        ("inherit-network", 31),
        ("inherit-network,udp=n", 1 | 2 | 16),
        ("inherit-network,tcp=n", 4 | 8 | 16),
        ("allow-ip-name-lookup", 16),
    ] {
        let mut hart = command();
        hart.args(["-S", grant, "--invoke", &call]).arg(&file);
        let ended = Running::start(&mut hart, &[]).wait().exits(0);
        assert_eq!(ended.stdout, format!("{bits}\n"), "{grant}");
    }
}
