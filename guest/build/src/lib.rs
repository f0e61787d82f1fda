//! Builds the programs of `guest/examples` as components, for the tests and for whoever runs
//! `cargo guests`.
//!
//! 1. Everything happens under a lock on a file in the target directory, so any number of test
//!    processes may ask at the same time: the first one builds, the others find it built.
//! 2. It has a target directory of its own inside of the outer one: a `cargo test` that runs us holds
//!    the lock of its own until it ends.
//! 3. A missing `wasm32-wasip2` target is installed with rustup.
//! 4. A component is renamed to its final name in one step, and only when it has changed, so nobody
//!    reads half of one.
//!
//! ```no_run
//! let component = hart_build::guest("wordcount");
//! assert!(component.ends_with("target/guests/wordcount.wasm"));
//! ```

mod error;
mod target;
mod toolchain;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

pub use error::BuildError;
use target::MODULE_TARGET;
pub use target::TARGET;

/// How the guests are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// With the imports of `hart:exec`: into `target/guests`.
    Hart,
    /// With the feature `sequential`, for any WASI runtime: into `target/guests/sequential`.
    Sequential,
}

/// The path of the guest called `name`, built if that has not happened in this process.
///
/// # Panics
///
/// When it cannot be built or there is none of that name, with a message that says what to do.
pub fn guest(name: &str) -> PathBuf {
    static BUILT: OnceLock<Guests> = OnceLock::new();
    find(name, &BUILT, Kind::Hart)
}

/// Like [`guest`], with the feature `sequential`.
///
/// # Panics
///
/// As [`guest`].
pub fn sequential_guest(name: &str) -> PathBuf {
    static BUILT: OnceLock<Guests> = OnceLock::new();
    find(name, &BUILT, Kind::Sequential)
}

/// How much stack a guest is linked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stack {
    /// What this workspace sets: 64 KiB.
    Small,
    /// What Rust links where nobody sets anything: 1 MiB, which every instance sets up anew.
    Default,
}

/// The path of one of hart-bench's guests, `spawned`, `spawner` or `fan-out`, built with this much stack.
///
/// # Panics
///
/// When it cannot be built, with a message that says what to do.
pub fn bench_guest(name: &str, stack: Stack) -> PathBuf {
    build_bench_guest(name, stack).unwrap_or_else(|error| panic!("{error}"))
}

fn build_bench_guest(name: &str, stack: Stack) -> Result<PathBuf, BuildError> {
    let (file, build_directory, flags) = match stack {
        Stack::Small => (format!("{name}.wasm"), "guest-build", None),
        Stack::Default => (
            format!("{name}-default-stack.wasm"),
            "guest-build/default-stack",
            Some("-Clink-arg=-zstack-size=1048576"),
        ),
    };
    let target_directory = target_directory();
    let directory = target_directory.join("guests/bench");
    let _lock = prepare(&directory)?;
    let build_directory = target_directory.join(build_directory);
    let package = ["--package", "hart-bench-guests", "--bins", "--examples"];
    cargo_build(&build_directory, &package, flags, Output::OnFailure)?;
    let built = build_directory.join(TARGET).join("guest");
    let source = workspace().join("tests/bench/guests/src/bin").join(name);
    let built = if source.with_extension("rs").is_file() {
        built.join(name).with_extension("wasm")
    } else {
        built_library(&built, name)
    };
    publish(&built, &directory, &file)
}

fn find(name: &str, built: &OnceLock<Guests>, kind: Kind) -> PathBuf {
    let guests = built
        .get_or_init(|| build(kind, Output::OnFailure).unwrap_or_else(|error| panic!("{error}")));
    assert!(
        guests.names.iter().any(|known| known == name),
        "there is no guest `{name}`; there are: {}",
        guests.names.join(", ")
    );
    guests.path(name)
}

/// Guests that were built.
#[derive(Debug, Clone)]
pub struct Guests {
    /// Their names, sorted.
    pub names: Vec<String>,
    /// Where they are.
    pub directory: PathBuf,
}

impl Guests {
    /// The file of the guest called `name`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name).with_extension("wasm")
    }
}

/// When to show what cargo says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// While it builds.
    Always,
    /// In the error, if there is one.
    OnFailure,
}

