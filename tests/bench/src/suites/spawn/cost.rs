//! What a task costs in instructions and allocations, counted by valgrind: the same on a busy machine and on a quiet one.
//!
//! A process that does many tasks is compared with one that does fewer: what they have in common is not the tasks'. The
//! count includes the guest's own code, and none of the system's.

use super::grounds::{Call, Ground, Group, Runs, Tokio, have_little_address_space};
use crate::{
    child,
    measure::Bench,
    row::{Figure, Row},
};
use hart_build::Stack;
use std::{
    ffi::OsStr,
    process::{Command, Stdio},
};

/// Tasks of the smaller process, and of the larger one.
const TASKS: [u64; 2] = [500, 1_500];

/// Each alone on one worker, by the name that its process is told.
const SIDES: [&str; 3] = ["group", "runs", "tokio"];

pub(super) fn run(bench: &mut Bench, suite: &'static str) {
    let cases = [("cost/noop", 0), ("cost/noop/runs", 1)];
    if !cases.iter().any(|(case, _)| bench.wants(suite, case)) {
        return;
    }
    if Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        eprintln!("hart-bench: there is no valgrind: no row of `{suite}/cost`");
        return;
    }
    let costs = SIDES.map(|side| {
        let instructions = each(side, "--tool=callgrind", "Collected : ");
        let allocations = each(side, "--leak-check=no", "total heap usage: ");
        (instructions / 1e3, allocations)
    });
    let (peer, peer_allocations) = costs[2];
    for (case, side) in cases {
        if !bench.wants(suite, case) {
            continue;
        }
        let (hart, allocations) = costs[side];
        bench.record(Row {
            suite,
            case: case.into(),
            unit: "k instructions",
            hart,
            peer,
            peer_name: "same engine",
            ratio: peer / hart,
            rounds: 1,
            repeated: 0,
            figures: vec![Figure {
                name: "allocations",
                unit: "",
                hart: allocations,
                peer: Some(peer_allocations),
            }],
        });
    }
}

/// What one more task adds to the number that stands behind `before` in what valgrind says.
fn each(side: &str, tool: &str, before: &str) -> f64 {
    let [fewer, more] = TASKS.map(|tasks| {
        let doing = child::command("starts", OsStr::new(&format!("{side}:{tasks}")));
        let mut valgrind = Command::new("valgrind");
        valgrind
            .args(
                [tool, "--callgrind-out-file=/dev/null"]
                    .iter()
                    .filter(|option| {
                        // memcheck does not know it.
                        tool.ends_with("callgrind") || !option.starts_with("--callgrind")
                    }),
            )
            .arg(doing.get_program())
            .args(doing.get_args());
        let output = valgrind.output().expect("it was there a moment ago");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let (_, counted) = said.split_once(before).expect("it counts");
        let number: String = counted
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == ',')
            .filter(char::is_ascii_digit)
            .collect();
        number.parse::<f64>().expect("a number")
    });
    (more - fewer) / (TASKS[1] - TASKS[0]) as f64
}

/// The part of a process of its own: `SIDE:TASKS`.
pub(super) fn child(argument: &str) {
    have_little_address_space();
    let (side, tasks) = argument.split_once(':').expect("`each` wrote it");
    let tasks = tasks.parse().expect("`each` wrote it");
    let guest =
        std::fs::read(hart_build::bench_guest("spawned", Stack::Small)).expect("it was just built");
    let ground: Box<dyn Ground> = match side {
        "group" => Box::new(Group::start(1, &guest, Call::Noop)),
        "runs" => Box::new(Runs::start(1, &guest, Call::Noop)),
        _ => Box::new(Tokio::with_harts_engine(1, &guest, Call::Noop)),
    };
    // Pools are warm afterwards.
    ground.run(100);
    ground.run(tasks);
}
