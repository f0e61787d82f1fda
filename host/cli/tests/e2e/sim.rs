//! `hart sim` from outside.

use crate::support::{Finished, Scratch, hart, root};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

fn line(options: &[&str], guest: &str, args: &[&str]) -> Vec<OsString> {
    let mut line: Vec<OsString> = vec!["sim".into()];
    line.extend(options.iter().map(OsString::from));
    line.push(hart_build::guest(guest).into());
    line.extend(args.iter().map(OsString::from));
    line
}

fn sim(options: &[&str], guest: &str, args: &[&str]) -> Finished {
    hart(line(options, guest, args))
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

// Hunts whatever reaches a run from outside: cores, addresses, hash seeds, clocks, other threads.
#[test]
pub(crate) fn another_process_on_other_cores_does_the_same() {
    for (guest, args) in [
        ("pipeline", ["3", "500"]),
        ("pipeline-async", ["3", "500"]),
        ("tree-async", ["4", ""]),
        ("sleeper", ["5", "7"]),
    ] {
        let mut seen = Vec::new();
        for cores in ["0", "0-63"] {
            let trace = file(&format!("sim-{guest}-{cores}.json"));
            let trace_option = trace.to_str().unwrap();
            let options = [
                "--seed",
                "7",
                "--harts",
                "5",
                "--faults",
                "stall,late,slow,offline,jump,spurious",
                "--stats",
                "--trace",
                trace_option,
            ];
            // Where fewer cores are there, it is as many as there are.
            let output = Command::new("taskset")
                .args(["-c", cores])
                .arg(env!("CARGO_BIN_EXE_hart"))
                .args(line(&options, guest, &args))
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            seen.push((output.stdout, output.stderr, std::fs::read(&trace).unwrap()));
        }
        assert!(seen[0] == seen[1], "{guest}");
        assert!(String::from_utf8_lossy(&seen[0].1).contains("trace hash"));
    }
}

// Hunts a sleep of WASI 0.3 that takes real time: an hour would be longer than anybody waits for this test.
#[test]
fn guests_that_wait_asynchronously_sleep_in_virtual_time() {
    let text = root().join("host/runtime/tests/host/concurrent/command.wat");
    let text = std::fs::read_to_string(text).expect("a guest of the host's tests");
    let hour = text.replace("(i64.const 1000000)", "(i64.const 3600000000000)");
    assert_ne!(hour, text);
    let scratch = Scratch::new();
    let guest = scratch.write("hour.wat", hour);
    hart(["sim".as_ref(), guest.as_os_str()]).exits(0);
}

// Hunts exit codes that get lost on the way.
#[test]
pub(crate) fn exit_codes_are_the_guests() {
    sim(&[], "hello", &[]).exits(0);
    // WASI 0.2 knows success and failure only.
    sim(&[], "exit", &["7"]).exits(1);
    sim(&[], "trapper", &[]).exits(134);
    sim(&["--harts", "0"], "hello", &[]).exits(2);
    sim(&["-S", "inherit-network"], "hello", &[]).exits(2);
}

// Hunts an update that a guest loses, a replay command that does something else, and a run that leaves traces.
#[test]
pub(crate) fn a_seed_that_fails_is_found_and_replayed() {
    let found = sim(
        &["--seeds", "0..1000", "--scratch", "/data"],
        "counter",
        &["/data/n"],
    )
    .exits(1);
    let replay = found
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("replay: hart "))
        .unwrap();
    let again = hart(replay.split(' ')).exits(1);
    assert_eq!(again.stdout, found.stdout);
    sim(&["--seeds", "0..50", "--faults", "heavy"], "tree", &["4"]).exits(0);
}

// Hunts a page or a trace that a name of a guest's choice breaks out of.
#[test]
pub(crate) fn pictures_escape_what_guests_say() {
    let (page, trace) = (file("sim-page.html"), file("sim-trace.json"));
    let evil = file("sim-<b>&.wasm");
    std::fs::copy(hart_build::guest("hello"), &evil).unwrap();
    hart([
        "sim",
        "--report",
        page.to_str().unwrap(),
        "--trace",
        trace.to_str().unwrap(),
        evil.to_str().unwrap(),
    ])
    .exits(0);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("sim-\\u003cb\\u003e\\u0026.wasm") && !page.contains("<b>"));
    let trace: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(trace).unwrap()).unwrap();
    let names = trace["traceEvents"].as_array().unwrap().iter();
    assert!(
        names
            .filter(|event| event["name"] == "sim-<b>&.wasm")
            .count()
            > 0
    );
}

// Hunts curves that do not rise, and pictures that are none.
#[test]
pub(crate) fn scale_curves_are_printed_and_drawn() {
    let picture = file("sim-scale.svg");
    let drawn = hart([
        "sim",
        "--scale",
        "1,2,...,64",
        "--workload",
        "fork:500",
        "--svg",
        picture.to_str().unwrap(),
    ])
    .exits(0);
    let rows: Vec<Vec<&str>> = drawn
        .stdout
        .lines()
        .skip(2)
        .map(|row| row.split_whitespace().collect())
        .collect();
    assert_eq!(rows.len(), 7, "{}", drawn.stdout);
    let speed_up: f64 = rows[6][2].parse().unwrap();
    assert!(speed_up > 10.0, "{}", drawn.stdout);
    assert!(
        std::fs::read_to_string(picture)
            .unwrap()
            .ends_with("</svg>\n")
    );
}
