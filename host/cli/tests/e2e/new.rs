//! `hart new`: what it writes is built and run, as its README says.

use crate::support::{Finished, Running, Scratch, command, hart, root};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

fn new_in(directory: &Path, arguments: &[&OsStr]) -> Finished {
    let mut new = command();
    new.current_dir(directory).arg("new").args(arguments);
    Running::start(&mut new, &[]).wait()
}

/// Where projects are built, kept from one run of the tests to the next.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("hart-new")
}

/// Runs cargo in a project, with `hart` on the path.
fn run_cargo(project: &Path, line: &[&str]) -> Finished {
    let bin = Path::new(env!("CARGO_BIN_EXE_hart"))
        .parent()
        .expect("a directory");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = [bin.to_path_buf()]
        .into_iter()
        .chain(std::env::split_paths(&path));
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(project)
        .args(line)
        .args(["--offline", "--target-dir"])
        .arg(target())
        .env("PATH", std::env::join_paths(paths).expect("plain paths"))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET");
    Running::start(&mut cargo, &[]).wait()
}

/// Hunts a project that does not build, tasks that do not run, and build settings that are not
/// where cargo looks for them.
#[test]
pub(crate) fn a_new_project_builds_and_runs() {
    let scratch = Scratch::new();
    new_in(scratch.path(), &["my-guest".as_ref()]).exits(0);
    let project = scratch.path().join("my-guest");
    let target = target();
    let run = |line: &[&str]| run_cargo(&project, line);
    let cargo = |line: &[&str]| run(line).exits(0);
    cargo(&["build", "--release"]);
    let built = target.join("wasm32-wasip2/release/my-guest.wasm");
    let ended = hart([OsStr::new("--stats=json"), built.as_os_str()]).exits(0);
    assert_eq!(ended.stdout, "33860 primes below 400000\n");
    assert_eq!(ended.stats()["tasks"], 41, "{ended:#?}");
    // 64 KiB of stack and a little more, not the linker's megabyte.
    let memory = smallest_memory(&std::fs::read(&built).expect("what was built"));
    assert!(memory < 512 << 10, "{memory} bytes");

    let tests = cargo(&["test", "--release"]);
    assert!(tests.stdout.contains("1 passed"), "{tests:#?}");

    // A program of WASI 0.3: what tests it is a `main`, of WASI 0.2.
    let manifest = project.join("Cargo.toml");
    let written = std::fs::read_to_string(&manifest).expect("a manifest");
    let library = "\n[lib]\npath = \"src/main.rs\"\ncrate-type = [\"cdylib\"]\n";
    std::fs::write(
        &manifest,
        written.replace("[package]", "[package]\nautobins = false") + library,
    )
    .expect("a manifest that can be written");
    scratch.write("my-guest/src/main.rs", PROGRAM);
    let tests = run(&["test", "--release"]);
    assert_ne!(tests.code(), 0, "{tests:#?}");
    // The harness ran: the test that fails ends it, for a panic of a guest is an abort.
    assert!(tests.stdout.contains("test tests::fails"), "{tests:#?}");
    assert!(!tests.stdout.contains("the program ran"), "{tests:#?}");
    assert!(tests.stderr.contains("-S p3"), "{tests:#?}");
    let harness = harness(&target.join("wasm32-wasip2/release/deps"));
    let program = hart(["-S".as_ref(), "p3".as_ref(), harness.as_os_str()]).exits(0);
    assert_eq!(program.stdout, "the program ran\n");
    assert_eq!(program.stderr, "");
    let quiet = hart(["-S".as_ref(), "p3=n".as_ref(), harness.as_os_str()]);
    assert_ne!(quiet.code(), 0, "{quiet:#?}");
    assert!(!quiet.stderr.contains("-S p3"), "{quiet:#?}");
}

