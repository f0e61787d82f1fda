//! The access log.

use super::{text_of, until};
use crate::serve::{Server, get};
use crate::support::Scratch;
use std::io::Read as _;

/// Hunts lines that are missing, that are wrong, or that a client writes.
#[test]
pub(crate) fn each_request_is_a_line() {
    let scratch = Scratch::new();
    let path = scratch.path().join("log");
    let log = path.to_string_lossy();
    let server = Server::lab(&["--access-log", &log, "--access-log-format", "json"]);
    assert_eq!(server.text("/big/100000").len(), 100_000);
    assert_eq!(server.get("/trap?a=b").status, 500);
    let lines = |count: usize| {
        until("a line", || text_of(&path).lines().count() >= count);
        let text = text_of(&path);
        let read = |line| serde_json::from_str::<serde_json::Value>(line).unwrap();
        text.lines().map(read).collect::<Vec<_>>()
    };
    let found = lines(2);
    let [big, trap] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(big["client"], "127.0.0.1");
    assert_eq!(big["method"], "GET");
    assert_eq!(big["path"], "/big/100000");
    assert_eq!(big["protocol"], "HTTP/1.1");
    assert_eq!(big["status"], 200);
    assert_eq!(big["bytes"], 100_000);
    assert_eq!(big["whole"], true);
    assert_eq!(big["app"], "http-lab");
    assert!(big["cpu"].as_f64().unwrap() > 0.0, "{big}");
    assert!(big["memory"].as_u64().unwrap() > 65_536, "{big}");
    let year = big["time"].as_str().unwrap()[..4].parse::<u32>().unwrap();
    assert!(year >= 2024, "{big}");
    assert_eq!(trap["path"], "/trap?a=b");
    assert_eq!(trap["status"], 500);
    // A file that was moved away gets no more lines.
    std::fs::rename(&path, scratch.path().join("old")).unwrap();
    server.signal(libc::SIGHUP);
    until("the new file", || {
        server.text("/hello");
        path.exists()
    });
    assert!(!lines(1).is_empty());

    // To standard output, as others write it.
    let server = Server::lab(&["--access-log", "-"]);
    server.text("/hello");
    server.get("/a\"b\\c");
    server.signal(libc::SIGTERM);
    let (_, out, _) = server.wait();
    let first = out.lines().next().unwrap();
    assert!(first.starts_with("127.0.0.1 - - ["), "{out}");
    assert!(
        first.contains(" +0000] \"GET /hello HTTP/1.1\" 200 6 "),
        "{out}"
    );
    assert!(!out.contains("/a\"b"), "{out}");
}

/// Hunts a worker that waits for whoever reads the log.
#[test]
fn nobody_waits_for_a_log_that_is_not_read() {
    let scratch = Scratch::new();
    let path = scratch.path().join("pipe");
    let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the name ends with a zero and lives as long as the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    // Open for both, so that no side waits for the other.
    let mut pipe = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let server = Server::lab(&["--access-log", &path.to_string_lossy()]);
    // More than a pipe holds.
    let long = format!("/hello?{}", "x".repeat(8000));
    let requests = 40;
    for _ in 0..requests {
        assert_eq!(server.ask(&get(&long)).text(), "hello");
    }
    let mut read = Vec::new();
    while read.iter().filter(|byte| **byte == b'\n').count() < requests {
        let mut part = [0; 4096];
        let count = pipe.read(&mut part).unwrap();
        read.extend_from_slice(&part[..count]);
    }
    drop(server);
}

/// Hunts a full disk that holds up requests, and lines that are lost and not told.
#[test]
fn lines_that_a_full_disk_takes_none_of_are_counted() {
    let scratch = Scratch::new();
    let path = scratch.path().join("log");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let server = Server::lab(&["--access-log", &path.to_string_lossy()]);
    let mut sent = 0;
    let mut ask = || {
        assert_eq!(server.text("/hello"), "hello");
        sent += 1;
    };
    (0..5).for_each(|_| ask());
    std::fs::remove_file(&path).unwrap();
    server.signal(libc::SIGHUP);
    until("the new file", || {
        ask();
        !text_of(&path).is_empty()
    });
    server.signal(libc::SIGTERM);
    let (_, _, said) = server.wait();
    let lost = said.lines().find_map(|line| {
        let rest = line.strip_prefix("hart: ")?;
        let (count, _) = rest.split_once(" of the access log w")?;
        count.split_once(" line")?.0.parse::<usize>().ok()
    });
    // Some of the first ones may have been written to the new file.
    let written = text_of(&path).lines().count();
    assert_eq!(lost.unwrap_or(0) + written, sent, "{said}");
    let told = said.matches("the access log cannot be written").count();
    assert_eq!(told, usize::from(lost.is_some()), "{said}");

    // Nor are they forgotten at the end.
    let server = Server::lab(&["--access-log", "/dev/full"]);
    assert_eq!(server.text("/hello"), "hello");
    server.signal(libc::SIGTERM);
    let (_, _, said) = server.wait();
    assert!(
        said.contains("hart: 1 line of the access log was left out"),
        "{said}"
    );
}
