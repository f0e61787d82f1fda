//! A project in Rust. The build settings are the point: they make instances that start fast, and a dependency cannot
//! set them for its user.

use crate::failure::Failure;
use crate::wit::write;
use std::fs;
use std::path::{Path, PathBuf};

/// The project's files, with `{name}` and `{sdk}` to be filled in.
pub(super) const FILES: [(&str, &str); 4] = [
    ("Cargo.toml", include_str!("../../template/Cargo.toml.in")),
    (
        ".cargo/config.toml",
        include_str!("../../template/config.toml.in"),
    ),
    ("README.md", include_str!("../../template/README.md.in")),
    (".gitignore", "/target\n"),
];

/// A program that is a command, and one of WASI 0.3 that waits asynchronously.
const COMMAND: (&str, &str) = ("src/main.rs", include_str!("../../template/main.rs.in"));
const PROGRAM: (&str, &str) = ("src/lib.rs", include_str!("../../template/program.rs.in"));

/// What the manifest of the latter says beside.
const LIBRARY: &str = "\n[lib]\ncrate-type = [\"cdylib\"]\n";

/// The versions that hart itself is built with, and so those that are on a machine where it was built. Cargo takes out
/// what the project does not need.
const LOCK: &str = include_str!("../../sdk/lock.toml");

/// The SDK's sources, with their paths below [`SDK`].
const SDK_FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// The workspace that they belong to.
const SDK_WORKSPACE: &str = include_str!(concat!(env!("OUT_DIR"), "/sdk.toml"));

/// Where a project has them.
const SDK: &str = "hart-sdk";

/// Writes a project into the directory `root`, which is there, with the SDK of the checkout `sdk` or a copy of it. Returns
/// how it is built and where the component is then.
///
/// # Errors
/// An SDK that is not where it was said to be, or a file that cannot be written.
pub(super) fn write_project(
    root: &Path,
    name: &str,
    sdk: Option<&str>,
    is_async: bool,
) -> Result<String, Failure> {
    let bundled = format!("\"{SDK}/guest/sdk\"");
    let (program, file) = match is_async {
        true => (PROGRAM, name.replace('-', "_")),
        false => (COMMAND, name.to_owned()),
    };
    for (path, content) in FILES.into_iter().chain([program]) {
        let mut content = content
            .replace("{name}", name)
            .replace("{file}", &file)
            .replace("{sdk}", sdk.unwrap_or(&bundled));
        if is_async && path == "Cargo.toml" {
            content += LIBRARY;
        }
        write(&root.join(path), &content)?;
    }
    write(&root.join("Cargo.lock"), LOCK)?;
    if sdk.is_none() {
        let sdk = root.join(SDK);
        write(&sdk.join("Cargo.toml"), SDK_WORKSPACE)?;
        for (path, content) in SDK_FILES {
            write(&sdk.join(path), content)?;
        }
    }
    Ok(format!("target/wasm32-wasip2/release/{file}.wasm"))
}

/// The directory of the crate `hart-guest` in `path`, which is that directory or a checkout of hart.
pub(super) fn sdk_directory(path: &Path) -> Result<PathBuf, Failure> {
    let found = [path.to_path_buf(), path.join("guest/sdk")]
        .into_iter()
        .find(|directory| {
            fs::read_to_string(directory.join("Cargo.toml"))
                .is_ok_and(|manifest| manifest.contains("name = \"hart-guest\""))
        });
    let Some(found) = found else {
        return Err(Failure::usage(
            "no crate `hart-guest` there or in its guest/sdk; give the directory of a checkout of hart",
        )
        .at(path));
    };
    found
        .canonicalize()
        .map_err(|error| Failure::usage(format!("cannot be resolved: {error}")).at(path))
}

/// `path` as a string in TOML, whose escapes JSON shares.
pub(super) fn quoted(path: &Path) -> Result<String, Failure> {
    path.to_str()
        .and_then(|text| serde_json::to_string(text).ok())
        .ok_or_else(|| Failure::usage("is not UTF-8, which Cargo.toml has to be").at(path))
}
