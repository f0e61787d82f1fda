//! What goes wrong: workers and servers that die, messages that are none.

use super::nats::Nats;
use crate::apps::until;
use crate::support::Running;
use std::io::{Read as _, Write as _};

const ENTRY: &[u8] = b"Hart-Entry: echo\r\n";

fn submit_many(nats: &Nats, app: &str, entry: &str, jobs: usize) {
    let mut raw = nats.raw();
    let headers = format!("Hart-Entry: {entry}\r\n");
    for job in 0..jobs {
        let subject = format!("hart.work.{app}.{job}");
        raw.publish(&subject, headers.as_bytes(), b"x");
    }
}

/// Hunts jobs that are lost with their worker, and jobs with two results.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn killed_workers_lose_nothing() {
    const JOBS: u64 = 60;
    let nats = Nats::start();
    let lab = nats.lab("lab");
    let line = [
        lab.to_str().unwrap(),
        "--lease",
        "1s",
        "--deliveries",
        "100",
    ];
    let mut workers = vec![nats.worker(&line), nats.worker(&line)];
    submit_many(&nats, "lab", "work", JOBS as usize);
    let mut raw = nats.raw();
    for part in 1..=3 {
        until("some are done", || {
            raw.count("HART_RESULTS").0 >= JOBS * part / 5
        });
        let worker = workers.remove(0);
        worker.signal(libc::SIGKILL);
        drop(worker);
        workers.push(nats.new_worker(&line));
    }
    until("all are done", || raw.count("HART").0 == 0);
    assert_eq!(raw.count("HART_RESULTS"), (JOBS, JOBS));
    assert_eq!(raw.count("HART_DEAD"), (0, 0));
    let (headers, result) = raw.last("HART_RESULTS", "hart.result.lab.7").unwrap();
    assert!(headers.contains("Hart-Status: ok"), "{headers}");
    assert_eq!(result, b"x");
}

/// Hunts a job that is delivered for ever where each worker that has it dies.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn a_job_that_nobody_ends_is_given_up() {
    let nats = Nats::start();
    let lab = nats.lab("lab");
    let line = [lab.to_str().unwrap(), "--lease", "3s", "--deliveries", "2"];
    let text = ["submit", "lab", "spin", "x", "--id", "0"];
    nats.hart(&text).exits(0);
    for _ in 0..2 {
        let worker = nats.new_worker(&line);
        worker.wait_for_the_guest();
        worker.signal(libc::SIGKILL);
    }
    let _worker = nats.new_worker(&line);
    let followed = nats.hart(&["jobs", "follow", "lab", "0"]).exits(1);
    assert!(followed.stderr.contains("given up"), "{followed:?}");
    let mut raw = nats.raw();
    until("its dead letter is there", || raw.count("HART_DEAD").0 == 1);
    let (headers, input) = raw.last("HART_DEAD", "hart.dead.lab.0").unwrap();
    assert!(headers.contains("Hart-Reason: given up"), "{headers}");
    assert!(headers.contains("Hart-Entry: spin"), "{headers}");
    assert_eq!(input, b"x");
}

/// Hunts jobs that a stop ends, or that it loses.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn a_stop_lets_jobs_end_or_gives_them_back() {
    let nats = Nats::start();
    let lab = nats.lab("lab");
    let file = lab.to_str().unwrap();
    let worker = nats.worker(&[file, "--grace", "60s"]);
    submit_many(&nats, "lab", "work", 20);
    let mut raw = nats.raw();
    until("it has begun", || raw.count("HART_RESULTS").0 > 0);
    worker.signal(libc::SIGTERM);
    worker.wait().exits(0);
    // What it had taken is done or given back, and the rest is there for others.
    let left = raw.count("HART").0;
    assert_eq!(raw.results() + left, 20);

    // One that does not end goes back, at once: its lease is long.
    raw.request("$JS.API.STREAM.PURGE.HART", "");
    raw.publish(
        "hart.work.lab.long",
        b"Hart-Entry: spin\r\nHart-Timeout: 3000\r\n",
        b"",
    );
    let worker = nats.worker(&[file, "--grace", "100ms", "--lease", "1h"]);
    worker.wait_for_the_guest();
    worker.signal(libc::SIGTERM);
    worker.wait().exits(0);
    assert!(raw.last("HART_RESULTS", "hart.result.lab.long").is_none());
    let _other = nats.worker(&[file, "--lease", "1h"]);
    nats.hart(&["jobs", "follow", "lab", "long"]).exits(124);
}

