//! What a simulation leaves: the guest's output, and files.

use crate::failure::Failure;
use std::io::Write;
use std::path::Path;

/// What a guest wrote.
pub(super) fn write(stdout: &[u8], stderr: &[u8]) -> Result<(), Failure> {
    let gone = |error: std::io::Error| {
        Failure::new(1, format!("cannot write what the guest wrote: {error}"))
    };
    std::io::stdout().write_all(stdout).map_err(gone)?;
    std::io::stdout().flush().map_err(gone)?;
    std::io::stderr().write_all(stderr).map_err(gone)
}

/// Writes a file that was asked for.
pub(super) fn save(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::usage(format!("cannot be written: {error}")).at(path))
}
