//! Gathers the sources of the guest SDK, which `hart new` writes into every project: a project builds as it is written,
//! whether a registry has the SDK or not.
//!
//! They are in `sdk/`, as links to where they stand in the checkout. Cargo follows links when it makes a package, so the
//! package has them too. It would leave out a directory with a `Cargo.toml`, so manifests have another name there.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Where the sources are.
const SDK: &str = "sdk";

/// What a `Cargo.toml` is called there.
const MANIFEST: &str = "manifest.toml";

/// The lock file of the workspace; `hart new` writes it into the project itself.
const LOCK: &str = "lock.toml";

fn main() -> io::Result<()> {
    // Asked when it runs: a target directory may outlive the checkout that it was built for.
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join(SDK);
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let mut files = Vec::new();
    gather(&root, Path::new(""), &mut files)?;
    files.retain(|file| file != Path::new(MANIFEST) && file != Path::new(LOCK));
    files.sort();
    let mut table = String::from("&[\n");
    for file in files {
        let from = root.join(&file);
        let to = if file.ends_with(MANIFEST) {
            file.with_file_name("Cargo.toml")
        } else {
            file
        };
        let _ = writeln!(table, "    ({to:?}, include_str!({from:?})),");
    }
    table.push(']');
    fs::write(out.join("sdk.rs"), table)?;

    let target = env::var("TARGET").expect("cargo sets it");
    println!("cargo:rustc-env=HART_TARGET={target}");
    let lock = fs::read_to_string(root.join(LOCK))?;
    let wasmtime = version(&lock, "wasmtime").unwrap_or("48");
    println!("cargo:rustc-env=HART_WASMTIME={wasmtime}");

    let manifest = fs::read_to_string(root.join(MANIFEST))?;
    fs::write(out.join("sdk.toml"), sdk_workspace(&manifest))
}

/// The version of a package in a lock file.
fn version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let start = format!("name = \"{package}\"\nversion = \"");
    let (_, rest) = lock.split_once(&start)?;
    Some(rest.split_once('"')?.0)
}

/// The files below `path`.
fn gather(root: &Path, path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let from = root.join(path);
    // Where a link leads: cargo looks at the times of what it is told, and a link's own time does not change.
    println!("cargo:rerun-if-changed={}", from.canonicalize()?.display());
    if from.is_file() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    for entry in fs::read_dir(from)? {
        gather(root, &path.join(entry?.file_name()), files)?;
    }
    Ok(())
}

/// The workspace that the SDK's crates inherit from: this one's, with them as its only members.
fn sdk_workspace(manifest: &str) -> String {
    let from = manifest
        .find("[workspace.package]")
        .expect("what members inherit");
    let inherited = &manifest[from..];
    let to = inherited.find("[profile.").unwrap_or(inherited.len());
    let mut lines: Vec<&str> = inherited[..to].lines().collect();
    // The comment above the first profile.
    while lines
        .last()
        .is_some_and(|line| line.is_empty() || line.starts_with('#'))
    {
        lines.pop();
    }
    format!(
        "# The SDK of hart, as of the `hart new` that wrote it.\n[workspace]\nresolver = \"3\"\nmembers = [\"guest/macros\", \"guest/sdk\", \"host/executor\"]\n\n{}\n",
        lines.join("\n")
    )
}
