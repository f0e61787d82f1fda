//! `hart jobs`.

use super::nats::Nats;
use crate::apps::until;

fn list(nats: &Nats) -> serde_json::Value {
    let listed = nats.hart(&["jobs", "list", "--json"]).exits(0).stdout;
    serde_json::from_str(&listed).unwrap_or_else(|error| panic!("{listed}: {error}"))
}

/// Hunts jobs that are not listed, or that cannot be ended, whether they run or wait.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn jobs_are_listed_and_cancelled() {
    let nats = Nats::start();
    let lab = nats.lab("lab");
    let _worker = nats.worker(&[lab.to_str().unwrap(), "--max-concurrent-jobs", "1"]);
    nats.hart(&["submit", "lab", "spin", "--id", "runs"])
        .exits(0);
    until("it runs", || list(&nats)["running"] == 1);
    nats.hart(&["submit", "lab", "spin", "--id", "waits"])
        .exits(0);
    let listed = list(&nats);
    assert_eq!(
        (&listed["waiting"], &listed["running"]),
        (&1.into(), &1.into()),
        "{listed}"
    );
    let text = nats.hart(&["jobs", "list"]).exits(0).stdout;
    assert!(
        text.contains("lab waits") && text.contains("lab runs"),
        "{text}"
    );

    let waited = nats.hart(&["jobs", "cancel", "lab", "waits"]).exits(0);
    assert!(waited.stderr.contains("it waited"), "{waited:?}");
    let ran = nats.hart(&["jobs", "cancel", "lab", "runs"]).exits(0);
    assert!(ran.stderr.contains("the worker"), "{ran:?}");
    for id in ["waits", "runs"] {
        nats.hart(&["jobs", "follow", "lab", id]).exits(130);
    }
    until("none is left", || nats.raw().count("HART").0 == 0);
    nats.hart(&["jobs", "cancel", "lab", "runs"]).exits(2);
    assert_eq!(nats.raw().count("HART_DEAD"), (0, 0));
}

/// Hunts a job that fails for ever, and one whose first result stays.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn a_job_that_failed_is_submitted_again() {
    let nats = Nats::start();
    let lab = nats.lab("lab");
    let worker = nats.worker(&[lab.to_str().unwrap(), "-W", "max-input=2"]);
    nats.hart(&["submit", "lab", "echo", "long", "--id", "a", "--wait"])
        .exits(1);
    until("its dead letter is there", || {
        list(&nats)["failed"][0] == "a"
    });
    worker.signal(libc::SIGTERM);
    worker.wait().exits(0);
    // A worker that comes late stores another one.
    let mut raw = nats.raw();
    raw.publish("hart.dead.lab.a", b"Hart-Entry: echo\r\n", b"long");
    until("it has two", || raw.count("HART_DEAD").0 == 2);
    let _worker = nats.worker(&[lab.to_str().unwrap()]);
    nats.hart(&["jobs", "retry", "lab", "a"]).exits(0);
    assert_eq!(
        nats.hart(&["jobs", "follow", "lab", "a"]).exits(0).stdout,
        "long"
    );
    assert_eq!(raw.count("HART_DEAD"), (0, 0));
    assert_eq!(raw.count("HART_RESULTS"), (1, 1));
    nats.hart(&["jobs", "retry", "lab", "a"]).exits(2);
}

/// Hunts a job that cannot be submitted again, as a letter that lacks it lies behind the one that has it.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn a_whole_letter_is_found_behind_another() {
    let nats = Nats::start();
    let lab = nats.lab("lab");
    let _worker = nats.worker(&[lab.to_str().unwrap()]);
    let mut raw = nats.raw();
    let whole = b"Hart-Entry: echo\r\nHart-Reason: given up\r\n";
    raw.publish("hart.dead.lab.a", whole, b"x");
    let other = b"Hart-Left-Out: true\r\nHart-Reason: given up\r\n";
    raw.publish("hart.dead.lab.a", other, b"");
    raw.publish("hart.dead.lab.b", other, b"");
    nats.hart(&["jobs", "retry", "lab", "b"]).exits(2);
    nats.hart(&["jobs", "retry", "lab", "a"]).exits(0);
    let followed = nats.hart(&["jobs", "follow", "lab", "a"]).exits(0);
    assert_eq!(followed.stdout, "x");
    // Those of the other job stay.
    assert_eq!(raw.count("HART_DEAD"), (1, 1));
}
