//! Signals at every moment of a run, and those that hart was told to ignore.

use crate::support::{Running, SPINNER, Scratch, command};
use std::fmt::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Those that end a run, with the exit codes that shells have for them.
const SIGNALS: [(i32, i32); 3] = [
    (libc::SIGHUP, 129),
    (libc::SIGINT, 130),
    (libc::SIGTERM, 143),
];

/// Asks for 1 MiB of random bytes for ever: a few units of fuel for a millisecond in the host.
const RANDOM: &str = r#"(component
    (import "wasi:random/random@0.2.0" (instance $r
        (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
    (core module $libc (memory (export "memory") 33)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536)))
    (core instance $libc (instantiate $libc))
    (alias core export $libc "memory" (core memory $memory))
    (alias core export $libc "realloc" (core func $realloc))
    (core func $get (canon lower (func $r "get-random-bytes") (memory $memory) (realloc $realloc)))
    (core module $m (import "" "get" (func $get (param i64 i32)))
        (func (export "run") (result i32)
            (loop $l (call $get (i64.const 1048576) (i32.const 0)) (br $l)) unreachable))
    (core instance $i (instantiate $m (with "" (instance (export "get" (func $get))))))
    (func $run (result (result)) (canon lift (core func $i "run")))
    (instance $run (export "run" (func $run)))
    (export "wasi:cli/run@0.2.0" (instance $run)))"#;

/// A library whose only function does nothing, and which takes long to compile.
fn big() -> String {
    let mut functions = String::new();
    for function in 0..4_000 {
        let mut body = String::new();
        for step in 0..60 {
            let _ = write!(
                body,
                "(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const {})) (i32.rotl (local.get 1) (i32.const {step}))))
                 (if (local.get 0) (then (local.set 1 (i32.xor (local.get 0) (i32.const {function})))))",
                step * 7 + function
            );
        }
        let _ = writeln!(
            functions,
            "(func (export \"f{function}\") (param i32 i32) {body})"
        );
    }
    format!(
        r#"(component (core module $m (func (export "f")) {functions})
        (core instance $i (instantiate $m))
        (func (export "f") (canon lift (core func $i "f"))))"#
    )
}

/// Starts it with the usual dispositions, whatever those of the tests are, but for `ignored`.
fn with_signals(command: &mut Command, ignored: Option<i32>) -> Running {
    let set = move || {
        for (signal, _) in SIGNALS {
            let action = if ignored == Some(signal) {
                libc::SIG_IGN
            } else {
                libc::SIG_DFL
            };
            // SAFETY: neither of the two is a function of ours.
            unsafe { libc::signal(signal, action) };
        }
        Ok(())
    };
    // SAFETY: between fork and exec it only calls `signal`, which may be called there.
    unsafe { command.pre_exec(set) };
    Running::start(command, &[])
}

/// Hunts a signal that waits until a component is compiled, or that is not hart's yet while the run starts.
#[test]
fn signals_end_the_loading_of_a_component() {
    let scratch = Scratch::new();
    let file = scratch.write("big.wat", big());
    for (signal, code) in SIGNALS {
        let mut hart = command();
        hart.args(["run", "--no-cache", "--invoke", "f()"])
            .arg(&file);
        let running = with_signals(&mut hart, None);
        // That of the last signal to be watched for.
        running.wait_for_handler(libc::SIGTERM);
        running.signal(signal);
        let ended = running.wait().exits(code);
        assert_eq!(
            (&*ended.stdout, &*ended.stderr),
            ("", ""),
            "it had not started"
        );
    }
}

/// Hunts a guest that no signal and no timeout ends, because it uses no fuel.
#[test]
fn signals_end_guests_in_host_calls() {
    let scratch = Scratch::new();
    let file = scratch.write("random.wat", RANDOM);
    for mode in ["fuel", "epoch"] {
        for (signal, code) in SIGNALS {
            // A signal that comes before the guest runs is another test's: then once more, later.
            let in_the_run = (9..14).any(|power| {
                let mut hart = command();
                hart.args(["run", "--preempt", mode]).arg(&file);
                let running = with_signals(&mut hart, None);
                running.wait_for_handler(libc::SIGTERM);
                std::thread::sleep(std::time::Duration::from_millis(1 << power));
                running.signal(signal);
                running.wait().exits(code).stderr.contains("interrupted")
            });
            assert!(in_the_run);
        }
        let mut hart = command();
        hart.args(["run", "--preempt", mode, "--timeout", "300ms"])
            .arg(&file);
        let ended = with_signals(&mut hart, None).wait().exits(124);
        assert!(ended.stderr.contains("--timeout"), "{ended:#?}");
    }
}

/// Hunts a handler for a signal that `nohup` or a shell (`trap '' INT`) had ignored.
#[test]
fn ignored_signals_stay_ignored() {
    let scratch = Scratch::new();
    let file = scratch.write("spinner.wat", SPINNER);
    for (ignored, _) in SIGNALS {
        for (signal, code) in SIGNALS {
            if signal == ignored {
                continue;
            }
            let running = with_signals(command().arg(&file), Some(ignored));
            running.wait_for_handler(signal);
            running.signal(ignored);
            running.signal(ignored);
            running.signal(signal);
            running.wait().exits(code);
        }
        let mut hart = command();
        hart.args(["--timeout", "500ms"]).arg(&file);
        let running = with_signals(&mut hart, Some(ignored));
        running.signal(ignored);
        running.wait().exits(124);
    }
}
