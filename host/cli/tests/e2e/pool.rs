//! The pool of instances: what is chosen for it, and where the system allows little.

use std::ffi::OsStr;
use std::process::Command;

use crate::support::{Finished, Running, hart};
use serde_json::Value;

/// Runs a guest of `guest/examples`.
fn guest(name: &str, options: &[&str], arguments: &[&str]) -> Finished {
    let file = hart_build::guest(name);
    let options = options.iter().map(OsStr::new);
    hart(
        options
            .chain([file.as_os_str()])
            .chain(arguments.iter().map(OsStr::new)),
    )
}

fn setting<'a>(stats: &'a Value, name: &str) -> &'a str {
    let settings = stats["settings"].as_array().expect("a list of settings");
    let setting = settings.iter().find(|setting| setting["name"] == name);
    let setting = setting.unwrap_or_else(|| panic!("no {name}: {stats:#}"));
    assert_ne!(setting["reason"].as_str(), Some(""), "{stats:#}");
    setting["value"].as_str().expect("a text")
}

/// Hunts a large pool for a program that needs one slot of it, a small one for a program that spawns, and options that
/// change nothing.
#[test]
pub(crate) fn statistics_show_the_settings_and_options_change_them() {
    let alone = guest("hello", &["--stats=json"], &[]).exits(0).stats();
    assert_eq!(setting(&alone, "instances"), "4");
    let spawns = guest("tree", &["--stats=json"], &["9"]).exits(0);
    assert_eq!(spawns.stdout, "511\n");
    assert_eq!(setting(&spawns.stats(), "instances"), "1000");
    let options = [
        "--stats=json",
        "--instances",
        "70",
        "--pool",
        "dense",
        "--memory-reserve=1M",
    ];
    let asked = guest("tree", &options, &["3"]).exits(0).stats();
    assert_eq!(setting(&asked, "instances"), "70");
    assert_eq!(setting(&asked, "memory-reservation"), "64 MiB");
    assert_eq!(setting(&asked, "memory-reserve"), "1 MiB");
    let text = guest("hello", &["--stats", "--pool-scan=off"], &[]).exits(0);
    assert!(
        text.stderr.contains("setting  pool-scan: off (as asked)\n"),
        "{text:#?}"
    );
    let none = hart(["run", "--instances", "0", "x.wasm"]).exits(2);
    assert!(none.stderr.contains("--instances"), "{none:#?}");
}

/// Hunts a host that cannot start, or dies of its guests, under `ulimit -v`.
#[test]
fn a_small_address_space_means_a_smaller_pool() {
    let file = hart_build::guest("tree");
    let limited = |kibibytes: &str| {
        let mut command = Command::new("sh");
        let script = format!("ulimit -v {kibibytes}; exec \"$0\" \"$@\"");
        command.arg("-c").arg(script);
        command
            .arg(env!("CARGO_BIN_EXE_hart"))
            .args(["run", "--stats=json"]);
        command.args([file.as_os_str(), OsStr::new("5")]);
        Running::start(&mut command, &[]).wait()
    };
    let ended = limited("16000000").exits(0);
    assert_eq!(ended.stdout, "31\n");
    assert_ne!(setting(&ended.stats(), "memory-reservation"), "4 GiB");
    assert!(
        ended.stderr.starts_with("hart: a smaller pool, of ") && ended.stderr.contains("ulimit -v"),
        "{ended:#?}"
    );
}
