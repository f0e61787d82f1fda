//! `cargo demo`: builds the command and the guests, and runs `wordcount` over the sources of this
//! workspace's own dependencies: thousands of real files that are there after any build.
//!
//! `cargo demo --list-directories` prints these directories instead, for whoever wants to count again.

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use hart_build::{Kind, Output};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => demo(),
        ["--list-directories"] => list_directories(),
        _ => {
            eprintln!("usage: cargo demo [--list-directories]");
            return ExitCode::from(2);
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        let mut source = error.source();
        while let Some(error) = source {
            eprintln!("  because: {error}");
            source = error.source();
        }
        ExitCode::FAILURE
    })
}

fn list_directories() -> Result<ExitCode, Box<dyn Error>> {
    let mut out = io::stdout().lock();
    for directory in dependencies()? {
        writeln!(out, "{}", directory.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn demo() -> Result<ExitCode, Box<dyn Error>> {
    let directories = dependencies()?;
    eprintln!("Building the command `hart` (the first time this compiles wasmtime: some minutes)");
    // With the workspace's features, and a test among the targets: then its dependencies are those of the tests, and one
    // build serves both.
    let built = Command::new(cargo())
        .args([
            "build",
            "--workspace",
            "--bin",
            "hart",
            "--test",
            "workspace",
            "--locked",
        ])
        .status()?;
    if !built.success() {
        return Err("the command `hart` could not be built".into());
    }
    eprintln!("Building the guests");
    let guests = hart_build::build(Kind::Hart, Output::Always)?;

    // The guest sees one directory, read-only: that which holds all the packages.
    let root = directories
        .first()
        .and_then(|directory| directory.parent())
        .ok_or("this workspace has no dependencies to count")?;
    let mut grant = OsString::from(root);
    grant.push("::/dependencies::ro");
    let hart = hart_build::target_directory()
        .join("debug/hart")
        .with_extension(std::env::consts::EXE_EXTENSION);
    eprintln!("Counting the sources of {} packages", directories.len());
    let mut command = Command::new(&hart);
    command
        .args(["run", "--stats", "--dir"])
        .arg(grant)
        .arg(guests.path("wordcount"))
        .args(directories.iter().filter_map(|directory| {
            let name = directory.strip_prefix(root).ok()?;
            Some(Path::new("/dependencies").join(name))
        }));
    let status = command.status()?;
    Ok(ExitCode::from(
        status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(1),
    ))
}

/// Where cargo keeps the sources of the packages from its registry that this workspace is built from on
/// this machine, sorted. All of them are beside each other.
fn dependencies() -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let host = rustc_host()?;
    let output = Command::new(cargo())
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", &host])
        .output()?;
    if !output.status.success() {
        io::stderr().write_all(&output.stderr)?;
        return Err("`cargo metadata` failed".into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let mut directories: Vec<_> = packages
        .filter(|package| {
            package["source"]
                .as_str()
                .is_some_and(|source| source.starts_with("registry+"))
        })
        .filter_map(|package| Path::new(package["manifest_path"].as_str()?).parent())
        .filter(|directory| directory.is_dir())
        .map(Path::to_path_buf)
        .collect();
    directories.sort();
    directories.dedup();
    let root = directories.first().and_then(|first| first.parent());
    let root = root.map(Path::to_path_buf);
    directories.retain(|directory| directory.parent() == root.as_deref());
    Ok(directories)
}

fn rustc_host() -> Result<String, Box<dyn Error>> {
    let output = Command::new("rustc").arg("-vV").output()?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("`rustc -vV` names no host")?.to_string())
}

fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"))
}
