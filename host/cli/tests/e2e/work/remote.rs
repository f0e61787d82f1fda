//! Tasks that run on other machines: here, in the process of a worker.

use super::nats::{Nats, Worker};
use crate::apps::until;
use crate::support::{Finished, Running, hart};

/// Runs the guest that has a task run elsewhere, on one worker.
fn roam(nats: &Nats, options: &[&str], arguments: &[&str]) -> Finished {
    start(nats, options, arguments, b"").wait()
}

fn start(nats: &Nats, options: &[&str], arguments: &[&str], input: &[u8]) -> Running {
    let guest = hart_build::guest("roamer");
    let line = ["--workers", "1", "-S", "remote"];
    let file = [guest.to_str().unwrap()];
    let line = [&line[..], options, &file, arguments].concat();
    Running::start(&mut nats.command(&line), input)
}

/// The same, with a standard input that does not end.
fn start_waiting(nats: &Nats, arguments: &[&str]) -> Running {
    let guest = hart_build::guest("roamer");
    let line = ["--workers", "1", "-S", "remote", guest.to_str().unwrap()];
    Running::start_reading(&mut nats.command(&[&line[..], arguments].concat()))
}

/// A worker for that guest.
fn worker(nats: &Nats, options: &[&str]) -> Worker {
    let guest = hart_build::guest("roamer");
    nats.worker(&[&[guest.to_str().unwrap()], options].concat())
}

/// The last line of what it wrote.
fn last(finished: &Finished) -> &str {
    finished.stdout.lines().last().unwrap_or_default()
}

/// Waits until so many jobs are with a worker.
fn until_running(nats: &Nats, jobs: u64) {
    until("it is with the worker", || {
        let info = nats.raw().request("$JS.API.CONSUMER.INFO.HART.roamer", "");
        info["num_ack_pending"] == jobs && nats.raw().count("HART").0 == jobs
    });
}

/// Hunts a task that stays though the machine is busy, that goes though it is not, and whose end its joiner is told otherwise.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn a_task_ends_elsewhere_as_it_does_here() {
    let nats = Nats::start();
    let worker = worker(&nats, &[]);
    let tasks = [
        &["echo", "hello"][..],
        &["fail", "no such luck"],
        &["trap", "on purpose"],
        &["exit", "3"],
        &["memory"],
        &["cpu"],
        &["time"],
    ];
    for (before, what) in tasks.into_iter().enumerate() {
        let before = before as u64;
        let idle = [&["idle"], what].concat();
        let here = roam(&nats, &[], &idle).exits(0);
        assert_eq!(nats.raw().count("HART_RESULTS").0, before, "{here:?}");
        let there = roam(&nats, &[], what).exits(0);
        assert_eq!(last(&there), last(&here), "{what:?}: {there:?} {here:?}");
        until("it is stored", || {
            nats.raw().count("HART_RESULTS").0 == before + 1
        });
        until("it is gone", || nats.raw().count("HART").0 == 0);
    }
    worker.signal(libc::SIGTERM);
    // It ran in the worker's process, which has what it wrote.
    let worker = worker.wait().exits(0);
    assert_eq!(worker.stdout.matches("hello").count(), 1, "{worker:?}");
}

/// Hunts a task that goes on elsewhere though nobody can join it any more.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn what_ends_a_task_here_ends_it_there() {
    let nats = Nats::start();
    let _worker = worker(&nats, &[]);
    let cancelled = |results: u64| {
        until("its job is gone", || nats.raw().count("HART").0 == 0);
        let mut raw = nats.raw();
        assert_eq!(raw.count("HART_RESULTS").0, results);
        let (headers, _) = raw.last("HART_RESULTS", "hart.result.roamer.*").unwrap();
        assert!(headers.contains("Hart-Status: cancelled"), "{headers}");
    };
    for (at, (what, said)) in [
        ("cancel", "the task was cancelled"),
        (
            "close",
            "the task was cancelled because its scope was closed",
        ),
        ("leave", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let mut running = start_waiting(&nats, &[what]);
        until_running(&nats, 1);
        running.close_stdin();
        let ended = running.wait().exits(0);
        assert_eq!(last(&ended), said, "{ended:?}");
        cancelled(at as u64 + 1);
    }
    // The program itself is stopped.
    let running = start_waiting(&nats, &["spin"]);
    until_running(&nats, 1);
    running.signal(libc::SIGTERM);
    running.wait().exits(143);
    cancelled(4);
}

/// Hunts a task that takes along what is here, and one that has more there than its owner grants.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn nothing_of_this_machine_goes_along() {
    let nats = Nats::start();
    let worker = worker(&nats, &["--dir", ".::/data::ro", "-W", "max-depth=9"]);
    // What cannot go is refused, whether it would go now or not.
    for arguments in [&["whole", "echo", "x"][..], &["idle", "whole", "echo", "x"]] {
        for (option, value, right) in [
            ("--dir", ".::/data::ro", "filesystem"),
            ("--env", "A=b", "environment"),
            ("-S", "inherit-network", "network"),
            ("--allow-http", "example.com", "network"),
            ("-S", "keyvalue", "filesystem"),
        ] {
            let refused = roam(&nats, &[option, value], arguments).exits(0);
            let way_out = format!("deny it `{right}`");
            assert!(last(&refused).ends_with(&way_out), "{refused:?}");
        }
    }
    let without = hart_build::guest("roamer");
    let without = hart([without.to_str().unwrap(), "idle", "echo", "x"]).exits(0);
    assert!(
        last(&without).contains("`hart run -S remote`"),
        "{without:?}"
    );
    assert_eq!(nats.raw().count("HART_RESULTS").0, 0);

    // What it was denied it does not have there, whatever is granted there.
    let denied = roam(&nats, &[], &["list", "/data"]).exits(0);
    assert!(last(&denied).starts_with("the task failed"), "{denied:?}");
    let whole = roam(&nats, &[], &["whole", "list", "/data"]).exits(0);
    assert!(last(&whole).contains("Cargo.toml"), "{whole:?}");
    // It may spawn there, and what it spawns stays there; not deeper than it might here, nor than it may there.
    let deep = roam(&nats, &[], &["spawn", "3"]).exits(0);
    assert_eq!(last(&deep), "ok: deep", "{deep:?}");
    for options in [&["-W", "max-depth=2"][..], &[]] {
        let deep = roam(&nats, options, &["spawn", "20"]).exits(0);
        assert!(last(&deep).contains("`depth`"), "{deep:?}");
    }
    let only = roam(&nats, &["-W", "max-depth=1"], &["spawn", "1"]).exits(0);
    assert!(last(&only).contains("`spawn`"), "{only:?}");
    assert_eq!(nats.raw().count("HART_RESULTS").0, 6);
    worker.signal(libc::SIGTERM);
    worker.wait().exits(0);
}

