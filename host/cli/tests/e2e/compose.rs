//! Components that are composed, each with tasks of its own.

use crate::support::{Finished, Running, Scratch, hart, root};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The script in the SDK's documentation.
fn documented() -> String {
    let readme = std::fs::read_to_string(root().join("guest/sdk/README.md")).expect("a README");
    let (_, from) = readme.split_once("```wac\n").expect("a script");
    from.split_once("```").expect("its end").0.to_owned()
}

/// Composes `part-front` and `part-back` as `script` says, with wac itself.
fn compose(scratch: &Scratch, name: &str, script: &str) -> PathBuf {
    let script = scratch.write(&format!("{name}.wac"), script);
    let out = scratch.path().join(name).with_extension("wasm");
    let part = |name: &str| {
        let file = hart_build::guest(name);
        format!(
            "hart:{}={}",
            name.trim_start_matches("part-"),
            file.display()
        )
    };
    let mut wac = Command::new(env!("CARGO"));
    wac.args(["run", "--quiet", "--locked", "--manifest-path"])
        .arg(root().join("tests/compose/Cargo.toml"))
        .arg("--target-dir")
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compose"))
        .arg("--")
        .args([script.as_os_str(), out.as_os_str()])
        .args([part("part-front"), part("part-back")])
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    Running::start(&mut wac, &[]).wait().exits(0);
    out
}

fn total(file: &Path) -> Finished {
    let call = "total([\"one two\", \"three\", \"four five six\"])";
    hart([
        "--stats=json".as_ref(),
        "--invoke".as_ref(),
        call.as_ref(),
        file.as_os_str(),
    ] as [&OsStr; 4])
}

/// Hunts parts that lose their tasks when they are composed as the documentation says, and an error that does not say
/// what to do where they were composed otherwise.
#[test]
fn composed_components_keep_their_tasks() {
    let scratch = Scratch::new();
    let script = documented();
    let both = total(&compose(&scratch, "both", &script)).exits(0);
    assert_eq!(both.stdout, "ok((6, 22))\n", "{both:#?}");
    // The root, and three of each part's.
    assert_eq!(both.stats()["tasks"], 7, "{both:#?}");

    let line = "export back[\"hart:exec/entry@0.1.0\"] as back-entry;";
    assert!(script.contains(line), "{script}");
    // As `wac plug` does it.
    let one = total(&compose(&scratch, "one", &script.replace(line, ""))).exits(0);
    for part in ["err(", "count_words", "count_letters", "as part-entry"] {
        assert!(one.stdout.contains(part), "{part}: {one:#?}");
    }
}
