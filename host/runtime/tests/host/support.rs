//! What the tests of this crate share: a guest that follows scripts, and hosts to run it on.

use std::time::{Duration, Instant};

use hart_host::{
    Cache, Component, Host, HostBuilder, Limits, Outcome, Preemption, RunBuilder, RunError,
    wasmtime,
};
use wasmtime::component::Val;

/// Longer than anything here takes: a run that is still going then hangs.
pub const HANG: Duration = Duration::from_secs(60);

/// Both modes that preempt, with slices short enough to be seen.
pub const MODES: [Preemption; 2] = [
    Preemption::Epoch {
        slice: Duration::from_millis(1),
    },
    Preemption::Fuel { slice: 100_000 },
];

/// A host for tests: no cache, so that no thread of the cache is left behind.
pub fn builder() -> HostBuilder {
    for_tests(Host::builder())
}

/// The same with data of the test's own.
pub fn for_tests<T: Send + 'static>(builder: HostBuilder<T>) -> HostBuilder<T> {
    builder
        .workers(2)
        .instances(100)
        .cache(Cache::Off)
        .limits(Limits::new().timeout(HANG))
}

pub fn host() -> Host {
    builder().build().expect("a host")
}

/// The guest of `lab.wat`.
pub fn lab<T: Send + 'static>(host: &Host<T>) -> Component<T> {
    host.load(include_bytes!("lab.wat")).expect("the lab loads")
}

/// A run of the lab that follows `script`; ended by a timeout if it hangs.
pub fn run<T: Send + 'static>(
    host: &Host<T>,
    lab: &Component<T>,
    script: &Script,
) -> RunBuilder<T> {
    let bytes = script.0.iter().map(|byte| Val::U8(*byte)).collect();
    host.call(lab, "script", vec![Val::List(bytes)])
}

/// Runs `script` to its end and returns its output.
pub fn output(host: &Host, lab: &Component, script: &Script) -> String {
    said(run(host, lab, script).start().expect("it starts").wait()).expect("it ends well")
}

/// The script's output, or the error.
pub fn said(result: Result<Outcome, RunError>) -> Result<String, RunError> {
    let outcome = result?;
    let [Val::List(bytes)] = &outcome.results[..] else {
        panic!("a list: {:?}", outcome.results)
    };
    Ok(bytes
        .iter()
        .map(|byte| {
            if let Val::U8(byte) = byte {
                *byte as char
            } else {
                panic!()
            }
        })
        .collect())
}

/// Waits for something that is about to be so.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + HANG;
    while !holds() {
        assert!(Instant::now() < until, "this never came: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Nothing of any run is left: no task, no slot, no instance, no stack.
#[track_caller]
pub fn assert_nothing_left<T: Send + 'static>(host: &Host<T>) {
    let stats = host.stats();
    assert_eq!(
        (stats.live_guests, stats.live_runs, stats.queued_spawns),
        (0, 0, 0),
        "{stats:?}"
    );
    let pool = stats.pool;
    assert_eq!(
        (
            pool.in_use,
            pool.component_instances,
            pool.core_instances,
            pool.stacks
        ),
        (0, 0, 0, 0),
        "{pool:?}"
    );
}

/// A host with these limits for every run, and its lab.
pub fn limited(mode: Preemption, limits: Limits) -> (Host, Component) {
    let host = builder()
        .preemption(mode)
        .limits(limits.or(&Limits::new().timeout(HANG)))
        .build()
        .unwrap();
    let lab = lab(&host);
    (host, lab)
}

/// What a guest is to do, step by step. Outcomes of joins are one letter each: `k` (and the result in
/// brackets), `f`ailed, `t`rapped, `c`ancelled, `C`losed, out of `F`uel, `M`emory or `T`ime, `a`lready
/// joined, `o`ther; refused spawns `C`losed, `N`o entry, `L`imit, `D`enied, `O`ther.
#[derive(Clone, Debug, Default)]
pub struct Script(pub Vec<u8>);

/// Rights, as bits of the WIT's flags.
pub const FILESYSTEM: u64 = 1;
pub const ENVIRONMENT: u64 = 8;
pub const OUTPUT: u64 = 16;
pub const SPAWN: u64 = 32;

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident = $op:literal ($($arg:ident: $type:ty),*);)*) => {
        impl Script {
            $($(#[$doc])* pub fn $name(mut self $(, $arg: $type)*) -> Self {
                self.0.push($op);
                $(self.0.extend_from_slice(&$arg.to_le_bytes());)*
                self
            })*
        }
        $($(#[$doc])*
        #[allow(dead_code, reason = "not every step begins a script")]
        pub fn $name($($arg: $type),*) -> Script {
            Script::default().$name($($arg),*)
        })*
    };
}

