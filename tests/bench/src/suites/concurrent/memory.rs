//! What a pending task takes inside of an instance that is there, beside a parked guest of WASI 0.2.
//!
//! Memory is the process's share, as in the suite `density`. Each side has a process of its own.

use super::suite::{SUITE, TASKS};
use crate::{
    child,
    event_loop::{Noted, Plan, State},
    ground::{Kind, WEIGHT},
    guest::Crowd,
    measure::Bench,
    row::{Figure, Row},
    suites::density::{self, Usage},
};
use std::{ffi::OsStr, sync::Arc, time::Duration};

pub(super) fn run(bench: &mut Bench) {
    if !bench.wants(SUITE, "memory") {
        return;
    }
    let output = child::command("async", OsStr::new(&TASKS.to_string())).output();
    let output = output.expect("this program starts");
    assert!(output.status.success(), "{output:?}");
    let pending: [f64; 2] = serde_json::from_slice(&output.stdout).expect("it prints two numbers");
    let parked = density::ask("fast", TASKS).expect("hart never dies of its guests");
    let guests = parked.parked as f64;
    let [memory, resident] = pending.map(|bytes| bytes / 1024.0);
    let peer = parked.memory / guests / 1024.0;
    bench.record(Row {
        suite: SUITE,
        case: "memory".into(),
        unit: "KiB",
        hart: memory,
        peer,
        peer_name: "parked 0.2 guest",
        ratio: peer / memory,
        rounds: 1,
        repeated: 0,
        figures: vec![Figure {
            name: "with what is shared, and page tables",
            unit: "KiB",
            hart: resident,
            peer: Some((parked.resident + parked.tables) / guests / 1024.0),
        }],
    });
}

/// Prints bytes for each of so many tasks: what it is a share of, and with what is shared and page tables.
pub(crate) fn child(tasks: &str) {
    let tasks: u32 = tasks.parse().expect("`run` wrote it");
    let ground = Kind::Hart.start();
    let crowd: Arc<Crowd> = Arc::default();
    let plan = |tasks| Plan {
        tasks,
        rounds: 1,
        rest: Duration::from_secs(3600),
        iterations: 0,
        spread: false,
    };
    let start = |tasks| {
        let noted: Arc<Noted> = Arc::default();
        let group = ground.group(WEIGHT);
        let end = ground.start_loop(&group, State::new(&crowd, plan(tasks), &noted));
        noted.wait_for(tasks);
        end
    };
    // One with a single task has what is made once: the engine's pool, compiled code, the instance itself.
    let few = start(1);
    let before = Usage::now();
    let many = start(tasks);
    let now = Usage::now();
    let each = |bytes: f64| bytes / f64::from(tasks);
    let found = [
        each(now.memory - before.memory),
        each(now.resident - before.resident + now.tables - before.tables),
    ];
    println!("{}", serde_json::to_string(&found).expect("two numbers"));
    few();
    many();
    crowd.wait();
}
