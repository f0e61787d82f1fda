//! `hart new NAME`: a guest project, ready to build; `hart new --config`: a server's configuration.
//!
//! The build settings are the point: they make instances that start fast, and a dependency cannot
//! set them for its user.

use crate::failure::Failure;
use crate::output::to_stdout;
use clap::Args;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  hart new counter && cd counter && cargo build --release
  hart new --config                         an example of hart.toml, with its schema";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct NewArgs {
    /// The project's name, also the name of its new directory
    #[arg(value_name = "NAME", required_unless_present = "config")]
    pub(crate) name: Option<String>,

    /// Write hart.toml, a commented example for `hart serve`, and hart.schema.json here instead
    #[arg(long, conflicts_with_all = ["name", "sdk_path"])]
    pub(crate) config: bool,

    /// Use the crate hart-guest of a checkout of hart at DIR, instead of copying the SDK's sources
    /// into the project
    #[arg(long, value_name = "DIR")]
    pub(crate) sdk_path: Option<PathBuf>,
}

/// The project's files, with `{name}` and `{sdk}` to be filled in.
const FILES: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("../template/Cargo.toml.in")),
    (
        ".cargo/config.toml",
        include_str!("../template/config.toml.in"),
    ),
    ("src/main.rs", include_str!("../template/main.rs.in")),
    ("README.md", include_str!("../template/README.md.in")),
    (".gitignore", "/target\n"),
];

/// A server's configuration, and what editors check it with.
const CONFIG_FILES: [(&str, &str); 2] = [
    ("hart.toml", include_str!("../template/hart.toml.in")),
    (
        "hart.schema.json",
        include_str!("../template/hart.schema.json"),
    ),
];

/// The versions that hart itself is built with, and so those that are on a machine where it was built. Cargo takes out
/// what the project does not need.
const LOCK: &str = include_str!("../sdk/lock.toml");

/// The SDK's sources, with their paths below [`SDK`].
const SDK_FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// The workspace that they belong to.
const SDK_WORKSPACE: &str = include_str!(concat!(env!("OUT_DIR"), "/sdk.toml"));

/// Where a project has them.
const SDK: &str = "hart-sdk";

/// Names that cargo refuses, or that would clash with what the project depends on.
const RESERVED: [&str; 64] = [
    "Self",
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "hart-executor",
    "hart-guest",
    "hart-guest-macros",
    "hart_guest",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// The longest name that every file system takes with room for an extension.
const LONGEST: usize = 64;

/// Writes the project.
///
/// # Errors
/// A bad name, something that exists already, an SDK that is not where it was said to be, or a file
/// that cannot be written.
pub(crate) fn new(args: &NewArgs) -> Result<(), Failure> {
    let Some(name) = args.name.as_deref() else {
        return config();
    };
    check(name)?;
    let sdk = match &args.sdk_path {
        Some(path) => quoted(&sdk_directory(path)?)?,
        None => format!("\"{SDK}/guest/sdk\""),
    };
    let root = Path::new(name);
    // Not `create_dir_all`: whatever is there already stays untouched.
    fs::create_dir(root).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::usage(format!(
            "`{}` exists already; choose another name, or remove it first",
            name
        )),
        _ => Failure::usage(format!("cannot make the directory `{}`: {error}", name)),
    })?;
    for (path, content) in FILES {
        let content = content.replace("{name}", name).replace("{sdk}", &sdk);
        write(&root.join(path), &content)?;
    }
    write(&root.join("Cargo.lock"), LOCK)?;
    if args.sdk_path.is_none() {
        let sdk = root.join(SDK);
        write(&sdk.join("Cargo.toml"), SDK_WORKSPACE)?;
        for (path, content) in SDK_FILES {
            write(&sdk.join(path), content)?;
        }
    }
    to_stdout(&format!(
        "Wrote {name}. Next:\n  cd {name}\n  cargo build --release\n  \
         hart target/wasm32-wasip2/release/{name}.wasm\n"
    ));
    Ok(())
}

/// Writes a server's configuration into the current directory.
fn config() -> Result<(), Failure> {
    if let Some((path, _)) = CONFIG_FILES
        .iter()
        .find(|(path, _)| Path::new(path).exists())
    {
        return Err(Failure::usage(format!(
            "`{path}` exists already; remove it first, or go to another directory"
        )));
    }
    for (path, content) in CONFIG_FILES {
        write(Path::new(path), content)?;
    }
    to_stdout(
        "Wrote hart.toml and hart.schema.json. Next: have `component` name yours, then\n  \
         hart serve --check hart.toml\n  hart serve hart.toml\n",
    );
    Ok(())
}

fn write(path: &Path, content: &str) -> Result<(), Failure> {
    let written = match path.parent() {
        Some(parent) => fs::create_dir_all(parent),
        None => Ok(()),
    }
    .and_then(|()| fs::write(path, content));
    written.map_err(|error| Failure::usage(format!("cannot write it: {error}")).at(path))
}

/// A name that is a package's, a binary's and a directory's at once.
fn check(name: &str) -> Result<(), Failure> {
    let wrong = if name.is_empty() {
        "is empty"
    } else if name.len() > LONGEST {
        "is longer than 64 bytes"
    } else if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        "does not start with a letter"
    } else if !name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    {
        "has characters other than letters, digits, `-` and `_`"
    } else if RESERVED.contains(&name) {
        "is taken by Rust, cargo or hart"
    } else {
        return Ok(());
    };
    Err(Failure::usage(format!(
        "the name `{name}` {wrong}; use one like `my-guest`"
    )))
}

/// The directory of the crate `hart-guest` in `path`, which is that directory or a checkout of hart.
fn sdk_directory(path: &Path) -> Result<PathBuf, Failure> {
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
fn quoted(path: &Path) -> Result<String, Failure> {
    path.to_str()
        .and_then(|text| serde_json::to_string(text).ok())
        .ok_or_else(|| Failure::usage("is not UTF-8, which Cargo.toml has to be").at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts names that escape the current directory, are taken for options, or that cargo refuses
    /// after the project was written.
    #[test]
    fn bad_names_are_refused() {
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "/tmp/x",
            "-x",
            "1st",
            "a b",
            "é",
            "test",
            "fn",
            "hart-guest",
            "a\n",
        ] {
            assert!(check(name).is_err(), "{name:?}");
        }
        assert!(check(&"a".repeat(65)).is_err());
        for name in ["a", "my-guest", "my_guest2", "Counter"] {
            assert!(check(name).is_ok(), "{name:?}");
        }
    }

    /// Hunts a template with a place that nothing fills.
    #[test]
    fn templates_have_only_known_places() {
        for (path, content) in FILES.iter().filter(|(path, _)| !path.ends_with(".rs")) {
            let filled = content.replace("{name}", "x").replace("{sdk}", "y");
            assert!(!filled.contains('{'), "{path}");
        }
    }
}
