//! `hart new NAME`: a guest project, ready to build; `hart new --config`: a server's configuration.

mod other;
mod rust;

use crate::failure::Failure;
use crate::output::to_stdout;
use crate::wit::write;
use clap::{Args, ValueEnum};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  hart new counter && cd counter && cargo build --release
  hart new --lang python counter            the same in Python; or javascript, or c
  hart new --config                         an example of hart.toml, with its schema";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct NewArgs {
    /// The project's name, also the name of its new directory
    #[arg(value_name = "NAME", required_unless_present = "config")]
    pub(crate) name: Option<String>,

    /// The language it is written in
    #[arg(long, value_enum, default_value_t = Lang::Rust, value_name = "LANGUAGE")]
    pub(crate) lang: Lang,

    /// Write a program of WASI 0.3 that waits asynchronously, in Rust
    #[arg(long = "async")]
    pub(crate) is_async: bool,

    /// Write hart.toml, a commented example for `hart serve`, and hart.schema.json here instead
    #[arg(long, conflicts_with_all = ["name", "lang", "is_async", "sdk_path"])]
    pub(crate) config: bool,

    /// Use the crate hart-guest of a checkout of hart at DIR, instead of copying the SDK's sources
    /// into the project
    #[arg(long, value_name = "DIR")]
    pub(crate) sdk_path: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lang {
    Rust,
    Python,
    #[value(alias = "js")]
    Javascript,
    C,
}

/// A server's configuration, and what editors check it with.
const CONFIG_FILES: [(&str, &str); 2] = [
    ("hart.toml", include_str!("../template/hart.toml.in")),
    (
        "hart.schema.json",
        include_str!("../template/hart.schema.json"),
    ),
];

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
    let language = match args.lang {
        Lang::Rust => None,
        Lang::Python => Some(other::PYTHON),
        Lang::Javascript => Some(other::JAVASCRIPT),
        Lang::C => Some(other::C),
    };
    if language.is_some() && (args.is_async || args.sdk_path.is_some()) {
        let option = if args.is_async {
            "--async"
        } else {
            "--sdk-path"
        };
        return Err(Failure::usage(format!(
            "{option} is for projects in Rust; leave it out, or leave out --lang"
        )));
    }
    let sdk = match &args.sdk_path {
        Some(path) => Some(rust::quoted(&rust::sdk_directory(path)?)?),
        None => None,
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
    let (build, component) = match &language {
        Some(language) => {
            language.write(root, name)?;
            (language.build, format!("{name}.wasm"))
        }
        None => {
            let component = rust::write_project(root, name, sdk.as_deref(), args.is_async)?;
            ("cargo build --release", component)
        }
    };
    to_stdout(&format!(
        "Wrote {name}. Next:\n  cd {name}\n  {build}\n  hart {component}\n"
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
        for (path, content) in rust::FILES
            .iter()
            .filter(|(path, _)| !path.ends_with(".rs"))
        {
            let filled = content
                .replace("{name}", "x")
                .replace("{file}", "x")
                .replace("{sdk}", "y");
            assert!(!filled.contains('{'), "{path}");
        }
    }
}
