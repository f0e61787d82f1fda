//! Running `hart` and other programs, with a guard against hanging.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A program that never ends by itself.
pub(crate) const SPINNER: &str = r#"(component
    (core module $m (func (export "run") (result i32) (loop $l (br $l)) unreachable))
    (core instance $i (instantiate $m))
    (func $run (result (result)) (canon lift (core func $i "run")))
    (instance $run (export "run" (func $run)))
    (export "wasi:cli/run@0.2.0" (instance $run)))"#;

/// How long anything may take before it counts as hanging: far more than it needs on a busy machine.
pub(crate) const GUARD: Duration = Duration::from_secs(240);

/// A program that ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The most memory it had resident, in bytes.
    pub(crate) peak_memory: u64,
}

impl Finished {
    /// The exit code; a signal that ended it is a failure of the test.
    pub(crate) fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| panic!("ended by a signal: {self:#?}"))
    }

    /// Checks the exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "{self:#?}");
        self
    }

    /// The `--stats=json` line.
    #[track_caller]
    pub(crate) fn stats(&self) -> serde_json::Value {
        self.stderr
            .lines()
            .rev()
            .find_map(|line| serde_json::from_str(line).ok())
            .unwrap_or_else(|| panic!("no statistics: {self:#?}"))
    }
}

/// `hart` with these arguments, without anything on its standard input.
pub(crate) fn hart<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Finished {
    Running::hart(arguments).wait()
}

/// A program that still runs.
pub(crate) struct Running {
    child: Child,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
    /// Standard input, where it is to stay open.
    stdin: Option<ChildStdin>,
    started: Instant,
}

