//! Standard streams whose other end is slow, asleep or gone.

use crate::support::{Running, Scratch, command, root};
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Far more than anything here takes: what is not over by then hangs.
const GUARD: Duration = Duration::from_secs(120);

fn probe(options: &[&str], arguments: &[&str]) -> Command {
    let mut hart = command();
    hart.args(options)
        .arg(hart_build::guest("probe"))
        .args(arguments);
    hart
}

/// 1,000 writes of 1,000 bytes by WASI 0.3.
fn flood(options: &[&str]) -> Command {
    let mut hart = command();
    hart.args(options)
        .args(["--invoke", "flood(1000)"])
        .arg(root().join("host/runtime/tests/host/concurrent/flood.wat"));
    hart
}

/// Kills the process when the test fails.
struct Unread(Child);

impl Unread {
    /// Starts it with output that nobody reads; waits until it says "ready" on standard error, if it does.
    fn start(command: &mut Command, says_ready: bool) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = Self(command.spawn().unwrap());
        if says_ready {
            child.line("ready");
        }
        child
    }

    /// Waits for this line on standard error.
    fn line(&mut self, expected: &str) {
        let (found, is_found) = mpsc::channel();
        let expected = expected.to_owned();
        let stderr = self.0.stderr.take().unwrap();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if line == expected {
                    let _ = found.send(());
                }
            }
        });
        is_found.recv_timeout(GUARD).expect("the line never comes");
    }

    fn signal(&self, signal: i32) {
        // SAFETY: `kill` reads no memory, and the child has not been waited for.
        let sent = unsafe { libc::kill(self.0.id() as libc::pid_t, signal) };
        assert_eq!(sent, 0);
    }

    /// Waits until it has ended by itself.
    fn ends(&mut self) -> i32 {
        let started = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code().expect("an exit code");
            }
            assert!(started.elapsed() < GUARD, "it hangs");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Hunts writes that wait on a worker: no timeout, no first signal and no neighbour gets through.
#[test]
fn guests_that_nobody_reads_can_be_ended() {
    for workers in ["1", "2"] {
        let workers = ["--workers", workers];
        let timeout = [&workers[..], &["--timeout", "1s"]].concat();
        for mut program in [
            probe(&timeout, &["lines", "1000000"]),
            probe(&timeout, &["shout", "30"]),
            flood(&timeout),
        ] {
            assert_eq!(
                Unread::start(&mut program, false).ends(),
                124,
                "{program:?}"
            );
        }
        for (signal, code) in [(libc::SIGTERM, 143), (libc::SIGINT, 130)] {
            let mut child = Unread::start(&mut probe(&workers, &["shout", "30"]), true);
            child.signal(signal);
            assert_eq!(child.ends(), code);
        }
    }
}

/// Hunts a message of hart's own that waits for a reader who never comes.
#[test]
fn no_message_waits_for_ever() {
    let mut shell = Command::new("sh");
    let mut program = probe(&["--timeout", "1s", "--stats"], &["shout", "3"]);
    shell
        .args(["-c", "exec \"$0\" \"$@\" 2>&1"])
        .arg(program.get_program());
    shell.args(program.get_args().collect::<Vec<_>>());
    assert_eq!(Unread::start(&mut shell, false).ends(), 124);
    // The same where only standard error is not read.
    program.stderr(Stdio::piped()).stdout(Stdio::null());
    let arguments: Vec<OsString> = program.get_args().map(Into::into).collect();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "exec \"$0\" \"$@\" >&2"])
        .arg(program.get_program())
        .args(arguments);
    assert_eq!(Unread::start(&mut shell, false).ends(), 124);
}

/// Hunts workers that are lost to guests whose output nobody reads.
#[test]
fn others_go_on_while_guests_wait_for_a_reader() {
    let scratch = Scratch::new();
    let granted = format!("{}::/d", scratch.path().display());
    for workers in ["1", "2"] {
        let options = ["--workers", workers, "--dir", &granted];
        let mut program = probe(&options, &["among", "30", "work", "/d", "50"]);
        let mut child = Unread::start(&mut program, false);
        child.line("50");
        // It ends once its output is read.
        let mut stdout = child.0.stdout.take().unwrap();
        thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        assert_eq!(child.ends(), 0);
    }
}