/// Builds all guests.
///
/// # Errors
///
/// [`BuildError`] where the target cannot be installed, cargo fails, or files cannot be written.
pub fn build(kind: Kind, output: Output) -> Result<Guests, BuildError> {
    let target_directory = target_directory();
    let directory = match kind {
        Kind::Hart => target_directory.join("guests"),
        Kind::Sequential => target_directory.join("guests/sequential"),
    };
    let _lock = prepare(&directory)?;
    let build_directory = target_directory.join("guest-build");
    let package = ["--package", "hart-examples", "--bins"];
    let arguments = match kind {
        Kind::Hart => [&package[..], &["--examples"]].concat(),
        Kind::Sequential => [&package[..], &["--features", "sequential"]].concat(),
    };
    cargo_build(&build_directory, &arguments, None, output)?;

    let built = build_directory.join(TARGET).join("guest");
    let mut names = names("src/bin")?;
    for name in &names {
        let file = format!("{name}.wasm");
        publish(&built.join(&file), &directory, &file)?;
    }
    if kind == Kind::Hart {
        let libraries = self::names("examples")?;
        for name in &libraries {
            let file = format!("{name}.wasm");
            publish(&built_library(&built, name), &directory, &file)?;
        }
        names.extend(libraries);
        names.sort();
    }
    Ok(Guests { names, directory })
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BuildError {
    let path = path.to_path_buf();
    move |error| BuildError::File(path, error)
}

/// Makes the directory and takes the lock.
fn prepare(directory: &Path) -> Result<File, BuildError> {
    fs::create_dir_all(directory).map_err(at(directory))?;
    let lock_path = target_directory().join("guests/.lock");
    let lock = File::create(&lock_path).map_err(at(&lock_path))?;
    lock.lock().map_err(at(&lock_path))?;
    toolchain::install(&workspace(), TARGET)?;
    Ok(lock)
}

/// The path of a core module of WASI 0.1, built from a program of one file, which uses the standard library alone.
///
/// # Panics
///
/// When it cannot be built, with a message that says what to do.
pub fn module(source: &Path) -> PathBuf {
    build_module(source).unwrap_or_else(|error| panic!("{error}"))
}

fn build_module(source: &Path) -> Result<PathBuf, BuildError> {
    let directory = target_directory().join("guests/modules");
    let _lock = prepare(&directory)?;
    toolchain::install(&workspace(), MODULE_TARGET)?;
    let name = source.file_stem().unwrap_or_default().to_string_lossy();
    let built = directory.join(format!("{name}.built"));
    let output = Command::new(toolchain::rustc())
        .current_dir(workspace())
        .args([
            "--edition=2024",
            "-O",
            "-g",
            "--target",
            MODULE_TARGET,
            "-o",
        ])
        .args([&built, source])
        .output()
        .map_err(|error| BuildError::Start("rustc".to_string(), error))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(BuildError::Cargo(text.into_owned()));
    }
    publish(&built, &directory, &format!("{name}.wasm"))
}

/// Where cargo puts a program that is a library among a package's examples: it names the file as Rust names the library.
fn built_library(built: &Path, name: &str) -> PathBuf {
    let file = format!("{}.wasm", name.replace('-', "_"));
    built.join("examples").join(file)
}

/// Puts what was built where it is looked for.
fn publish(from: &Path, directory: &Path, file: &str) -> Result<PathBuf, BuildError> {
    let to = directory.join(file);
    let new = fs::read(from).map_err(at(from))?;
    if fs::read(&to).is_ok_and(|old| old == new) {
        return Ok(to);
    }
    let part = directory.join(format!(".{file}.part"));
    fs::write(&part, &new).map_err(at(&part))?;
    fs::rename(&part, &to).map_err(at(&to))?;
    Ok(to)
}

/// `flags` are instead of those of `.cargo/config.toml`.
fn cargo_build(
    build_directory: &Path,
    arguments: &[&str],
    flags: Option<&str>,
    output: Output,
) -> Result<(), BuildError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command
        .current_dir(workspace())
        .arg("build")
        .args(arguments)
        .args(["--target", TARGET, "--profile", "guest", "--target-dir"])
        .arg(build_directory);
    // What an outer cargo, clippy or CI sets for its own build: flags would replace those that
    // `.cargo/config.toml` has for guests.
    for name in [
        "CARGO_BUILD_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTFLAGS",
    ] {
        command.env_remove(name);
    }
    if let Some(flags) = flags {
        command.env("RUSTFLAGS", flags);
    }
    let result = match output {
        Output::Always => command
            .status()
            .map(|status| (status.success(), String::new())),
        Output::OnFailure => command.stdin(Stdio::null()).output().map(|out| {
            (
                out.status.success(),
                String::from_utf8_lossy(&out.stderr).into_owned(),
            )
        }),
    };
    match result {
        Ok((true, _)) => Ok(()),
        Ok((false, text)) => Err(BuildError::Cargo(text)),
        Err(error) => Err(BuildError::Start("cargo".to_string(), error)),
    }
}

/// The programs of the package: every file or directory in its `src/bin`, and in its `examples`, where those are that wait
/// with component-model async: they are libraries.
fn names(directory: &str) -> Result<Vec<String>, BuildError> {
    let directory = workspace().join("guest/examples").join(directory);
    let read = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            let is_program = path.extension().is_some_and(|extension| extension == "rs")
                || path.join("main.rs").is_file();
            if is_program && let Some(name) = path.file_stem() {
                names.push(name.to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    };
    read().map_err(|error| BuildError::File(directory, error))
}

fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package
        .ancestors()
        .nth(2)
        .expect("this package is in guest/build")
        .to_path_buf()
}

/// Where cargo puts things. A relative `CARGO_TARGET_DIR` is taken to be meant from the workspace,
/// since tests run elsewhere than the cargo that was told so.
pub fn target_directory() -> PathBuf {
    let directory =
        std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| OsString::from("target"));
    workspace().join(directory)
}
