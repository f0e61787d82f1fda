//! That README.md has what hart does with each of wasmtime's flags, and that none is forgotten.

use crate::keys::Group;
use crate::refused::REFUSED;
use crate::{grants, limits, tuning};
use std::fmt::Write as _;

/// The keys of wasmtime 48, as `wasmtime run -O help` and the like list them.
const WASMTIME: [(&str, &str); 5] = [
    ("-O", include_str!("flags/optimize.txt")),
    ("-C", include_str!("flags/codegen.txt")),
    ("-D", include_str!("flags/debug.txt")),
    ("-W", include_str!("flags/wasm.txt")),
    ("-S", include_str!("flags/wasi.txt")),
];

/// Options of `wasmtime run` that hart has too.
const OPTIONS: [(&str, &str); 9] = [
    (
        "--allow-precompiled",
        "Take a .cwasm file, which `hart compile` made.",
    ),
    ("--argv0 name", "The guest's first argument."),
    (
        "--dir .::/src",
        "Grant a directory; `::ro` after its name makes it read-only.",
    ),
    (
        "--env A=b",
        "Set a variable; without `=V`, pass on hart's own value.",
    ),
    (
        "--invoke add(1,2)",
        "Call an export; `--invoke add FILE 1 2` does the same.",
    ),
    (
        "--profile guest,/dev/null",
        "Write a profile for profiler.firefox.com; `guest` alone writes wasmtime-guest-profile.json.",
    ),
    ("--profile perfmap", "Write /tmp/perf-PID.map, for `perf`."),
    (
        "-g",
        "As -D debug-info. In wasmtime 48 this is short for --gdbstub.",
    ),
    ("--timeout 10s", "As -W timeout."),
];

/// A value that a key takes.
fn example(value: &str) -> String {
    let value = match value {
        "" => "y",
        "SIZE" => "64MiB",
        "N" => "100",
        "UNITS" => "1000000",
        "DURATION" => "10s",
        "CORES" => "1",
        "K=V" => "a=b",
        others => others.split('|').next().unwrap_or(others),
    };
    format!("={value}")
}

fn row(text: &mut String, option: &str, does: &str) {
    let _ = writeln!(text, "| `{option}` | {} |", does.replace('|', "\\|"));
}

fn rows<T>(text: &mut String, group: &Group<T>) {
    for key in &group.keys {
        let option = match key.name {
            "cranelift-*" => String::from("cranelift-opt_level=none"),
            name => format!("{name}{}", example(key.value)),
        };
        row(text, &format!("{} {option}", group.flag), key.help);
    }
}

fn refusals<T>(text: &mut String, group: &Group<T>) {
    for (name, instead) in group.refused {
        let does = format!("refused: {instead}");
        row(text, &format!("{} {name}", group.flag), &does);
    }
}

/// The tables of the page.
fn page() -> String {
    let head = |text: &mut String, title: &str| {
        let _ = writeln!(
            text,
            "\n### {title}\n\n| option | what hart does |\n| --- | --- |"
        );
    };
    let mut text = String::new();
    head(&mut text, "Options");
    for (option, does) in OPTIONS {
        row(&mut text, option, does);
    }
    for (option, instead) in REFUSED {
        row(&mut text, option, &format!("refused: {instead}"));
    }
    for (kind, instead) in tuning::PROFILES {
        row(
            &mut text,
            &format!("--profile {kind}"),
            &format!("refused: {instead}"),
        );
    }
    for group in tuning::groups() {
        head(&mut text, group.flag);
        rows(&mut text, &group);
        refusals(&mut text, &group);
    }
    let (limits, code, wasi) = (limits::group(None), tuning::wasm_group(), grants::group());
    head(&mut text, "-W");
    rows(&mut text, &limits);
    rows(&mut text, &code);
    refusals(&mut text, &code);
    head(&mut text, "-S");
    rows(&mut text, &wasi);
    refusals(&mut text, &wasi);
    text
}

/// Hunts a page that is not what the program does. To write it anew: `HART_WRITE=1 cargo test`.
#[test]
fn the_readme_has_every_flag() {
    const START: &str = "<!-- flags: written by a test -->\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let (before, found) = readme.split_once(START).unwrap();
    let page = page();
    if std::env::var_os("HART_WRITE").is_some() {
        std::fs::write(path, format!("{before}{START}{page}")).unwrap();
    } else {
        assert_eq!(
            found, page,
            "README.md; `HART_WRITE=1 cargo test` writes it"
        );
    }
}

/// Hunts a key of wasmtime's that hart neither has nor refuses with a word.
#[test]
fn no_key_of_wasmtime_is_forgotten() {
    let [optimize, codegen, debug] = tuning::groups();
    let has = |flag: &str, key: &str| match flag {
        "-O" => optimize.has(key),
        "-C" => codegen.has(key),
        "-D" => debug.has(key),
        "-W" => limits::group(None).has(key) || tuning::wasm_group().has(key),
        _ => grants::group().has(key),
    };
    let mut count = 0;
    for (flag, keys) in WASMTIME {
        for key in keys.lines() {
            assert!(has(flag, key), "{flag} {key}");
            count += 1;
        }
    }
    assert!(count > 150, "{count}");
}
