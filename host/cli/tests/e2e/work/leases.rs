//! Workers that are slow, and what others do meanwhile.

use super::nats::Nats;
use crate::apps::until;
use crate::support::Running;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// The headers of a job that spins for ever.
const SPIN: &[u8] = b"Hart-Entry: spin\r\n";

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// A counter of the only app of a worker.
fn metric(address: SocketAddr, name: &str) -> u64 {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let line = format!("{name}{{app=\"lab\"}} ");
    let value = answer.lines().find_map(|found| found.strip_prefix(&line));
    let value = value.unwrap_or_else(|| panic!("no {name} in {answer}"));
    value.parse().unwrap()
}

/// Hunts a job that a worker begins again while it runs it, as its lease ran out meanwhile.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn a_worker_runs_a_job_once_at_a_time() {
    let nats = Nats::start();
    let lab = nats.lab("lab");
    let address = free_address();
    let health = address.to_string();
    let worker = nats.worker(&[
        lab.to_str().unwrap(),
        "--lease",
        "1s",
        "--max-concurrent-jobs",
        "4",
        "--health",
        &health,
    ]);
    until("it listens", || TcpStream::connect(address).is_ok());
    let mut raw = nats.raw();
    raw.publish("hart.work.lab.long", SPIN, b"");
    until("it runs", || metric(address, "hart_jobs_running") == 1);
    worker.signal(libc::SIGSTOP);
    until("it is delivered again", || {
        let info = raw.request("$JS.API.CONSUMER.INFO.HART.lab", "");
        info["delivered"]["consumer_seq"].as_u64() > Some(1)
    });
    worker.signal(libc::SIGCONT);
    until("it hears of that", || {
        metric(address, "hart_jobs_redelivered_total") > 0
    });
    assert_eq!(metric(address, "hart_jobs_running"), 1);
    assert_eq!(metric(address, "hart_jobs_returned_total"), 0);
    // It is still one that can be cancelled.
    nats.hart(&["jobs", "cancel", "lab", "long"]).exits(0);
    nats.hart(&["jobs", "follow", "lab", "long"]).exits(130);
    until("it is gone", || raw.count("HART").0 == 0);
}

/// Hunts a run that goes on though its job has a result: another worker's, or that of a cancel that was not heard.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn a_job_that_has_a_result_is_run_no_more() {
    let nats = Nats::start();
    let lab = nats.lab("lab");
    let worker = nats.worker(&[lab.to_str().unwrap(), "--lease", "1s"]);
    let mut raw = nats.raw();
    raw.publish("hart.work.lab.long", SPIN, b"");
    worker.wait_for_the_guest();
    let result = b"Hart-Status: ok\r\nHart-Exit-Code: 0\r\n";
    raw.publish("hart.result.lab.long", result, b"other");
    until("the worker sees it", || raw.count("HART").0 == 0);
    assert_eq!(raw.count("HART_RESULTS"), (1, 1));
    assert_eq!(raw.count("HART_DEAD"), (0, 0));
    worker.signal(libc::SIGTERM);
    worker.wait().exits(0);
}

/// Hunts a cancel that only the worker knew of, which died with the job.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn a_cancel_outlives_its_worker() {
    let nats = Nats::start();
    let lab = nats.lab("lab");
    nats.hart(&["submit", "lab", "spin", "--id", "long"])
        .exits(0);
    // It says that it has the job, and no more.
    let mut dies = nats.raw();
    dies.subscribe("hart.cancel.lab.long");
    let mut cancel = nats.command(&["jobs", "cancel", "lab", "long"]);
    let cancel = Running::start(&mut cancel, &[]);
    dies.answer();
    let cancelled = cancel.wait().exits(0);
    assert!(cancelled.stderr.contains("the worker"), "{cancelled:?}");
    let _worker = nats.worker(&[lab.to_str().unwrap(), "--lease", "1s"]);
    let mut raw = nats.raw();
    until("it is gone", || raw.count("HART").0 == 0);
    nats.hart(&["jobs", "follow", "lab", "long"]).exits(130);
}

/// Hunts a job that stays in the stream, as the server's word that it is delivered no more reached nobody.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn what_is_delivered_no_more_is_found() {
    let nats = Nats::start();
    let lab = nats.lab("lab");
    let line = [lab.to_str().unwrap(), "--lease", "1s", "--deliveries", "1"];
    let worker = nats.worker(&line);
    worker.signal(libc::SIGTERM);
    worker.wait().exits(0);
    let mut raw = nats.raw();
    raw.publish("hart.work.lab.lost", b"Hart-Entry: echo\r\n", b"x");
    // It takes the job as often as the server delivers it, and does nothing with it.
    let mut taker = nats.raw();
    taker.subscribe("_INBOX.taker");
    let next = "$JS.API.CONSUMER.MSG.NEXT.HART.lab";
    taker.ask(next, "_INBOX.taker", "{\"batch\":20}");
    until("it is delivered no more", || {
        let info = raw.request("$JS.API.CONSUMER.INFO.HART.lab", "");
        info["delivered"]["consumer_seq"] == 14 && info["num_ack_pending"] == 0
    });
    assert_eq!(raw.count("HART"), (1, 1));
    drop(taker);
    let _worker = nats.new_worker(&line);
    until("it is found", || raw.count("HART").0 == 0);
    let (headers, _) = raw.last("HART_DEAD", "hart.dead.lab.lost").unwrap();
    assert!(headers.contains("given up"), "{headers}");
    nats.hart(&["jobs", "follow", "lab", "lost"]).exits(2);
    // The letter does not have its input.
    nats.hart(&["jobs", "retry", "lab", "lost"]).exits(2);
    assert_eq!(raw.count("HART_DEAD"), (1, 1));
}