/// Reads slowly, after a pause that is longer than any grace of hart's.
fn slowly(mut from: impl Read) -> String {
    thread::sleep(Duration::from_secs(6));
    let (mut all, mut some) = (Vec::new(), [0; 16 << 10]);
    loop {
        match from.read(&mut some).unwrap() {
            0 => return String::from_utf8(all).unwrap(),
            read => all.extend_from_slice(&some[..read]),
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Hunts output that is lost when the reader is slower than the guest, or asleep when the guest ends.
#[test]
fn a_slow_reader_gets_everything() {
    let lines: String = (0..40_000).map(|line| format!("line {line}\n")).collect();
    let expected = lines + "done\n";
    let mut children: Vec<_> = [probe(&[], &["lines", "40000"]), flood(&[])]
        .into_iter()
        .map(|mut program| Unread::start(&mut program, false))
        .collect();
    let readers: Vec<_> = children
        .iter_mut()
        .map(|child| child.0.stdout.take().unwrap())
        .map(|stdout| thread::spawn(move || slowly(stdout)))
        .collect();
    let said: Vec<_> = readers
        .into_iter()
        .map(|reader| reader.join().unwrap())
        .collect();
    assert!(said[0] == expected, "{} bytes", said[0].len());
    assert_eq!(said[1].len(), 1_000_000 + "1000000\n".len());
    assert!(said[1].ends_with("1000000\n"));
    for mut child in children {
        assert_eq!(child.ends(), 0);
    }
}

/// Hunts output that does not fit into a pipe and is lost because the guest ends right after it, or traps.
#[test]
fn the_end_comes_after_the_output() {
    let mut hart = probe(&[], &["lines", "9000"]);
    let ended = Running::start(&mut hart, &[]).wait().exits(0);
    assert_eq!(ended.stdout.lines().count(), 9001);
    let mut file = Command::new("sh");
    file.args(["-c", "\"$0\" \"$@\" 2>&1 | cat"])
        .arg(hart.get_program());
    file.arg(hart_build::guest("trapper"));
    let said = Running::start(&mut file, &[]).wait().stdout;
    let own = said.find("hart: ").expect("a report");
    let guests = said
        .find("main traps on purpose")
        .expect("the guest's own words");
    assert!(guests < own, "{said}");
}

/// Hunts lines of tasks that end up in one another.
#[test]
fn lines_of_tasks_do_not_mix() {
    for workers in ["1", "4"] {
        let mut child = Unread::start(&mut probe(&["--workers", workers], &["shout", "40"]), true);
        let mut said = vec![0; 3 << 20];
        child
            .0
            .stdout
            .take()
            .unwrap()
            .read_exact(&mut said)
            .unwrap();
        child.signal(libc::SIGTERM);
        let text = String::from_utf8(said).unwrap();
        let mut tasks = std::collections::BTreeSet::new();
        let whole = text.lines().count() - 1;
        for line in text.lines().take(whole) {
            let (task, rest) = line.split_once(' ').unwrap();
            assert!(task.len() == 3 && rest == "x".repeat(200), "{line}");
            tasks.insert(task.to_owned());
        }
        assert_eq!(tasks.len(), 40);
    }
}

/// Hunts a guest that goes on writing, or hangs, after its reader has gone.
#[test]
fn a_reader_that_goes_ends_the_writer() {
    for mut program in [probe(&[], &["lines", "100000000"]), flood(&[])] {
        let mut child = Unread::start(&mut program, false);
        let mut stdout = child.0.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 100]).unwrap();
        drop(stdout);
        child.ends();
    }
}

/// Hunts a read that waits on a worker, or that nothing ends.
#[test]
fn input_that_never_comes_holds_nobody_up() {
    let mut program = probe(&["--workers", "1", "--timeout", "1s"], &["wait"]);
    assert_eq!(Unread::start(&mut program, true).ends(), 124);
    for (signal, code) in [(libc::SIGTERM, 143), (libc::SIGINT, 130)] {
        let mut child = Unread::start(&mut probe(&["--workers", "1"], &["wait"]), true);
        child.signal(signal);
        assert_eq!(child.ends(), code);
    }
}
