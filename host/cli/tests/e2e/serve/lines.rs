//! What guests write to standard output and standard error, and the numbers of their instances.

use super::{Server, get};
use crate::support::Scratch;
use std::collections::BTreeSet;
use std::thread;

/// One instance at a time, and each answers twice.
const TWICE: [&str; 6] = [
    "--max-concurrent-requests",
    "1",
    "--max-instance-reuse-count",
    "2",
    "--idle-instance-timeout",
    "1000s",
];

/// Hunts lines of which nobody can say whose they are, and a number that an instance is not told or shares.
#[test]
pub(crate) fn lines_have_the_number_of_their_instance() {
    let server = Server::lab(&TWICE);
    let number = || server.text("/env/INSTANCE_ID");
    assert_eq!([number(), number(), number()], ["0", "0", "1"]);
    assert_eq!(server.text("/print"), "printed");
    server.signal(libc::SIGTERM);
    let (_, out, err) = server.wait();
    assert_eq!(
        out,
        "stdout [1] :: to standard output\nstdout [1] :: in two lines\n"
    );
    let said: Vec<_> = err.lines().filter(|line| line.contains("error")).collect();
    assert_eq!(said, ["stderr [1] :: to standard error"], "{err}");
}

/// Hunts a prefix that was not wanted, and a number that goes with it or replaces the operator's.
#[test]
pub(crate) fn lines_pass_unchanged_without_a_prefix() {
    let server = Server::lab(&["--no-logging-prefix"]);
    assert_eq!(server.text("/env/INSTANCE_ID"), "0");
    assert_eq!(server.text("/print"), "printed");
    server.signal(libc::SIGTERM);
    let (_, out, err) = server.wait();
    assert_eq!(out, "to standard output\nin two lines\n");
    assert!(err.lines().any(|line| line == "to standard error"), "{err}");
    let server = Server::lab(&["--env", "INSTANCE_ID=mine"]);
    assert_eq!(server.text("/env/INSTANCE_ID"), "mine");
}

/// Hunts a line with another's piece in it, one that is lost as it never ends, and one that goes on in the next request.
#[test]
fn lines_of_requests_at_once_do_not_mix() {
    const REQUESTS: usize = 6;
    let server = Server::lab(&[]);
    thread::scope(|scope| {
        for _ in 0..REQUESTS {
            scope.spawn(|| assert_eq!(server.text("/pieces/40"), "written"));
        }
    });
    server.signal(libc::SIGTERM);
    let (_, _, err) = server.wait();
    let line = "piece ".repeat(40);
    let number = |text: &str| {
        let rest = text.strip_prefix("stderr [")?;
        let (number, written) = rest.split_once("] :: ")?;
        assert_eq!(written, line, "{err}");
        number.parse::<usize>().ok()
    };
    let found: Vec<usize> = err.lines().filter_map(number).collect();
    let all: BTreeSet<usize> = (0..REQUESTS).collect();
    assert_eq!(found.len(), REQUESTS, "{err}");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), all, "{err}");

    // Two requests in one instance, and one that ends in the middle.
    let server = Server::lab(&TWICE);
    assert_eq!(server.text("/unfinished"), "begun");
    assert_eq!(server.text("/unfinished"), "begun");
    assert_eq!(server.get("/unfinished-trap").status, 500);
    server.signal(libc::SIGTERM);
    let (_, _, err) = server.wait();
    let begun = |line: &&str| line.contains("without an end");
    let lines: Vec<&str> = err.lines().filter(begun).collect();
    let [first, next] = [
        "stderr [0] :: without an end",
        "stderr [1] :: without an end",
    ];
    assert_eq!(lines, [first, first, next], "{err}");
}

/// Hunts a line that is kept for ever, or is lost because it is long; and prefixes that a limit of output does not see.
#[test]
fn long_lines_are_cut_and_prefixes_are_output() {
    const BYTES: usize = 1_000_000;
    let server = Server::lab(&[]);
    assert_eq!(server.text(&format!("/endless/{BYTES}")), "written");
    server.signal(libc::SIGTERM);
    let (_, _, err) = server.wait();
    let lines: Vec<&str> = err
        .lines()
        .filter_map(|line| line.strip_prefix("stderr [0] :: "))
        .collect();
    assert!(lines.len() > 1, "{} lines", lines.len());
    assert!(lines.iter().all(|line| line.len() <= 64 << 10));
    let written: usize = lines.iter().map(|line| line.len()).sum();
    assert_eq!(written, BYTES);

    let limit = ["-W", "max-output=5000"];
    let server = Server::lab(&limit);
    assert_eq!(server.ask(&get("/empty-lines/1000")).status, 503);
    let server = Server::lab(&[&limit[..], &["--no-logging-prefix"]].concat());
    assert_eq!(server.text("/empty-lines/1000"), "written");
}

/// Hunts lines of two apps that look the same, and a new version that counts from 0 again.
#[test]
fn lines_of_many_apps_have_their_names() {
    let scratch = Scratch::new();
    let lab = hart_build::guest("http-lab");
    let config = |version: u32| {
        let app = |name: &str| {
            let file = lab.display();
            format!(
                "[[app]]\nname = \"{name}\"\ncomponent = \"{file}\"\npath = \"/{name}\"\n[app.env]\nVERSION = \"{version}\"\n"
            )
        };
        app("quiet") + &app("noisy")
    };
    let file = scratch.write("hart.toml", config(1));
    let server = Server::start(&[], &file.to_string_lossy());
    let number = |app: &str| {
        let said = server.text(&format!("/{app}/env/INSTANCE_ID"));
        said.parse::<u64>().expect("a number")
    };
    assert_eq!(
        [number("quiet"), number("noisy"), number("quiet")],
        [0, 0, 1]
    );
    server.text("/quiet/print");
    server.text("/noisy/print");
    scratch.write("hart.toml", config(2));
    server.signal(libc::SIGHUP);
    crate::apps::until("the new version", || {
        server.text("/quiet/env/VERSION") == "2"
    });
    assert!(number("quiet") > 2);
    server.signal(libc::SIGTERM);
    let (_, out, _) = server.wait();
    for line in [
        "stdout [quiet 2] :: to standard output",
        "stdout [noisy 1] :: to standard output",
    ] {
        assert!(out.lines().any(|found| found == line), "{line}: {out}");
    }
}
