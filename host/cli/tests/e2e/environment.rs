//! The environment that a guest gets.

use crate::support::{Finished, Running, command, hart};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

fn env(own: &[(&str, &[u8])], arguments: &[&str]) -> Finished {
    let mut hart = command();
    hart.env_clear().env("HOME", std::env::temp_dir());
    for (key, value) in own {
        hart.env(key, OsStr::from_bytes(value));
    }
    hart.args(["--no-cache"]).args(arguments);
    hart.arg(hart_build::guest("probe")).arg("env");
    Running::start(&mut hart, &[]).wait().exits(0)
}

fn values<'a>(ended: &'a Finished, key: &str) -> Vec<&'a str> {
    let pairs = ended.stdout.lines().filter_map(|line| line.split_once('='));
    pairs
        .filter(|(name, _)| *name == key)
        .map(|(_, value)| value)
        .collect()
}

/// Hunts two entries of one name, of which guests mostly take the first.
#[test]
pub(crate) fn the_last_value_wins() {
    let outer: (&str, &[u8]) = ("K", b"outer");
    let ended = env(&[outer], &["-S", "inherit-env", "--env", "K=inner"]);
    assert_eq!(values(&ended, "K"), ["inner"]);
    let ended = env(&[outer], &["--env", "K=inner", "-S", "inherit-env"]);
    assert_eq!(values(&ended, "K"), ["inner"]);
    let ended = env(&[outer], &["--env", "K=1", "--env", "L=2", "--env", "K=3"]);
    assert_eq!(values(&ended, "K"), ["3"]);
    assert_eq!(values(&ended, "L"), ["2"]);
    let ended = env(&[outer], &["--env", "K=1", "--env", "K"]);
    assert_eq!(values(&ended, "K"), ["outer"]);
    let ended = env(&[outer], &["-S", "inherit-env"]);
    assert_eq!(values(&ended, "K"), ["outer"]);
    assert_eq!(ended.stderr, "");
}

/// Hunts variables that are left out without a word, and words about variables that nobody misses.
#[test]
fn what_cannot_be_inherited_is_told() {
    let own: [(&str, &[u8]); 3] = [("GOOD", b"good"), ("BAD", b"\xff"), ("WORSE", b"a\xfe")];
    let ended = env(&own, &["-S", "inherit-env"]);
    assert_eq!(values(&ended, "GOOD"), ["good"]);
    assert!(values(&ended, "BAD").is_empty() && values(&ended, "WORSE").is_empty());
    let told = |name: &str| {
        ended
            .stderr
            .lines()
            .filter(|line| line.contains(name))
            .count()
    };
    assert_eq!(
        (told("BAD"), told("WORSE"), told("GOOD")),
        (1, 1, 0),
        "{ended:#?}"
    );

    let ended = env(&own, &["-S", "inherit-env", "--env", "BAD=better"]);
    assert_eq!(values(&ended, "BAD"), ["better"]);
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:#?}");
    let ended = env(&own, &[]);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("\n", ""));
}

/// Hunts a line that wasmtime takes and hart does not: `-S cli` is how wasmtime's server is told to link what guests print
/// with.
#[test]
pub(crate) fn every_guest_has_wasi_cli() {
    let ended = env(&[], &["-S", "cli", "--env", "K=1"]);
    assert_eq!(values(&ended, "K"), ["1"]);
    let refused = hart(["run", "-S", "cli=n", "guest.wasm"]).exits(2);
    assert!(refused.stderr.contains("leave it out"), "{refused:#?}");
}
