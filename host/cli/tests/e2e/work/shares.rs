//! Many who want the same cores.

use super::nats::Nats;
use crate::apps::until;

/// Hunts an app with many jobs that holds up another one.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn a_flood_of_one_app_does_not_hold_up_another() {
    let nats = Nats::start();
    nats.lab("lab");
    let file = nats.scratch.write(
        "hart.toml",
        "[[app]]\nname = \"flood\"\ncomponent = \"lab.wat\"\n\n[[app]]\nname = \"small\"\ncomponent = \"lab.wat\"\n",
    );
    let _worker = nats.worker(&[file.to_str().unwrap()]);
    let mut raw = nats.raw();
    for job in 0..400 {
        raw.publish(
            &format!("hart.work.flood.{job}"),
            b"Hart-Entry: work\r\n",
            b"",
        );
    }
    until("it floods", || raw.count("HART_RESULTS").0 > 0);
    for _ in 0..5 {
        nats.hart(&["submit", "small", "echo", "x", "--wait"])
            .exits(0);
    }
    // They were done while the others waited.
    assert!(raw.count("HART").0 > 100, "{:?}", raw.count("HART"));
}

/// Hunts a worker that takes more than it has room for, and another one that has nothing to do.
#[test]
#[ignore = "needs nats-server"]
pub(crate) fn a_worker_takes_what_it_has_room_for() {
    let nats = Nats::start();
    let lab = nats.lab("lab");
    let line = [lab.to_str().unwrap(), "--max-concurrent-jobs", "3"];
    let _worker = nats.worker(&line);
    let mut raw = nats.raw();
    for job in 0..10 {
        raw.publish(
            &format!("hart.work.lab.{job}"),
            b"Hart-Entry: spin\r\n",
            b"",
        );
    }
    let mut taken = || {
        let info = raw.request("$JS.API.CONSUMER.INFO.HART.lab", "");
        info["num_ack_pending"].as_u64().unwrap()
    };
    until("it has three", || taken() == 3);
    let _other = nats.hart(&["jobs", "list"]);
    assert_eq!(taken(), 3);
}
