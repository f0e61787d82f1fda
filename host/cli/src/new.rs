//! `hart new NAME`: a guest project, ready to build.
//!
//! The build settings are the point: they make instances that start fast, and a dependency cannot
//! set them for its user.

use crate::args::NewArgs;
use crate::failure::{Failure, to_stdout};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

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

/// Names that cargo refuses, or that would clash with what the project depends on.
const RESERVED: [&str; 62] = [
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
    "hart-guest",
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
    check(&args.name)?;
    let sdk = match &args.sdk_path {
        Some(path) => format!("{{ path = {} }}", quoted(&sdk_directory(path)?)?),
        None => format!("\"{}\"", env!("CARGO_PKG_VERSION")),
    };
    let root = Path::new(&args.name);
    // Not `create_dir_all`: whatever is there already stays untouched.
    fs::create_dir(root).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::usage(format!(
            "`{}` exists already; choose another name, or remove it first",
            args.name
        )),
        _ => Failure::usage(format!(
            "cannot make the directory `{}`: {error}",
            args.name
        )),
    })?;
    for (path, content) in FILES {
        let content = content.replace("{name}", &args.name).replace("{sdk}", &sdk);
        write(&root.join(path), &content)?;
    }
    to_stdout(&format!(
        "Wrote {name}. Next:\n  cd {name}\n  cargo build --release\n  \
         hart target/wasm32-wasip2/release/{name}.wasm\n",
        name = args.name
    ));
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
