//! `--trace`: of real runs and of simulated ones, against the rules of the format.
//!
//! The rules are those of the trace event format as viewers apply them: what breaks one of them is dropped
//! there, or drawn in a wrong place, without a word.

use crate::support::{Finished, Scratch, hart};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A trace that keeps the rules.
struct Checked {
    /// Names of the rows that hold something.
    rows: BTreeSet<String>,
    /// Polls: name, group, number of the task.
    polls: Vec<(String, String, String)>,
    /// Names of slices that are no polls.
    waits: Vec<String>,
    /// Names of instants.
    instants: Vec<String>,
    /// Names of arrows.
    arrows: Vec<String>,
}

/// Nanoseconds: the file has microseconds with three places.
fn time(event: &Value, key: &str) -> u64 {
    let time = event[key].as_f64().unwrap_or_else(|| panic!("{event}"));
    assert!(time >= 0.0, "{event}");
    (time * 1_000.0).round() as u64
}

fn text(value: &Value) -> String {
    let text = value.as_str().unwrap_or_else(|| panic!("no text: {value}"));
    text.to_owned()
}

#[derive(Default)]
struct Row {
    /// Where each slice begins and ends.
    slices: Vec<(u64, u64)>,
    others: Vec<u64>,
}

/// An end of an arrow.
struct End {
    row: u64,
    at: u64,
    name: String,
}

fn check(path: &Path) -> Checked {
    let read = std::fs::read(path).unwrap();
    let trace: Value = serde_json::from_slice(&read).unwrap();
    let mut names: BTreeMap<u64, String> = BTreeMap::new();
    let mut rows: BTreeMap<u64, Row> = BTreeMap::new();
    let mut ends: [BTreeMap<u64, End>; 2] = Default::default();
    let mut processes = 0;
    let mut checked = Checked {
        rows: BTreeSet::new(),
        polls: Vec::new(),
        waits: Vec::new(),
        instants: Vec::new(),
        arrows: Vec::new(),
    };
    for event in trace["traceEvents"].as_array().unwrap() {
        assert_eq!(event["pid"], 1, "{event}");
        let row = event["tid"].as_u64().unwrap_or_else(|| panic!("{event}"));
        let name = text(&event["name"]);
        let phase = text(&event["ph"]);
        match (phase.as_str(), name.as_str()) {
            ("M", "process_name") => processes += 1,
            ("M", "thread_name") => {
                let named = names.insert(row, text(&event["args"]["name"]));
                assert_eq!(named, None, "a row with two names: {event}");
            }
            // Of no row: what a replay needs to know of a group.
            ("M", "hart_group") => assert_eq!(row, 0, "{event}"),
            ("M", "thread_sort_index") => assert!(event["args"]["sort_index"].is_u64()),
            ("X", _) => {
                let (from, lasts) = (time(event, "ts"), time(event, "dur"));
                assert!(lasts > 0, "a slice that no arrow binds to: {event}");
                let slices = &mut rows.entry(row).or_default().slices;
                slices.push((from, from + lasts));
                if event["cat"] == "poll" {
                    let args = &event["args"];
                    checked
                        .polls
                        .push((name, text(&args["group"]), text(&args["task"])));
                } else {
                    checked.waits.push(name);
                }
            }
            ("i", _) => {
                assert_eq!(event["s"], "t", "{event}");
                rows.entry(row).or_default().others.push(time(event, "ts"));
                checked.instants.push(name);
            }
            ("s" | "f", _) => {
                let at = time(event, "ts");
                let id = event["id"].as_u64().unwrap_or_else(|| panic!("{event}"));
                let twice = ends[usize::from(phase == "f")].insert(id, End { row, at, name });
                assert!(twice.is_none(), "two arrows with one id: {event}");
                assert!(phase == "s" || event["bp"] == "e", "{event}");
            }
            _ => panic!("what is this? {event}"),
        }
    }
    assert_eq!(processes, 1);
    for (number, row) in &mut rows {
        let name = names.get(number);
        checked
            .rows
            .insert(name.unwrap_or_else(|| panic!("row {number}")).clone());
        row.slices.sort_unstable();
        for pair in row.slices.windows(2) {
            assert!(pair[0].1 <= pair[1].0, "{name:?}: {pair:?} overlap");
        }
    }
    let [starts, ends] = ends;
    assert!(
        starts.keys().eq(ends.keys()),
        "arrows without one of their ends"
    );
    for (start, end) in starts.values().zip(ends.values()) {
        assert!(start.at <= end.at, "an arrow into the past");
        assert_eq!(start.name, end.name);
        let name = if start.row == end.row {
            "wake"
        } else {
            "steal"
        };
        assert_eq!(start.name, name);
        for end in [start, end] {
            let slices = &rows[&end.row].slices;
            let before = slices.partition_point(|(from, _)| *from <= end.at);
            let inside = before > 0 && end.at < slices[before - 1].1;
            assert!(inside, "an arrow that hangs in the air at {}", end.at);
        }
        checked.arrows.push(name.into());
    }
    checked
}

