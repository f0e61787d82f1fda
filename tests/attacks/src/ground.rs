//! A host with a victim on it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hart_host::wasmtime::component::Val;
use hart_host::{Cache, Component, DirAccess, Host, HostBuilder, Limits, Run, RunBuilder, Tenant};

/// The names of the victim's three tasks, for messages.
const TASKS: [&str; 3] = ["compute", "files", "spawn and join"];

/// For how long the victim's work is counted.
const WINDOW: Duration = Duration::from_secs(3);

/// The victim does at least this part of what it did alone. By shares it gets half of the machine. Its paced tasks get
/// more, because they wait for one slice at most. The rest is tolerance for machines that are busy with other things.
const PART: u64 = 10;

/// Longer than anything here takes.
const HANG: Duration = Duration::from_secs(120);

/// The victim's work, counted.
type Counts = Arc<[AtomicU64; 3]>;

/// What the victim does in a second, by task.
#[derive(Clone, Copy, Debug)]
pub struct Rate([u64; 3]);

/// A host, a victim that works on it, and a tenant for the attackers. Victim and attackers have equal shares.
pub struct Ground {
    /// The host.
    pub host: Host,
    victim: Mutex<Option<Run>>,
    counts: Counts,
    attackers: Tenant,
    directory: PathBuf,
}

/// The text of a guest whose functions are `body`: see `guests/before.wat`.
pub fn guest(body: &str) -> String {
    [
        include_str!("../guests/before.wat"),
        body,
        include_str!("../guests/after.wat"),
    ]
    .concat()
}

impl Ground {
    /// Makes a host of two workers and 200 slots, changed by `build`, and starts the victim on it.
    ///
    /// # Panics
    ///
    /// If the host cannot be made or the victim does not work.
    pub fn new(build: impl FnOnce(HostBuilder) -> HostBuilder) -> Self {
        let counts = Counts::default();
        let import = counts.clone();
        let builder = Host::builder()
            .workers(2)
            .instances(200)
            .cache(Cache::Off)
            .limits(Limits::new().timeout(HANG))
            .imports(move |linker| {
                let counts = import.clone();
                linker.root().func_wrap("count", move |_, (task,): (u32,)| {
                    // Relaxed: only the number is read, nothing else is published with it.
                    counts[task as usize].fetch_add(1, Ordering::Relaxed);
                    Ok(())
                })
            });
        let host = build(builder).build().expect("a host");
        let directory = std::env::temp_dir().join(format!("hart-attacks-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        std::fs::write(directory.join("f"), [b'f'; 4096]).expect("a file");
        let attackers = host.tenant().name("attackers").build().expect("a tenant");
        let ground = Self {
            host,
            victim: Mutex::default(),
            counts,
            attackers,
            directory,
        };
        let own = ground
            .host
            .tenant()
            .name("victim")
            .build()
            .expect("a tenant");
        let victim = ground.load(&guest(include_str!("../guests/victim.wat")));
        let run = ground.run(&victim, 0).name("victim").tenant(&own).start();
        *ground.victim.lock().unwrap() = Some(run.expect("the victim starts"));
        let started = Instant::now();
        while ground.counted().contains(&0) {
            ground.assert_alive();
            assert!(started.elapsed() < HANG, "the victim does not begin");
            std::thread::sleep(Duration::from_millis(1));
        }
        ground
    }

    /// Loads a guest.
    ///
    /// # Panics
    ///
    /// If it is not accepted.
    pub fn load(&self, text: &str) -> Component {
        self.host.load(text.as_bytes()).expect("the guest loads")
    }

    /// A call of a guest's `attack`, without a tenant. Its directory has the file `f`.
    fn run(&self, guest: &Component, number: u32) -> RunBuilder {
        self.host.call(guest, "attack", vec![Val::U32(number)]).dir(
            &self.directory,
            "/d",
            DirAccess::ReadOnly,
        )
    }

    /// The same, as one of the attackers.
    pub fn attack(&self, guest: &Component, number: u32) -> RunBuilder {
        self.run(guest, number)
            .name("attack")
            .tenant(&self.attackers)
    }

    /// Writes a file of the directory.
    ///
    /// # Panics
    ///
    /// If the system refuses.
    pub fn file(&self, name: &str, contents: &[u8]) {
        std::fs::write(self.directory.join(name), contents).expect("a file");
    }

    /// Measures what the victim does without attackers.
    ///
    /// # Panics
    ///
    /// If the victim ended.
    pub fn alone(&self) -> Rate {
        let rate = self.rate(WINDOW / 2);
        println!("alone: {rate:?} in a second");
        rate
    }

    /// Asserts that the victim still does its part of what it did alone.
    ///
    /// # Panics
    ///
    /// If it does less, or ended.
    #[track_caller]
    pub fn assert_served(&self, alone: Rate) {
        let rate = self.rate(WINDOW);
        println!("attacked: {rate:?} in a second");
        for (task, (now, before)) in TASKS.iter().zip(rate.0.iter().zip(alone.0)) {
            assert!(
                now * PART >= before,
                "{task}: {now} in a second, {before} alone"
            );
        }
    }

    /// Ends the victim.
    ///
    /// # Panics
    ///
    /// If it ended before.
    pub fn retire(&self) {
        self.assert_alive();
        if let Some(victim) = self.victim.lock().unwrap().take() {
            victim.cancel();
            let _ = victim.wait();
        }
    }

    fn rate(&self, window: Duration) -> Rate {
        let before = self.counted();
        let started = Instant::now();
        std::thread::sleep(window);
        let after = self.counted();
        // Not the window: this thread may have been late.
        let milliseconds = u64::try_from(started.elapsed().as_millis()).expect("a short time");
        self.assert_alive();
        Rate(std::array::from_fn(|task| {
            (after[task] - before[task]) * 1_000 / milliseconds.max(1)
        }))
    }

    fn counted(&self) -> [u64; 3] {
        std::array::from_fn(|task| self.counts[task].load(Ordering::Relaxed))
    }

    #[track_caller]
    fn assert_alive(&self) {
        let victim = &mut *self.victim.lock().unwrap();
        if let Some(ended) = victim.take_if(|run| run.is_finished()) {
            panic!(
                "the victim ended, its task with this number was refused something: {:?}",
                ended.wait()
            );
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