/// Hunts a job that is given up as workers were stopped while they had it.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn stops_do_not_use_up_a_job() {
    let nats = Nats::start();
    let lab = nats.lab("lab");
    let line = [lab.to_str().unwrap(), "--deliveries", "1", "--grace", "1ms"];
    let mut raw = nats.raw();
    nats.hart(&["submit", "lab", "spin", "--id", "long", "--timeout", "5s"])
        .exits(0);
    for _ in 0..3 {
        let worker = nats.new_worker(&line);
        worker.wait_for_the_guest();
        worker.signal(libc::SIGTERM);
        worker.wait().exits(0);
        assert_eq!(raw.count("HART").0, 1);
    }
    let _worker = nats.worker(&line);
    nats.hart(&["jobs", "follow", "lab", "long"]).exits(124);
}

/// Hunts a worker that does not find its server again, or forgets what it has done meanwhile.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn the_server_goes_and_comes_back() {
    let mut nats = Nats::start();
    let lab = nats.lab("lab");
    let worker = nats.worker(&[lab.to_str().unwrap()]);
    submit_many(&nats, "lab", "work", 30);
    let mut raw = nats.raw();
    until("it has begun", || raw.count("HART_RESULTS").0 > 0);
    nats.kill();
    nats.restart();
    let mut raw = nats.raw();
    until("all are done", || raw.count("HART").0 == 0);
    assert_eq!(raw.count("HART_RESULTS"), (30, 30));
    assert_eq!(
        nats.hart(&["submit", "lab", "echo", "y", "--wait"])
            .exits(0)
            .stdout,
        "y"
    );
    worker.signal(libc::SIGTERM);
    let said = worker.wait().exits(0).stderr;
    assert!(said.contains("the connection is lost"), "{said}");
}

/// Hunts a message that stops a worker, or that is tried for ever.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn garbage_is_a_dead_letter() {
    let nats = Nats::start();
    let lab = nats.lab("lab");
    let _worker = nats.worker(&[lab.to_str().unwrap()]);
    let mut raw = nats.raw();
    let garbage: &[(&str, &[u8], &str)] = &[
        ("nothing", b"", "no header Hart-Entry"),
        (
            "number",
            b"Hart-Entry: echo\r\nHart-Timeout: soon\r\n",
            "Hart-Timeout",
        ),
        (
            "zero",
            b"Hart-Entry: echo\r\nHart-Memory: 0\r\n",
            "Hart-Memory",
        ),
        // A worker may publish there, and who submits a job may not.
        (
            "reply",
            b"Hart-Entry: echo\r\nHart-Reply: hart.work.lab.more\r\n",
            "Hart-Reply",
        ),
    ];
    for (id, headers, _) in garbage {
        raw.publish(&format!("hart.work.lab.{id}"), headers, b"x");
    }
    raw.publish("hart.work.lab.large", b"Hart-Entry: large\r\n", b"");
    assert_eq!(
        nats.hart(&["submit", "lab", "echo", "y", "--wait"])
            .exits(0)
            .stdout,
        "y"
    );
    for (id, _, reason) in garbage {
        nats.hart(&["jobs", "follow", "lab", id]).exits(2);
        let subject = format!("hart.dead.lab.{id}");
        until("its dead letter is there", || {
            raw.last("HART_DEAD", &subject).is_some()
        });
        let (headers, input) = raw.last("HART_DEAD", &subject).unwrap();
        assert!(headers.contains(reason), "{headers}");
        assert_eq!(input, b"x");
    }
    let large = nats.hart(&["jobs", "follow", "lab", "large"]).exits(1);
    assert!(large.stderr.contains("max_payload"), "{large:?}");
    assert_eq!(raw.count("HART"), (0, 0));
    assert!(raw.last("HART_RESULTS", "hart.result.lab.more").is_none());
}

