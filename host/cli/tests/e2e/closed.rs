//! Outputs that nobody reads, that are closed, or that are full.

use crate::support::{Finished, Running, SPINNER, Scratch, command};
use std::fs::OpenOptions;
use std::io::PipeWriter;
use std::process::{Command, Stdio};

/// Spawns nothing and says nothing; `run` calls it, and so does `--invoke 'f()'`.
const QUIET: &str = r#"(component
    (core module $m (func (export "run") (result i32) (i32.const 0)) (func (export "f") (result i32) (i32.const 7)))
    (core instance $i (instantiate $m))
    (func $run (result (result)) (canon lift (core func $i "run")))
    (instance $run (export "run" (func $run)))
    (export "wasi:cli/run@0.2.0" (instance $run))
    (func (export "f") (result u32) (canon lift (core func $i "f"))))"#;

/// What an output can be.
#[derive(Clone, Copy, Debug)]
enum Output {
    /// A pipe without a reader.
    Closed,
    /// A full disk.
    Full,
    /// A pipe that is full and whose reader does not read.
    Stuck,
}

const OUTPUTS: [Output; 3] = [Output::Closed, Output::Full, Output::Stuck];

impl Output {
    /// The output, and what must live as long as the program.
    fn make(self) -> (Stdio, Option<std::io::PipeReader>) {
        match self {
            Self::Closed => (pipe().1.into(), None),
            Self::Full => {
                let full = OpenOptions::new().write(true).open("/dev/full");
                (full.expect("it is there").into(), None)
            }
            Self::Stuck => {
                let (reader, writer) = pipe();
                fill(&writer);
                (writer.into(), Some(reader))
            }
        }
    }
}

fn pipe() -> (std::io::PipeReader, PipeWriter) {
    std::io::pipe().expect("a pipe")
}

/// Fills a pipe.
fn fill(writer: &PipeWriter) {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    let block = |on: bool| {
        let flags = if on { 0 } else { libc::O_NONBLOCK };
        // SAFETY: the call sets the flags of a pipe that is open.
        let failed = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, flags) };
        assert_eq!(failed, 0);
    };
    block(false);
    for size in [4096, 1] {
        while (&*writer).write(&vec![b'.'; size]).is_ok() {}
    }
    block(true);
}

/// Runs it with such a standard error.
fn with_stderr(command: &mut Command, output: Output) -> Finished {
    let (stderr, _reader) = output.make();
    Running::start_with(command, None, Some(stderr)).wait()
}

/// Hunts a log whose line ends or stops the process because it cannot be written.
#[test]
fn a_log_that_nobody_reads_is_dropped() {
    let scratch = Scratch::new();
    let (quiet, spinner) = (
        scratch.write("quiet.wat", QUIET),
        scratch.write("spinner.wat", SPINNER),
    );
    for output in OUTPUTS {
        let logs = |command: &mut Command| {
            command.env("HART_LOG", "trace");
            with_stderr(command, output)
        };
        let ended = logs(command().args(["--invoke", "f()"]).arg(&quiet)).exits(0);
        assert_eq!(ended.stdout, "7\n", "{output:?}");
        logs(command().arg(&quiet)).exits(0);
        logs(command().args(["--timeout", "300ms"]).arg(&spinner)).exits(124);
        logs(command().arg("--stats").arg(&quiet)).exits(0);
        logs(command().arg("no-such-file.wasm")).exits(2);
    }
}

/// Hunts a message whose reader is gone that ends in a panic, and so in another exit code.
#[test]
fn messages_that_cannot_be_written_change_no_exit_code() {
    let scratch = Scratch::new();
    let (quiet, spinner) = (
        scratch.write("quiet.wat", QUIET),
        scratch.write("spinner.wat", SPINNER),
    );
    let script = scratch.write(
        "script.wast",
        "(component)\n(assert_malformed (component quote \"x\") \"\")\n",
    );
    for output in [Output::Closed, Output::Full] {
        let lines: [(&[&str], i32); 12] = [
            (&["--help"], 0),
            (&["--version"], 0),
            (&["run", "--help"], 0),
            (&["run", "-W", "help"], 0),
            (&["run", "-S", "help"], 0),
            (&[], 2),
            (&["run"], 2),
            (&["--no-such-option"], 2),
            (&["no-such-file.wasm"], 2),
            (&["run", "--stats", quiet.to_str().unwrap()], 0),
            (&["run", "--invoke", "f()", quiet.to_str().unwrap()], 0),
            (
                &["run", "--timeout", "200ms", spinner.to_str().unwrap()],
                124,
            ),
        ];
        let scripts: [(&[&str], i32); 2] = [
            (&["wast", script.to_str().unwrap()], -1),
            (&["sim", "--seeds", "0..2", quiet.to_str().unwrap()], -1),
        ];
        for (arguments, code) in lines.into_iter().chain(scripts) {
            // What it is where both are read.
            let expected = Running::hart(arguments).wait().code();
            assert!(code == -1 || code == expected, "{arguments:?}: {expected}");
            let (both, _reader) = output.make();
            let (out, _reader) = output.make();
            let ended =
                Running::start_with(command().args(arguments), Some(out), Some(both)).wait();
            assert_eq!(ended.code(), expected, "{output:?}: {arguments:?}");
        }
    }
}
