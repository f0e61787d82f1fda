//! In-guest futures, in components.

use crate::support::hart;
use std::ffi::OsStr;

fn run(guest: &std::path::Path, arguments: &[&str]) -> crate::support::Finished {
    let options = ["--stats=json", "--workers=2"].map(OsStr::new);
    hart(
        options
            .into_iter()
            .chain([guest.as_os_str()])
            .chain(arguments.iter().map(OsStr::new)),
    )
}

const PRINTED: &str = "10000 futures, sum 49995000\n32 pollables, and a task: 144\n";

/// Hunts futures that are lost, woken for nothing or never, where ten thousand of them wait in one instance
/// beside pollables and a task in another.
#[test]
fn ten_thousand_futures_beside_pollables() {
    let ended = run(&hart_build::guest("futures"), &[]).exits(0);
    assert_eq!(ended.stdout, PRINTED);
    assert_eq!(ended.stats()["tasks"], 2, "{ended:#?}");
}

/// Hunts imports of hart in what any WASI runtime is to run, and tasks that take their spawner's `block_on` for
/// their own.
#[test]
fn ten_thousand_futures_without_hart() {
    let ended = run(&hart_build::sequential_guest("futures"), &[]).exits(0);
    assert_eq!(ended.stdout, PRINTED);
    assert_eq!(ended.stats()["tasks"], 1, "{ended:#?}");
}

/// Hunts misuse that hangs for ever, or that traps without a word.
#[test]
fn misuse_traps_with_a_message() {
    let file = hart_build::guest("trapper");
    for (mode, message) in [
        ("future", "a future traps on purpose"),
        ("nested", "`block_on` was called inside of `block_on`"),
        (
            "outside",
            "`spawn_local` was used outside of `block_on`, where nobody would run it",
        ),
        ("asleep", "`block_on` would wait for ever"),
    ] {
        let ended = run(&file, &[mode]).exits(134);
        assert!(ended.stderr.contains(message), "{mode}: {ended:#?}");
    }
}