/// Hunts a dead letter that the server refuses for ever: its job has as many headers as fit, and the reason comes on top.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn headers_that_fill_a_message_are_left_out_of_its_letter() {
    let nats = Nats::start();
    let lab = nats.lab("lab");
    let _worker = nats.worker(&[lab.to_str().unwrap()]);
    let mut raw = nats.raw();
    // With its first and its last line it has 65,497 bytes, of 65,535.
    let headers = format!("X: {}\r\n", "x".repeat(65_480));
    raw.publish("hart.work.lab.full", headers.as_bytes(), b"input");
    let subject = "hart.dead.lab.full";
    until("its dead letter is there", || {
        raw.last("HART_DEAD", subject).is_some()
    });
    let (headers, input) = raw.last("HART_DEAD", subject).unwrap();
    assert!(headers.contains("no header Hart-Entry"), "{headers}");
    assert!(headers.contains("its headers of 65485 bytes"), "{headers}");
    assert_eq!(input, b"input");
    until("it is gone", || raw.count("HART").0 == 0);
    // What is left of it is no job.
    let refused = nats.hart(&["jobs", "retry", "lab", "full"]).exits(2);
    assert!(refused.stderr.contains("hart submit"), "{refused:?}");
    assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
    assert_eq!(raw.count("HART_DEAD"), (1, 1));
    assert_eq!(raw.count("HART"), (0, 0));
}

/// Hunts a job that is stored for ever, as a message that is no result stands where its result would.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn a_result_that_cannot_be_read_ends_its_job() {
    let nats = Nats::start();
    let lab = nats.lab("lab");
    let _worker = nats.worker(&[lab.to_str().unwrap()]);
    let mut raw = nats.raw();
    let results: [(&str, &[u8]); 2] = [
        ("strange", b"Hart-Status: strange\r\n"),
        // The client cannot read these headers at all.
        ("colon", b"no colon\r\n"),
    ];
    for (id, headers) in results {
        let subject = format!("hart.result.lab.{id}");
        raw.publish(&subject, headers, b"?");
        until("it is stored", || {
            raw.last("HART_RESULTS", &subject).is_some()
        });
        raw.publish(&format!("hart.work.lab.{id}"), ENTRY, b"x");
        let subject = format!("hart.dead.lab.{id}");
        until("its dead letter is there", || {
            raw.last("HART_DEAD", &subject).is_some()
        });
        let (headers, input) = raw.last("HART_DEAD", &subject).unwrap();
        assert!(headers.contains("cannot be read"), "{headers}");
        assert_eq!(input, b"x");
    }
    until("they are gone", || raw.count("HART").0 == 0);
    assert_eq!(raw.count("HART_RESULTS"), (2, 2));
    let followed = nats.hart(&["jobs", "follow", "lab", "strange"]).exits(1);
    assert!(followed.stderr.contains("cannot be read"), "{followed:?}");
    for (id, _) in results {
        nats.hart(&["jobs", "retry", "lab", id]).exits(0);
        let followed = nats.hart(&["jobs", "follow", "lab", id]).exits(0);
        assert_eq!(followed.stdout, "x");
    }
}

