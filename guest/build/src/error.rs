//! Why the guests could not be built.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why the guests could not be built.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// A program that is needed could not be started.
    Start(String, io::Error),
    /// This target is not installed and could not be; the text says why.
    Target(String, String),
    /// cargo failed, and said this (nothing if it was shown already).
    Cargo(String),
    /// A file or directory could not be used.
    File(PathBuf, io::Error),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(program, _) => write!(
                f,
                "cannot build the guests: `{program}` could not be started; is it in PATH?"
            ),
            Self::Target(target, text) => write!(
                f,
                "cannot build the guests: Rust's standard library for {target} is not installed \
                 ({text}).\nInstall it with `rustup target add {target}` where there is a network, or \
                 from wherever your Rust comes (a package may be called rust-std-{target})."
            ),
            Self::Cargo(text) if text.is_empty() => f.write_str("the guests could not be built"),
            Self::Cargo(text) => write!(f, "the guests could not be built:\n{text}"),
            Self::File(path, _) => {
                write!(
                    f,
                    "cannot build the guests: no access to {}",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start(_, error) | Self::File(_, error) => Some(error),
            Self::Target(..) | Self::Cargo(_) => None,
        }
    }
}