fn traced(options: &[&str], file: &Path, guest: &Path, args: &[&str]) -> Finished {
    let mut line: Vec<std::ffi::OsString> = options.iter().map(Into::into).collect();
    line.push("--trace".into());
    line.push(file.into());
    line.push(guest.into());
    line.extend(args.iter().map(Into::into));
    hart(line)
}

/// Hunts polls that are not drawn or drawn twice at once, tasks without their names, arrows that viewers drop.
#[test]
pub(crate) fn real_runs_are_drawn() {
    let scratch = Scratch::new();
    let file = scratch.path().join("run.json");
    let options = ["run", "--workers", "2", "--stats=json"];
    let guest = hart_build::guest("tree");
    let stats = traced(&options, &file, &guest, &["7"]).exits(0).stats();
    let drawn = check(&file);
    let workers: BTreeSet<String> = ["worker 0", "worker 1"].map(String::from).into();
    assert!(drawn.rows.is_subset(&workers), "{:?}", drawn.rows);
    let tasks: BTreeSet<_> = drawn.polls.iter().map(|(_, _, task)| task).collect();
    assert_eq!(stats["tasks"].as_u64(), Some(tasks.len() as u64));
    let of_tasks = drawn
        .polls
        .iter()
        .filter(|(name, group, _)| name == "tree::grow" && group == "tree.wasm");
    assert!(of_tasks.count() >= 127);
    // Those that ended the run go on while its statistics are taken: one on each worker.
    assert!(drawn.polls.len() as u64 <= stats["polls"].as_u64().unwrap() + 2);
    assert!(drawn.waits.iter().all(|name| name == "parked"));
    // Every task but the root is spawned by one that is being polled.
    assert!(drawn.arrows.len() >= 127, "{}", drawn.arrows.len());
}

/// Hunts preemptions that are not seen, in both modes.
#[test]
fn preemptions_are_drawn() {
    let scratch = Scratch::new();
    let file = scratch.path().join("run.json");
    for mode in ["epoch", "fuel"] {
        let options = ["run", "--workers", "1", "--preempt", mode, "--stats=json"];
        let guest = hart_build::guest("spinner");
        let stats = traced(&options, &file, &guest, &["beside"])
            .exits(0)
            .stats();
        let drawn = check(&file);
        let preempted = drawn.instants.iter().filter(|name| *name == "preempted");
        let all = stats["preemptions"].as_u64().unwrap();
        // The spinner may be killed at one.
        let seen = preempted.count() as u64;
        assert!(seen > 0 && seen <= all, "{seen} of {all}");
        assert!(drawn.polls.iter().any(|(name, ..)| name == "spinner::add"));
    }
}

/// Hunts names that break out of their strings.
#[test]
fn names_are_escaped() {
    let scratch = Scratch::new();
    let file = scratch.path().join("run.json");
    let name = "a \"b\\<c>\u{202e}\n.wasm";
    let guest = scratch.path().join(name);
    std::fs::copy(hart_build::guest("hello"), &guest).unwrap();
    traced(&["run"], &file, &guest, &[]).exits(0);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("<c>"), "{text}");
    let drawn = check(&file);
    assert!(!drawn.polls.is_empty());
    assert!(drawn.polls.iter().all(|(name, ..)| name.contains("\"b\\")));
}

/// Hunts a run that is made for nothing, and a guest's failure that is lost behind that of a file.
#[test]
fn a_file_that_cannot_be_written_is_told() {
    let scratch = Scratch::new();
    let guest = hart_build::guest("hello");
    let nowhere = scratch.path().join("no/such/run.json");
    for command in ["run", "sim"] {
        let refused = traced(&[command], &nowhere, &guest, &[]).exits(2);
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:#?}");
        assert!(refused.stderr.contains("run.json: --trace"), "{refused:#?}");
        assert_eq!(refused.stdout, "", "{refused:#?}");
    }
    let full = Path::new("/dev/full");
    for command in ["run", "sim"] {
        let told = traced(&[command], full, &guest, &[]).exits(1);
        assert!(told.stderr.contains("/dev/full: --trace"), "{told:#?}");
        assert!(!told.stdout.is_empty());
    }
    let trapper = hart_build::guest("trapper");
    traced(&["run"], full, &trapper, &[]).exits(134);
}

/// Hunts pictures of the machine that viewers would draw in part only: under faults, and of polls that take
/// no time.
#[test]
fn simulated_runs_are_drawn() {
    let scratch = Scratch::new();
    let file = scratch.path().join("sim.json");
    let faults = "stall,slow,late,spurious,offline,jump";
    for seed in ["1", "2", "3"] {
        let options = ["sim", "--harts", "3", "--seed", seed, "--faults", faults];
        let guest = hart_build::guest("tree");
        traced(&options, &file, &guest, &["5"]).exits(0);
        let drawn = check(&file);
        assert!(drawn.rows.contains("hart 2"), "{:?}", drawn.rows);
        assert!(drawn.polls.len() > 32);
        for kind in ["wake", "steal"] {
            assert!(drawn.arrows.iter().any(|name| name == kind), "no {kind}");
        }
    }
}