/// Hunts headers that no client reads: they end its connection, and jobs beside them have to be done all the same.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn headers_that_nobody_reads_do_not_stop_others() {
    let nats = Nats::start();
    let lab = nats.lab("lab");
    let line = [lab.to_str().unwrap(), "--lease", "1s", "--deliveries", "3"];
    let _worker = nats.worker(&line);
    let mut raw = nats.raw();
    raw.publish("hart.work.lab.bytes", b"Hart-Entry: \xff\xfe\r\n", b"x");
    raw.publish("hart.work.lab.colon", b"no colon\r\n", b"x");
    for job in 0..5 {
        raw.publish(&format!("hart.work.lab.{job}"), ENTRY, b"x");
    }
    until("others are done", || {
        let done = |job| {
            raw.last("HART_RESULTS", &format!("hart.result.lab.{job}"))
                .is_some()
        };
        (0..5).all(done)
    });
    until("they are dead letters", || raw.count("HART_DEAD").0 == 2);
    until("they are gone", || raw.count("HART").0 == 0);
}

/// Hunts a message that is larger than the server takes, and who submits it not being told.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn a_job_that_is_too_large_is_refused() {
    let nats = Nats::start();
    let file = nats.scratch.write("large", vec![0; 2 << 20]);
    let refused = nats.hart(&["submit", "lab", "echo", "--file", file.to_str().unwrap()]);
    assert!(refused.stderr.contains("max_payload"), "{refused:?}");
    assert_eq!(refused.stderr.lines().count(), 1);
    refused.exits(1);
}

/// Hunts a component that cannot work and is tried for ever, and lines that do not say what to do.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn what_cannot_work_says_so() {
    let nats = Nats::start();
    let no_entry = nats.scratch.write("none.wat", "(component)");
    let broken = nats.scratch.write("broken.wasm", "not wasm");
    let lab = nats.lab("a.b");
    for (file, says) in [
        (&no_entry, "exports no hart:exec/entry"),
        (&broken, "broken.wasm"),
        (&lab, "`a.b` is no name of app"),
    ] {
        let ended = nats.hart(&["work", file.to_str().unwrap()]).exits(2);
        assert!(ended.stderr.contains(says), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
    let lab = nats.lab("lab");
    let mut alone = nats.command(&["work", lab.to_str().unwrap()]);
    let alone = Running::start(alone.env("NATS_URL", "nats://127.0.0.1:1"), &[]).wait();
    assert!(
        alone.stderr.contains("start `nats-server --jetstream`"),
        "{alone:?}"
    );
    alone.exits(1);
}

/// Hunts a worker that says it is ready where it takes no jobs, and counts that stay at zero.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn a_worker_says_how_it_is() {
    let mut nats = Nats::start();
    let lab = nats.lab("lab");
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let address = free.to_string();
    let worker = nats.worker(&[
        lab.to_str().unwrap(),
        "--health",
        &address,
        "--grace",
        "60s",
    ]);
    let get = |path: &str| {
        let mut stream = std::net::TcpStream::connect(free).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    until("it listens", || std::net::TcpStream::connect(free).is_ok());
    assert!(get("/live").starts_with("HTTP/1.1 200"));
    assert!(get("/ready").starts_with("HTTP/1.1 200"));
    nats.hart(&["submit", "lab", "echo", "--wait"]).exits(0);
    nats.hart(&["submit", "lab", "trap", "--wait"]).exits(134);
    until("both are counted", || {
        let metrics = get("/metrics");
        metrics.contains("hart_jobs_total{app=\"lab\",status=\"ok\"} 1")
            && metrics.contains("hart_jobs_total{app=\"lab\",status=\"failed\"} 1")
    });
    nats.kill();
    until("it notices", || get("/ready").starts_with("HTTP/1.1 503"));
    nats.restart();
    until("it is back", || get("/ready").starts_with("HTTP/1.1 200"));
    submit_many(&nats, "lab", "spin", 1);
    worker.wait_for_the_guest();
    worker.signal(libc::SIGTERM);
    until("it stops", || get("/ready").contains("it stops"));
    assert!(get("/live").starts_with("HTTP/1.1 200"));
    worker.signal(libc::SIGKILL);
}
