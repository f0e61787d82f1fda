//! Seeing to it that the compiler can build for WASI.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::BuildError;

/// Installs the target's standard library unless it is there. rustup does that by itself only where
/// its automatic installation is on, and for the workspace's own toolchain.
pub(crate) fn install(workspace: &Path, target: &str) -> Result<(), BuildError> {
    if is_installed(workspace, target)? {
        return Ok(());
    }
    let missing = |text| BuildError::Target(target.to_owned(), text);
    let output = Command::new("rustup")
        .current_dir(workspace)
        .args(["target", "add", target])
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing("there is no rustup".to_string()),
            _ => BuildError::Start("rustup".to_string(), error),
        })?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(missing(format!("rustup said: {}", text.trim_end())));
    }
    if is_installed(workspace, target)? {
        Ok(())
    } else {
        Err(missing(
            "rustup installed it, but the compiler in use does not see it; is the compiler rustup's?"
                .to_string(),
        ))
    }
}

/// The compiler.
pub(crate) fn rustc() -> OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"))
}

fn is_installed(workspace: &Path, target: &str) -> Result<bool, BuildError> {
    let output = Command::new(rustc())
        .current_dir(workspace)
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .map_err(|error| BuildError::Start("rustc".to_string(), error))?;
    // The directory's name is known whether it exists or not.
    let directory = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end());
    Ok(output.status.success() && directory.is_dir())
}