impl Running {
    /// Starts `hart`.
    pub(crate) fn hart<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        Self::start(command().args(arguments), &[])
    }

    /// Starts any program, with `input` on its standard input.
    pub(crate) fn start(command: &mut Command, input: &[u8]) -> Self {
        let mut running = Self::start_reading(command);
        let stdin = running.stdin.take();
        let input = input.to_vec();
        // Detached: a program that does not read its input ends all the same.
        thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
        running
    }

    /// Starts any program, with a standard input that stays open and never has anything.
    pub(crate) fn start_reading(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = read(child.stdout.take().expect("a pipe was asked for"));
        let stderr = read(child.stderr.take().expect("a pipe was asked for"));
        Self {
            stdin: child.stdin.take(),
            child,
            stdout,
            stderr,
            started: Instant::now(),
        }
    }

    /// Starts any program with nothing on its standard input, and with these outputs where they are given.
    pub(crate) fn start_with(
        command: &mut Command,
        stdout: Option<Stdio>,
        stderr: Option<Stdio>,
    ) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(stdout.unwrap_or_else(Stdio::piped))
            .stderr(stderr.unwrap_or_else(Stdio::piped))
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let nothing = || thread::spawn(String::new);
        let stdout = child.stdout.take().map_or_else(nothing, read);
        let stderr = child.stderr.take().map_or_else(nothing, read);
        Self {
            stdin: None,
            child,
            stdout,
            stderr,
            started: Instant::now(),
        }
    }

    /// Ends its standard input.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends it a signal, as Ctrl-C does.
    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: `kill` reads no memory, and the child has not been waited for, so that its
        // process number is still its own.
        let sent = unsafe { libc::kill(self.pid(), signal) };
        assert_eq!(sent, 0, "{}", std::io::Error::last_os_error());
    }

    /// Waits until it handles `signal` itself, instead of being ended by it.
    pub(crate) fn wait_for_handler(&self, signal: i32) {
        self.wait_for_status("it never handles the signal", |status| {
            has_signal(status, "SigCgt:", signal)
        });
    }

    fn wait_for_status(&self, otherwise: &str, holds: impl Fn(&str) -> bool) {
        let path = format!("/proc/{}/status", self.child.id());
        while self.started.elapsed() < GUARD {
            if std::fs::read_to_string(&path).is_ok_and(|status| holds(&status)) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("{otherwise}");
    }

    /// Waits until it has so many threads of this name, and returns the most that it has for a while after that.
    pub(crate) fn most_threads(&self, name: &str, expected: usize) -> usize {
        let tasks = format!("/proc/{}/task", self.child.id());
        let count = || {
            let threads = std::fs::read_dir(&tasks).into_iter().flatten().flatten();
            let names = threads
                .filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok());
            names.filter(|found| found.trim() == name).count()
        };
        while count() < expected {
            assert!(self.started.elapsed() < GUARD, "it never has {expected}");
            thread::sleep(Duration::from_millis(1));
        }
        let looks = (0..100).map(|_| {
            thread::sleep(Duration::from_millis(2));
            count()
        });
        looks.max().unwrap_or(0)
    }

    /// Waits until its guest computes: a worker has used so much CPU time that it cannot have been hart's own start.
    pub(crate) fn wait_for_the_guest(&self) {
        const TICKS: u64 = 10;
        let tasks = format!("/proc/{}/task", self.child.id());
        let computes = |stat: std::io::Result<String>| {
            let stat = stat.unwrap_or_default();
            let worker = stat.contains("(hart-worker)");
            // Of what follows the name, the twelfth is user time, in hundredths of a second.
            let rest = stat.rsplit(')').next().unwrap_or_default();
            let user = rest.split_whitespace().nth(11);
            worker && user.is_some_and(|user| user.parse().is_ok_and(|ticks: u64| ticks >= TICKS))
        };
        while self.started.elapsed() < GUARD {
            let threads = std::fs::read_dir(&tasks).into_iter().flatten().flatten();
            if { threads }
                .any(|thread| computes(std::fs::read_to_string(thread.path().join("stat"))))
            {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("its guest never computes");
    }

    /// Waits until `signal`, which was sent, is with its handler.
    pub(crate) fn wait_until_handled(&self, signal: i32) {
        let waits = |status: &str| {
            let pending = ["SigPnd:", "ShdPnd:"];
            pending.iter().any(|name| has_signal(status, name, signal))
        };
        self.wait_for_status("the signal is not handled", |status| !waits(status));
        // It has begun. That it is through nobody tells.
        thread::sleep(Duration::from_millis(50));
    }

    fn pid(&self) -> libc::pid_t {
        libc::pid_t::try_from(self.child.id()).expect("a process number")
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Finished {
        let (status, peak_memory) = loop {
            if let Some(ended) = self.try_wait() {
                break ended;
            }
            if self.started.elapsed() > GUARD {
                let _ = self.child.kill();
                let stdout = self.stdout.join().unwrap_or_default();
                let stderr = self.stderr.join().unwrap_or_default();
                panic!("hangs; so far:\n{stdout}\n{stderr}");
            }
            thread::sleep(Duration::from_millis(5));
        };
        self.finished(status, peak_memory)
    }

    fn finished(self, status: ExitStatus, peak_memory: u64) -> Finished {
        Finished {
            status,
            stdout: self.stdout.join().expect("the reader does not panic"),
            stderr: self.stderr.join().expect("the reader does not panic"),
            peak_memory,
        }
    }

    /// `wait4` and not `Child::wait`, for the memory that the process used.
    fn try_wait(&mut self) -> Option<(ExitStatus, u64)> {
        let mut status = 0;
        // SAFETY: `rusage` is plain numbers, for which all zeros are valid.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are to live locals of the types that the call fills in. The child is
        // waited for here and nowhere else.
        let ended = unsafe { libc::wait4(self.pid(), &mut status, libc::WNOHANG, &mut usage) };
        assert!(ended >= 0, "{}", std::io::Error::last_os_error());
        let kibibytes = u64::try_from(usage.ru_maxrss).unwrap_or(0);
        (ended > 0).then(|| (ExitStatus::from_raw(status), kibibytes << 10))
    }
}

/// The `hart` of this build, in an environment that is the same everywhere.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hart"));
    command.env_remove("HART_LOG").env("COLUMNS", "100");
    command
}

/// Whether a line of `/proc/PID/status` that begins so has this signal.
fn has_signal(status: &str, name: &str, signal: i32) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let signals = u64::from_str_radix(line.unwrap_or("0").trim(), 16).unwrap_or(0);
    signals & (1 << (signal - 1)) != 0
}

fn read(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A directory that goes when the test ends.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("hart-e2e-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a new directory in the temporary one");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("a file in a directory of our own");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