steps! {
    /// Joins the task with this index.
    join = b'J'(index: u8);
    cancel = b'X'(index: u8);
    drop_handle = b'D'(index: u8);
    finished = b'I'(index: u8);
    /// Waits for one of the first `count` tasks.
    wait_any = b'W'(count: u8);
    /// Subscribes to the task, drops its handle, waits for the pollable.
    poll = b'p'(index: u8);
    sleep = b'Z'(milliseconds: u8);
    /// Puts a byte into the output.
    say = b'A'(byte: u8);
    /// Ends the script with so many KiB of result.
    give = b'U'(kib: u16);
    /// Computes for so many thousands of rounds.
    busy = b'B'(thousands: u16);
    yield_now = b'Y'();
    close = b'C'();
    parallelism = b'H'();
    /// For ever.
    spin = b'L'();
    /// Yields for ever.
    yield_forever = b'N'();
    trap = b'T'();
    recurse = b'R'();
    /// Grows its memory for ever.
    grow_forever = b'G'();
    grow = b'g'(pages: u16);
    /// Starts over, having forgotten its tasks: for ever.
    repeat = b'r'();
    /// Takes pollables for ever and keeps them.
    hoard = b'h'();
    /// Takes so many pollables and keeps them.
    keep = b'k'(count: u16);
    /// Fills so many pages of memory with one instruction, for ever.
    fill = b'f'(pages: u16);
    /// Ends the script with an error.
    fail = b'F'();
    exit_err = b'Q'();
    exit_ok = b'q'();
    /// Writes 4,096 bytes.
    write = b'P'();
    count_environment = b'V'();
    count_directories = b'K'();
    /// Says the text of the last error.
    explain = b'?'();
}

impl Script {
    /// Spawns a task that follows `child`.
    pub fn spawn(mut self, child: &Script) -> Self {
        let length = u16::try_from(child.0.len()).expect("a short script");
        self.0.push(b'S');
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(&child.0);
        self
    }

    /// Sets an option of later spawns: f(uel), c(pu time), m(emory), t(imeout), x (max tasks), d(eny).
    pub fn option(mut self, kind: u8, value: u64) -> Self {
        self.0.extend_from_slice(&[b'O', kind]);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Does `step` so many times.
    pub fn times(mut self, times: usize, step: &Script) -> Self {
        for _ in 0..times {
            self.0.extend_from_slice(&step.0);
        }
        self
    }
}

pub fn spawn(child: &Script) -> Script {
    Script::default().spawn(child)
}

/// A tree of tasks in which every parent spawns two and joins both; `depth` levels below the root.
pub fn tree(depth: u32) -> Script {
    if depth == 0 {
        return Script::default();
    }
    let child = tree(depth - 1);
    spawn(&child).spawn(&child).join(0).join(1)
}

/// A directory of this process's with a named `pipe` and a `file`.
pub fn with_a_pipe(name: &str) -> std::path::PathBuf {
    let directory = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let pipe = directory.join("pipe");
    let _ = std::fs::remove_file(&pipe);
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    std::fs::write(directory.join("file"), "contents").unwrap();
    directory
}

/// Runs an ignored test in a process of its own, which may die; `test` is its whole name.
pub fn alone(test: &str) -> std::process::Output {
    std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .output()
        .unwrap()
}

/// The same; it passes there.
#[track_caller]
pub fn passes_alone(test: &str) {
    let ended = alone(test);
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

/// Limits what this process may have of something, or gives it back.
pub fn limit(resource: rustix::process::Resource, current: Option<u64>) {
    let limit = rustix::process::Rlimit {
        current,
        maximum: None,
    };
    rustix::process::setrlimit(resource, limit).unwrap();
}
