//! Whatever `hart` is given that it cannot use: one line that names the thing and the way out.

use crate::support::{Finished, Scratch, hart};
use std::path::{Path, PathBuf};

/// A component with a function, without `run`.
const ADD: &str = r#"(component
  (core module $m
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func $trap (export "trap") unreachable))
  (core instance $i (instantiate $m))
  (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
  (func (export "trap") (canon lift (core func $i "trap"))))"#;

/// Needs a version of WASI 0.3 that was never released.
const WASI_03: &str = r#"(component
  (import "wasi:cli/stdin@0.3.0-rc-2025-09-16" (instance
    (export "read-via-stream" (func (result (stream u8)))))))"#;

/// A thousand million instances in four kilobytes.
fn laughs() -> String {
    let doubled: String = (1..31)
        .map(|level| {
            let below = level - 1;
            format!(
                "(component $c{level} (alias outer 1 $c{below} (component $p))
                    (instance (instantiate $p)) (instance (instantiate $p)))"
            )
        })
        .collect();
    format!(
        "(component (component $c0 (core module $m) (core instance (instantiate $m)))
            {doubled} (instance (instantiate $c30)))"
    )
}

/// The files that the table below talks about.
struct Files {
    scratch: Scratch,
}

impl Files {
    fn new() -> Self {
        let scratch = Scratch::new();
        let wasm = |text: &str| wat::parse_str(text).expect("correct text");
        let add = wasm(ADD);
        scratch.write("empty.wasm", "");
        scratch.write("laughs.wat", laughs());
        scratch.write("truncated.wasm", &add[..add.len() * 2 / 3]);
        scratch.write("magic.wasm", &add[..4]);
        scratch.write("add.wasm", &add);
        // The same bytes in every run.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let random: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .take(4096)
        .collect();
        scratch.write("random.wasm", random);
        scratch.write("text.wasm", "this is a letter to my aunt\n");
        scratch.write("bad.wat", "(component\n  (core modul))\n");
        scratch.write(
            "module.wasm",
            wasm("(module (import \"env\" \"f\" (func)))"),
        );
        scratch.write(
            "import.wasm",
            wasm("(component (import \"acme:store/api\" (instance (export \"get\" (func)))))"),
        );
        scratch.write("nothing.wasm", wasm("(component)"));
        scratch.write("wasi03.wat", WASI_03);
        std::fs::create_dir(scratch.path().join("directory.wasm")).expect("a new directory");
        Self { scratch }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Compiles `add.wasm` and returns the path of the code.
    fn compile(&self, name: &str, preempt: &str) -> PathBuf {
        let out = self.path(name);
        let file = self.path("add.wasm");
        let line = ["compile", "--preempt", preempt, "-o"];
        hart(
            line.iter()
                .map(|part| part.as_ref())
                .chain([out.as_os_str(), file.as_os_str()]),
        )
        .exits(0);
        out
    }
}

/// Code that another release of the compiler is said to have made: its version, as it stands in the
/// file, is replaced wherever it is found.
fn aged(path: &Path) -> Vec<u8> {
    let mut code = std::fs::read(path).expect("the compiled file");
    let section = b".wasmtime.engine";
    assert!(code.windows(section.len()).any(|window| window == section));
    let version = b"48";
    let mut replaced = 0;
    for at in 0..code.len() - version.len() {
        if code[at..].starts_with(version) {
            code[at..at + version.len()].copy_from_slice(b"12");
            replaced += 1;
        }
    }
    assert!(replaced > 0);
    code
}

#[track_caller]
fn check(case: &str, ended: &Finished, code: i32, says: &[&str]) {
    assert_eq!(ended.code(), code, "{case}: {ended:#?}");
    assert_eq!(ended.stdout, "", "{case}: {ended:#?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{case}: {ended:#?}");
    assert!(ended.stderr.starts_with("hart: "), "{case}: {ended:#?}");
    for part in says {
        assert!(ended.stderr.contains(part), "{case}, `{part}`: {ended:#?}");
    }
    for part in ["panicked", "backtrace", "src/", ".rs:"] {
        assert!(!ended.stderr.contains(part), "{case}, `{part}`: {ended:#?}");
    }
}

/// Hunts panics, backtraces, walls of text, wrong exit codes, and errors that name neither the thing
/// nor the way out. `{}` in a line stands for the directory of the files.
#[test]
fn every_bad_input_is_one_line() {
    let files = Files::new();
    let epoch = files.compile("epoch.cwasm", "epoch");
    files.scratch.write("aged.cwasm", aged(&epoch));
    let cut = std::fs::read(&epoch).expect("the compiled file");
    files.scratch.write("cut.cwasm", &cut[..cut.len() / 2]);

    let table: &[(&str, &[&str])] = &[
        // Files.
        ("{}/missing.wasm", &["missing.wasm", "no such file"]),
        ("{}/directory.wasm", &["directory.wasm", "directory"]),
        ("{}/empty.wasm", &["empty.wasm", "empty", "component"]),
        (
            "{}/truncated.wasm",
            &["truncated.wasm", "truncated", "again"],
        ),
        ("{}/magic.wasm", &["magic.wasm", "truncated"]),
        ("{}/random.wasm", &["random.wasm", "not WebAssembly"]),
        ("{}/text.wasm", &["text.wasm", "not WebAssembly"]),
        ("{}/bad.wat", &["bad.wat", "2:"]),
        (
            "{}/module.wasm",
            &["module.wasm", "core module", "`env` `f`", "wasm32-wasip2"],
        ),
        (
            "{}/import.wasm",
            &["import.wasm", "acme:store/api", "compose"],
        ),
        (
            "{}/nothing.wasm",
            &["nothing.wasm", "wasi:cli/run", "wasm32-wasip2"],
        ),
        (
            "{}/add.wasm",
            &["add.wasm", "wasi:cli/run", "--invoke", "add, trap"],
        ),
        ("{}/wasi03.wat", &["wasi03.wat", "0.3", "0.2"]),
        ("{}/epoch.cwasm", &["epoch.cwasm", "--allow-precompiled"]),
        (
            "--allow-precompiled --preempt fuel {}/epoch.cwasm",
            &["epoch.cwasm", "--preempt", "fuel", "hart compile"],
        ),
        (
            "--allow-precompiled --preempt none {}/epoch.cwasm",
            &["epoch.cwasm", "--preempt", "none", "hart compile"],
        ),
        (
            "--allow-precompiled {}/aged.cwasm",
            &["aged.cwasm", "version", "hart compile"],
        ),
        ("--allow-precompiled {}/cut.cwasm", &["cut.cwasm"]),
        (
            "--allow-precompiled --pool dense {}/epoch.cwasm",
            &["epoch.cwasm", "--pool", "`fast`", "hart compile"],
        ),
        (
            "{}/laughs.wat",
            &["laughs.wat", "too much to compile", "split it"],
        ),
        // Calls.
        (
            "--invoke add(1, {}/add.wasm",
            &["add.wasm", "add(1,", "f(1, \"x\")"],
        ),
        (
            "--invoke add(1) {}/add.wasm",
            &["add.wasm", "add(1)", "arguments"],
        ),
        ("--invoke add(1,-2) {}/add.wasm", &["add.wasm", "add(1,-2)"]),
        ("--invoke sub(1,2) {}/add.wasm", &["sub", "add, trap"]),
        ("--invoke  {}/add.wasm", &["--invoke"]),
        // What the guest gets.
        (
            "--dir {}/nowhere {}/add.wasm",
            &["--dir", "nowhere", "exists"],
        ),
        (
            "--dir {}/add.wasm::/x {}/add.wasm",
            &["--dir", "not a directory"],
        ),
        ("--dir .::/x::y {}/add.wasm", &["--dir", "HOST::GUEST::ro"]),
        (
            "--env HART_SURELY_NOT_SET {}/add.wasm",
            &["--env", "HART_SURELY_NOT_SET=VALUE"],
        ),
        (
            "-S network {}/add.wasm",
            &["-S", "`network`", "inherit-network", "-S help"],
        ),
        ("-S tcp=perhaps {}/add.wasm", &["-S tcp", "perhaps"]),
        // Scheduling and limits.
        ("--workers 0 {}/add.wasm", &["--workers", "0", "1 or more"]),
        ("--workers x {}/add.wasm", &["--workers", "`x`"]),
        ("--slice 0ms {}/add.wasm", &["--slice", "zero"]),
        ("--slice 0 --preempt fuel {}/add.wasm", &["--slice", "zero"]),
        (
            "--slice 1000 {}/add.wasm",
            &["--slice", "1000", "--preempt fuel"],
        ),
        (
            "--slice 1ms --preempt none {}/add.wasm",
            &["--slice", "none"],
        ),
        (
            "--preempt sometimes {}/add.wasm",
            &["--preempt", "sometimes", "epoch, fuel, none"],
        ),
        (
            "-W max-memry=1 {}/add.wasm",
            &["-W", "`max-memry`", "`max-memory`", "-W help"],
        ),
        (
            "-W max-memory=lots {}/add.wasm",
            &["-W max-memory", "lots", "64MiB"],
        ),
        ("-W max-memory {}/add.wasm", &["-W max-memory", "key=value"]),
        (
            "-W fuel=1 --preempt epoch {}/add.wasm",
            &["-W fuel", "--preempt fuel"],
        ),
        ("--timeout 10 {}/add.wasm", &["--timeout", "10", "10ms"]),
        ("--timeout 0s {}/add.wasm", &["--timeout", "zero"]),
        ("--stats=yaml {}/add.wasm", &["--stats", "yaml", "json"]),
        ("--wrkers 2 {}/add.wasm", &["--wrkers", "--workers"]),
        ("run", &["FILE", "--help"]),
        // The other commands.
        ("compile -o {}/add.wasm {}/add.wasm", &["-o", "itself"]),
        (
            "compile {}/missing.wasm -o {}/x.cwasm",
            &["missing.wasm", "no such file"],
        ),
        (
            "compile {}/module.wasm -o {}/x.cwasm",
            &["module.wasm", "core module"],
        ),
        (
            "compile {}/add.wasm -o {}/no/where.cwasm",
            &["where.cwasm", "write"],
        ),
        ("compile {}/epoch.cwasm -o {}/x.cwasm", &["epoch.cwasm"]),
        ("new a/b", &["`a/b`", "my-guest"]),
        ("new --sdk-path {} guest", &["hart-guest", "checkout"]),
        ("wast", &["FILE"]),
    ];
    let directory = files.scratch.path().to_str().expect("a plain path");
    for (line, says) in table {
        let arguments = line.split(' ').map(|part| part.replace("{}", directory));
        check(line, &hart(arguments), 2, says);
    }
    assert!(!files.path("x.cwasm").exists(), "nothing was compiled");
}

/// Hunts a second line of output, or a guest's exit code, where the guest had not started; and exit
/// code 2 where it had.
#[test]
fn a_guest_that_had_started_is_not_bad_input() {
    let files = Files::new();
    let add = files.path("add.wasm");
    let call = |call: &str| hart(["--invoke".as_ref(), call.as_ref(), add.as_os_str()]);
    assert_eq!(call("add(1, 2)").exits(0).stdout, "3\n");
    let trapped = call("trap()").exits(134);
    assert!(trapped.stderr.starts_with("hart: "), "{trapped:#?}");
    assert!(trapped.stderr.contains("unreachable"), "{trapped:#?}");
    assert!(trapped.stderr.contains("!trap"), "{trapped:#?}");
}

/// Hunts a compiled file that does not run in its own mode.
#[test]
pub(crate) fn compiled_files_run_in_their_mode() {
    let files = Files::new();
    for mode in ["epoch", "fuel", "none"] {
        let code = files.compile(&format!("{mode}.cwasm"), mode);
        let line = [
            "--allow-precompiled",
            "--preempt",
            mode,
            "--invoke",
            "add(40, 2)",
        ];
        let ended = hart(line.iter().map(|p| p.as_ref()).chain([code.as_os_str()])).exits(0);
        assert_eq!(ended.stdout, "42\n");
    }
}

/// Hunts a log that stays empty, is mixed into the guest's output, or colours a file.
#[test]
fn the_log_shows_tasks() {
    let files = Files::new();
    let mut command = crate::support::command();
    command
        .env("HART_LOG", "hart=trace")
        .args(["--invoke", "add(1, 2)"])
        .arg(files.path("add.wasm"));
    let ended = crate::support::Running::start(&mut command, &[])
        .wait()
        .exits(0);
    assert_eq!(ended.stdout, "3\n");
    assert!(ended.stderr.contains("kind=\"guest\""), "{ended:#?}");
    assert!(!ended.stderr.contains('\u{1b}'), "{ended:#?}");
}

/// Hunts a bad HART_LOG that panics or is passed over in silence.
#[test]
fn a_bad_log_filter_is_one_line() {
    let files = Files::new();
    let mut command = crate::support::command();
    command
        .env("HART_LOG", "hart=shouting")
        .arg(files.path("add.wasm"));
    let ended = crate::support::Running::start(&mut command, &[]).wait();
    check("HART_LOG", &ended, 2, &["HART_LOG", "hart=trace"]);
}

/// Fault: code for `--pool dense` that nothing can make.
#[test]
pub(crate) fn code_for_a_dense_pool_is_compiled_and_run() {
    let files = Files::new();
    let (out, file) = (files.path("dense.cwasm"), files.path("add.wasm"));
    let line = ["compile", "--pool", "dense", "-o"];
    let paths = [out.as_os_str(), file.as_os_str()];
    hart(line.iter().map(|part| part.as_ref()).chain(paths)).exits(0);
    let line = [
        "run",
        "--allow-precompiled",
        "--pool",
        "dense",
        "--invoke",
        "add(40, 2)",
    ];
    let ended = hart(
        line.iter()
            .map(|part| part.as_ref())
            .chain([out.as_os_str()]),
    )
    .exits(0);
    assert_eq!(ended.stdout.trim(), "42");
}