/// Hunts a project of WASI 0.3 that does not build, or is not where it was said to be.
#[test]
pub(crate) fn a_new_program_of_wasi_0_3_builds_and_runs() {
    let scratch = Scratch::new();
    let said = new_in(scratch.path(), &["--async".as_ref(), "my-program".as_ref()]).exits(0);
    let component = "target/wasm32-wasip2/release/my_program.wasm";
    assert!(
        said.stdout.contains(&format!("hart {component}")),
        "{said:#?}"
    );
    let project = scratch.path().join("my-program");
    run_cargo(&project, &["build", "--release"]).exits(0);
    let built = target().join("wasm32-wasip2/release/my_program.wasm");
    let ended = hart([&built]).exits(0);
    assert_eq!(ended.stdout, "33860 primes below 400000\n");
    run_cargo(&project, &["test", "--release"]).exits(0);
}

/// A program of WASI 0.3 with a test that fails.
const PROGRAM: &str = r#"
async fn run() -> Result<(), hart_guest::Failure> {
    println!("the program ran");
    Ok(())
}

hart_guest::program!(run);

#[cfg(test)]
mod tests {
    #[test]
    fn passes() {}

    #[test]
    fn fails() {
        panic!("as it should");
    }
}
"#;

/// The newest component that cargo made to test the project.
fn harness(directory: &Path) -> PathBuf {
    std::fs::read_dir(directory)
        .expect("what was built")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("my_guest-") && name.ends_with(".wasm")
        })
        .max_by_key(|path| path.metadata().and_then(|of| of.modified()).ok())
        .expect("a component")
}

/// Hunts a project that does not take the SDK from where it was told to.
#[test]
pub(crate) fn the_sdk_can_be_that_of_a_checkout() {
    let scratch = Scratch::new();
    let sdk: [&OsStr; 2] = ["--sdk-path".as_ref(), root().as_os_str()];
    new_in(scratch.path(), &["my-guest".as_ref(), sdk[0], sdk[1]]).exits(0);
    let project = scratch.path().join("my-guest");
    assert!(!project.join("hart-sdk").exists());
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(&project)
        .args(["tree", "--offline", "--depth", "1"]);
    let tree = Running::start(&mut cargo, &[]).wait().exits(0).stdout;
    let sdk = root().join("guest/sdk").canonicalize().expect("the SDK");
    assert!(tree.contains(&format!("({})", sdk.display())), "{tree}");
}

/// Bytes of the first memory that a component's core modules define.
fn smallest_memory(component: &[u8]) -> u64 {
    for payload in wasmparser::Parser::new(0).parse_all(component) {
        if let wasmparser::Payload::MemorySection(memories) = payload.expect("a valid component")
            && let Some(memory) = memories.into_iter().next()
        {
            return memory.expect("a memory").initial * 65536;
        }
    }
    panic!("no memory");
}

/// Hunts something that was there before and is overwritten, and half a project left behind.
#[test]
fn existing_directories_and_bad_names_are_refused() {
    let scratch = Scratch::new();
    scratch.write("taken", "mine");
    std::fs::create_dir(scratch.path().join("empty")).expect("a new directory");
    for name in ["taken", "empty", "..", "a/b", "fn", "no such", ""] {
        let ended = new_in(scratch.path(), &[name.as_ref()]).exits(2);
        assert_eq!(ended.stderr.lines().count(), 1, "{name}: {ended:#?}");
        assert!(ended.stderr.contains(&format!("`{name}`")), "{ended:#?}");
    }
    let nowhere: [&OsStr; 3] = ["good".as_ref(), "--sdk-path".as_ref(), "nowhere".as_ref()];
    new_in(scratch.path(), &nowhere).exits(2);
    let left = std::fs::read_dir(scratch.path())
        .expect("the directory")
        .count();
    assert_eq!(left, 2);
    let kept = std::fs::read_to_string(scratch.path().join("taken")).expect("the file");
    assert_eq!(kept, "mine");
}
