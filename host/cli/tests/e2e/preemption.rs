//! Guests that never yield.

use crate::support::{Running, command, hart, root};
use std::ffi::OsString;

const MODES: [&str; 2] = ["epoch", "fuel"];

/// A short task behind a spinner waits for the spinner's slices, and for no more than that. A few
/// come from other things that take turns with them, such as the tasks' start.
const FEW: u64 = 20;

fn guest(name: &str, options: &[&str], arguments: &[&str]) -> Vec<OsString> {
    let mut line: Vec<OsString> = options.iter().map(OsString::from).collect();
    line.push(hart_build::guest(name).into());
    line.extend(arguments.iter().map(OsString::from));
    line
}

/// Hunts a spinner that keeps the only worker: the short task would never be joined. And one that
/// outlives the root: the process would never exit. Slices are counted, not timed.
#[test]
fn a_short_task_gets_past_a_spinner() {
    for mode in MODES {
        let options = ["--workers", "1", "--preempt", mode, "--stats=json"];
        let ended = hart(guest("spinner", &options, &["beside"])).exits(0);
        assert_eq!(ended.stdout, "the short task: 42\n", "{mode}");
        let stats = ended.stats();
        let preemptions = stats["preemptions"].as_u64().expect("a count");
        assert!((1..=FEW).contains(&preemptions), "{mode}: {stats:#}");
        assert_eq!(stats["live_tasks"], 0, "{mode}: {stats:#}");
        assert_eq!(stats["tasks"], 3, "{mode}: {stats:#}");
    }
}

/// Hunts a lone spinner that nobody interrupts because nobody waits for its worker: its deadline
/// does.
#[test]
pub(crate) fn a_lone_spinner_dies_at_its_timeout() {
    for mode in MODES {
        for workers in ["1", "2"] {
            let options = [
                "--workers",
                workers,
                "--preempt",
                mode,
                "--timeout",
                "300ms",
            ];
            let ended = hart(guest("spinner", &options, &[])).exits(124);
            assert!(ended.stderr.contains("--timeout"), "{ended:#?}");
            assert_eq!(ended.stderr.lines().count(), 1, "{ended:#?}");
        }
    }
}

/// Hunts CPU time that is not charged while a guest runs without being interrupted, and children
/// whose time is nobody's.
#[test]
pub(crate) fn spinners_die_at_their_limit_of_cpu_time() {
    for mode in MODES {
        let options = ["--workers", "2", "--preempt", mode, "-W", "cpu-time=200ms"];
        let ended = hart(guest("spinner", &options, &["forever"])).exits(124);
        assert!(ended.stderr.contains("cpu-time"), "{ended:#?}");
        // The limit ends the task that reaches it: here a child, of which `main` makes an error.
        let ended = hart(guest("spinner", &options, &["many", "4"]));
        assert!(matches!(ended.code(), 1 | 124), "{ended:#?}");
        let says = ["out of time", "cpu-time"];
        let said = says.iter().any(|text| ended.stderr.contains(text));
        assert!(said, "{ended:#?}");
    }
}

/// Hunts a limit on fuel that is not enforced, or not named.
#[test]
pub(crate) fn a_spinner_runs_out_of_fuel() {
    let options = ["-W", "fuel=50_000_000"];
    let ended = hart(guest("spinner", &options, &[])).exits(1);
    assert!(ended.stderr.contains("fuel"), "{ended:#?}");
}

/// Hunts a Ctrl-C that waits for the guest, a SIGTERM that is taken for a Ctrl-C, and a guest in a
/// task of its own that survives the root.
#[test]
fn signals_end_spinners() {
    for (signal, code) in [(libc::SIGINT, 130), (libc::SIGTERM, 143)] {
        for mode in MODES {
            for arguments in [&["forever"][..], &["many", "3"]] {
                let options = ["--workers", "1", "--preempt", mode, "--stats=json"];
                let running = Running::hart(guest("spinner", &options, arguments));
                running.wait_for_the_guest();
                running.signal(signal);
                let ended = running.wait().exits(code);
                assert!(ended.stderr.contains("interrupted"), "{ended:#?}");
                assert_eq!(ended.stats()["exit_code"], code, "{ended:#?}");
            }
        }
    }
}

/// Hunts a second Ctrl-C that waits like the first: with `--preempt none` the guest cannot be
/// cancelled, and the process has to go all the same.
#[test]
pub(crate) fn the_second_signal_leaves_at_once() {
    for (second, code) in [(libc::SIGINT, 130), (libc::SIGTERM, 143)] {
        let running = Running::hart(guest("spinner", &["--preempt", "none"], &[]));
        running.wait_for_the_guest();
        running.signal(libc::SIGINT);
        // Signals of one kind that come together are one.
        running.wait_until_handled(libc::SIGINT);
        running.signal(second);
        running.wait().exits(code);
    }
}

/// Hunts a Ctrl-C that waits for a line from the terminal.
#[test]
fn signals_end_readers() {
    let cat = root().join("host/cli/tests/e2e/cat.wat");
    let running = Running::start_reading(command().arg(cat));
    running.wait_for_handler(libc::SIGINT);
    running.signal(libc::SIGINT);
    running.wait().exits(130);
}

/// Hunts a Ctrl-C that waits until a guest has slept.
#[test]
fn signals_end_sleepers() {
    for arguments in [&["3600000"][..], &["3600000", "3"]] {
        let running = Running::hart(guest("sleeper", &[], arguments));
        running.wait_for_handler(libc::SIGINT);
        running.signal(libc::SIGINT);
        running.wait().exits(130);
    }
}