/// Hunts a task that is lost with the worker that had it.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn a_worker_that_dies_leaves_the_task_to_another() {
    let nats = Nats::start();
    let dies = worker(&nats, &["--lease", "1s"]);
    // It takes the job, and does nothing with it.
    dies.signal(libc::SIGSTOP);
    let running = start(&nats, &[], &["echo", "hello"], b"");
    until_running(&nats, 1);
    dies.signal(libc::SIGKILL);
    let guest = hart_build::guest("roamer");
    let _other = nats.new_worker(&[guest.to_str().unwrap(), "--lease", "1s"]);
    let ended = running.wait().exits(0);
    assert_eq!(last(&ended), "ok: hello", "{ended:?}");
}

/// Hunts a join that waits for ever, and a program that begins though nobody would run its tasks.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn a_server_that_goes_ends_the_join() {
    let mut nats = Nats::start();
    // Nobody works for it yet.
    let nobody = roam(&nats, &[], &["echo", "x"]).exits(0);
    assert!(last(&nobody).contains("`hart work`"), "{nobody:?}");
    let _worker = worker(&nats, &[]);
    let running = start(&nats, &[], &["spin"], b"");
    until_running(&nats, 1);
    nats.kill();
    let ended = running.wait().exits(0);
    assert!(
        last(&ended).starts_with("the task has no result: the task was to run on another machine"),
        "{ended:?}"
    );
    let refused = roam(&nats, &[], &["echo", "x"]).exits(1);
    assert!(refused.stderr.contains("no connection"), "{refused:?}");
    assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
}

/// Hunts keys that do nothing, in options and in files.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn options_name_server_stream_and_app() {
    let nats = Nats::start();
    let guest = hart_build::guest("roamer");
    let file = guest.to_str().unwrap();
    let config = nats.scratch.write(
        "hart.toml",
        format!("[work]\nstream = \"TEST\"\n[[app]]\nname = \"other\"\ncomponent = \"{file}\"\n"),
    );
    let _worker = nats.worker_of("TEST", &[config.to_str().unwrap()]);
    let keys = format!(
        "remote,remote-app=other,remote-stream=TEST,remote-server={}",
        nats.url()
    );
    let line = ["--workers", "1", "-S", &keys, file, "echo", "hello"];
    let mut command = nats.command(&line);
    command.env("NATS_URL", "nats://192.0.2.1");
    let ended = Running::start(&mut command, &[]).wait().exits(0);
    assert_eq!(last(&ended), "ok: hello", "{ended:?}");
    assert_eq!(nats.raw().count("TEST_RESULTS").0, 1);

    let refused = nats.hart(&["work", "-S", "remote", file]).exits(2);
    assert!(refused.stderr.contains("-S remote"), "{refused:?}");
    let fan_out = hart_build::guest("fan-out-http");
    let fan_out = fan_out.to_str().unwrap();
    let served = nats.scratch.write(
        "serve.toml",
        format!(
            "[work]\nserver = \"nats://127.0.0.1:1\"\n[[app]]\nname = \"a\"\ncomponent = \"{fan_out}\"\nremote = \"other\"\n"
        ),
    );
    let served = served.to_str().unwrap();
    let refused = nats.hart(&["serve", "--addr", "127.0.0.1:0", served]);
    let refused = refused.exits(1);
    assert!(refused.stderr.contains("nats://127.0.0.1:1"), "{refused:?}");
    // A look at the file needs no server.
    nats.hart(&["serve", "--check", served]).exits(0);
}

/// Hunts parts that are lost or counted twice, where some are counted here and some there.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn words_are_counted_here_and_there() {
    let nats = Nats::start();
    let guest = hart_build::guest("wordcount-anywhere");
    let file = guest.to_str().unwrap();
    let _worker = nats.worker(&[file]);
    let line = "The quick brown fox jumps over the lazy dog.\n";
    let lines = 100_000;
    let text = line.repeat(lines);
    let mut command = nats.command(&["--workers", "1", "-S", "remote", file]);
    let counted = Running::start(&mut command, text.as_bytes())
        .wait()
        .exits(0);
    let expected = format!("{lines} {} {}\n", 9 * lines, line.len() * lines);
    assert_eq!(counted.stdout, expected);
    let elsewhere = nats.raw().count("HART_RESULTS").0;
    let parts = text.len() as u64 / (256 << 10) + 1;
    assert!(
        elsewhere > 0 && elsewhere <= parts,
        "{elsewhere} of {parts}"
    );
}
