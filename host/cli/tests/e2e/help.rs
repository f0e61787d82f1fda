//! What `--help` and the `help` keys say.

use crate::support::{Running, command, hart};

/// Hunts options that nobody can find, and a front page that has grown past a screen.
#[test]
fn help_mentions_every_option() {
    let front = hart(["--help"]).exits(0).stdout;
    for part in [
        "run",
        "serve",
        "work",
        "submit",
        "jobs",
        "blame",
        "compile",
        "top",
        "wast",
        "sim",
        "new",
        "wit",
        "demo",
        "Examples:",
        "HART_LOG",
    ] {
        assert!(front.contains(part), "{part}: {front}");
    }
    assert!(front.lines().count() <= 31, "{front}");

    let run = hart(["run", "--help"]).exits(0).stdout;
    for part in [
        "--dir",
        "--env",
        "-S",
        "--invoke",
        "--workers",
        "--preempt",
        "epoch",
        "fuel",
        "none",
        "--slice",
        "--timeout",
        "-W",
        "--stats",
        "json",
        "--allow-precompiled",
        "--no-cache",
        "What the guest gets:",
        "Scheduling:",
        "Limits:",
        "Files:",
        "Examples:",
        "134",
        "124",
        "130",
        "143",
    ] {
        assert!(run.contains(part), "{part}: {run}");
    }
    let compile = hart(["compile", "--help"]).exits(0).stdout;
    for part in ["FILE", "--output", "--preempt", "--target"] {
        assert!(compile.contains(part), "{part}: {compile}");
    }
    let wast = hart(["wast", "--help"]).exits(0).stdout;
    for part in ["FILE", "--workers", "--preempt", "assert_trap", "Examples:"] {
        assert!(wast.contains(part), "{part}: {wast}");
    }
    let noisy = hart(["demo", "noisy", "--help"]).exits(0).stdout;
    for part in ["--time", "--guests", "--spinners", "--workers"] {
        assert!(noisy.contains(part), "{part}: {noisy}");
    }
    let new = hart(["new", "--help"]).exits(0).stdout;
    for part in ["NAME", "--sdk-path"] {
        assert!(new.contains(part), "{part}: {new}");
    }
}

/// Hunts a group's help that wants a file first, or leaves out what a limit is without the option.
#[test]
fn groups_list_their_keys() {
    // Scripts have no limit of memory by default.
    for (line, memory) in [
        (
            &["-W", "help"][..],
            "results not yet joined. [default: 768MiB]",
        ),
        (
            &["run", "-W", "help"],
            "results not yet joined. [default: 768MiB]",
        ),
        (
            &["wast", "-W", "help", "x"],
            "results not yet joined. [default: none]",
        ),
    ] {
        let limits = hart(line).exits(0).stdout;
        for part in [
            "max-memory=SIZE",
            memory,
            "fuel",
            "timeout",
            "max-tasks",
            "max-depth",
        ] {
            assert!(limits.contains(part), "{part}: {limits}");
        }
    }
    let wasi = hart(["-S", "help"]).exits(0).stdout;
    for part in [
        "inherit-env",
        "inherit-network",
        "tcp",
        "udp",
        "allow-ip-name-lookup",
    ] {
        assert!(wasi.contains(part), "{part}: {wasi}");
    }
}

/// Hunts a panic where the reader of the output goes away, as `hart --help | head -1` makes it.
#[test]
fn a_closed_pipe_is_no_panic() {
    let mut shell = std::process::Command::new("sh");
    shell
        .arg("-c")
        .arg("\"$0\" run --help | true; \"$0\" no-such-file.wasm 2>&1 | true; \"$0\" --help >&-")
        .arg(command().get_program());
    let ended = Running::start(&mut shell, &[]).wait();
    assert!(!ended.stderr.contains("panicked"), "{ended:#?}");
}

/// Hunts a usage error that exits with a guest's code, or a bare `hart` that says nothing.
#[test]
fn without_arguments_it_says_what_it_takes() {
    let ended = hart([""; 0]).exits(2);
    assert!(ended.stderr.contains("Usage: hart"), "{ended:#?}");
}

/// Hunts a demonstration that shows nothing, or one side only, or does not end.
#[test]
pub(crate) fn the_demonstration_shows_both_sides() {
    let shown = hart([
        "demo",
        "noisy",
        "--time",
        "1s",
        "--guests",
        "3",
        "--spinners",
        "4",
    ])
    .exits(0)
    .stdout;
    for side in ["hart ", "tokio + wasmtime"] {
        let line = shown.lines().find(|line| line.starts_with(side));
        let line = line.unwrap_or_else(|| panic!("{side}: {shown}"));
        assert!(line.contains(" ms") && line.ends_with("cores"), "{shown}");
    }
    let refused = hart(["demo", "noisy", "--guests", "0"]).exits(2);
    assert!(refused.stderr.contains("--guests"), "{}", refused.stderr);
}
