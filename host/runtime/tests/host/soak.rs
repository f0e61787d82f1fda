//! What is left after very many tasks: nothing, and no more memory than before.

use std::time::{Duration, Instant};

use crate::{concurrent, isolation, support::*};
use hart_host::{Cache, Component, Host, Limits, Profile, Run, RunError, wasmtime::component::Val};

/// Fault: memory that grows with the number of tasks that there were: nodes, handles, outcomes, slots.
#[test]
#[ignore = "spawns a million tasks, or as many as HART_BURST says"]
fn a_burst_of_spawns_has_flat_memory() {
    let tasks = std::env::var("HART_BURST").unwrap_or_else(|_| "1000000".into());
    let host = Host::builder().cache(Cache::Off).build().unwrap();
    let file = hart_build::bench_guest("spawner", hart_build::Stack::Small);
    let component = host.load_file(file).unwrap();
    let burst = |tasks: &str| {
        let run = host
            .command(&component)
            .args(["spawner", "tasks", tasks, "5000"])
            .limits(Limits::new().tasks(10_000).queued(10_000));
        assert_eq!(run.start().unwrap().wait().unwrap().exit_code, 0);
    };
    // Every slot of the pool has been used by then.
    burst("20000");
    let before = Usage::now();
    burst(&tasks);
    let after = Usage::now();
    assert_nothing_left(&host);
    println!("{tasks} tasks: {before:?}, then {after:?}");
    // The guest itself keeps 16 bytes for each task while it runs; then they are given back.
    assert!(
        after.resident < before.resident + (64 << 20),
        "{before:?} {after:?}"
    );
}

/// Places of each host.
const PLACES: u32 = 80;

/// A host with one guest of each sort.
struct Ground {
    name: &'static str,
    host: Host,
    lab: Component,
    adversary: Component,
    filler: Component,
    concurrent: Component,
}

impl Ground {
    fn new(name: &'static str, profile: Profile) -> Self {
        let host = builder()
            .profile(profile)
            .instances(PLACES)
            // Long enough for a machine that stands still for minutes meanwhile.
            .limits(Limits::new().timeout(10 * HANG).memory(256 << 20).depth(8))
            .build()
            .unwrap();
        let adversary = |image| host.load(isolation::adversary(image).as_bytes()).unwrap();
        Self {
            name,
            lab: lab(&host),
            adversary: adversary("image"),
            filler: adversary("another"),
            concurrent: host.load(concurrent::ADVERSARY).unwrap(),
            host,
        }
    }

    /// Has slots used as much as is kept of one that is empty, so that memory is flat from the beginning: a pool
    /// prefers slots that the component had before, and would come to the last ones after many minutes.
    fn warm(&self, random: &mut fastrand::Rng) {
        // Two images; each of them has two memories, so half as many guests fill all slots.
        for component in [&self.adversary, &self.filler] {
            let runs: Vec<_> = (0..PLACES)
                .map(|_| {
                    let run = self.host.call(component, "spin", vec![Val::U32(4)]);
                    run.start().unwrap()
                })
                .collect();
            eventually("all slots are used, and their guests spin", || {
                let spins = |run: &&Run| run.stats().cpu_time > Duration::from_millis(5);
                runs.iter().filter(spins).count() >= PLACES as usize / 2
            });
            for run in runs {
                run.cancel();
                assert!(matches!(run.wait(), Err(RunError::Cancelled)));
            }
            eventually("nothing is left", || self.host.pool().in_use == 0);
        }
        // Some of everything in all slots, for the stacks and for the pool of those with an event loop.
        for _ in 0..20 {
            self.batch(8 * PLACES as usize, random, &mut [0; KINDS]);
        }
    }

    /// Some of everything at once: spawns, joins, traps, cancels, timeouts, closes, limits, with and without an event
    /// loop.
    fn batch(&self, runs: usize, random: &mut fastrand::Rng, kinds: &mut [u64; KINDS]) {
        let (host, lab) = (&self.host, &self.lab);
        let soon = Limits::new().timeout(Duration::from_millis(5));
        let batch: Vec<_> = (0..runs)
            .map(|_| {
                let kind = random.usize(0..KINDS);
                kinds[kind] += 1;
                let scripted = |script: &Script| run(host, lab, script);
                let waves = |wave: &str| host.invoke(&self.concurrent, wave).unwrap();
                let started = match kind {
                    0 => scripted(&tree(3)),
                    1 => scripted(&spawn(&trap()).join(0)),
                    2 => scripted(&spawn(&spin()).cancel(0).join(0)),
                    3 => scripted(&spawn(&sleep(200)).spin()).limits(soon),
                    4 => scripted(&spawn(&spin()).close().join(0).give(20)),
                    // Less than a memory of the dense pool may have: beyond that a growth fails, and the guest goes on.
                    5 => scripted(&grow_forever()).limits(Limits::new().memory(48 << 20)),
                    6 => waves("fan(8)"),
                    7 => waves("cancel(8)"),
                    8 => waves("half(100000)"),
                    9 => waves("never(0)"),
                    10 => {
                        waves(["hour(0)", "spin(0)", "yields(0)"][random.usize(0..3)]).limits(soon)
                    }
                    _ => host.call(&self.adversary, "look", vec![Val::U32(random.u32(0..40))]),
                };
                let run = started.start().unwrap();
                if random.u8(0..8) == 0 {
                    run.cancel();
                }
                (kind, run)
            })
            .collect();
        for (kind, run) in batch {
            match (kind, run.wait()) {
                (11, Ok(outcome)) => assert_eq!(outcome.results, [Val::U32(0)]),
                (_, Ok(_) | Err(RunError::Cancelled)) => {}
                (3 | 10, Err(RunError::TimedOut(_)))
                | (5, Err(RunError::OutOfMemory(_)))
                | (9, Err(RunError::Trapped { .. })) => {}
                (kind, other) => panic!("{}, {kind}: {other:?}", self.name),
            }
        }
        eventually("nothing is left", || self.host.pool().in_use == 0);
    }
}

/// Sorts of runs in the mix.
const KINDS: usize = 12;

/// Fault: whatever a task leaves behind: a slot, a stack, a file, a thread, a byte.
///
/// Memory is flat if the least of the last third of the time is no more than the least of the second: what is
/// there only now and then (a heap that the allocator keeps, threads that do I/O) is not leaked. In a process of its
/// own, as the ignored tests are.
#[test]
#[ignore = "takes as long as HART_SOAK_SECONDS says, or ten minutes"]
fn a_soak_leaves_nothing_behind() {
    let seconds = std::env::var("HART_SOAK_SECONDS").map_or(600, |text| text.parse().unwrap());
    // What a process makes once, threads that compile for one, stays.
    drop(Ground::new("first", Profile::Fast));
    let outside = Usage::now();
    let grounds = [
        Ground::new("fast", Profile::Fast),
        Ground::new("dense", Profile::Dense),
    ];
    let mut random = fastrand::Rng::with_seed(7);
    for ground in &grounds {
        ground.warm(&mut random);
    }
    let mut kinds = [0_u64; KINDS];
    let started = Instant::now();
    let third = Duration::from_secs(seconds) / 3;
    let mut thirds = [Usage::MOST; 3];
    let mut batches = 0_usize;
    while started.elapsed() < 3 * third || thirds[2] == Usage::MOST {
        grounds[batches % grounds.len()].batch(50, &mut random, &mut kinds);
        batches += 1;
        let past = started.elapsed().as_nanos() / third.as_nanos().max(1);
        let now = &mut thirds[usize::try_from(past).unwrap_or(2).min(2)];
        *now = now.least(Usage::now());
    }
    println!(
        "{seconds} s, {batches} batches of 50, {kinds:?}: {outside:?}, the least of each third: {thirds:#?}"
    );
    for ground in &grounds {
        assert_nothing_left(&ground.host);
        let pool = ground.host.pool();
        assert_eq!((pool.memories, pool.tables), (0, 0), "{}", ground.name);
    }
    assert!(kinds.iter().all(|runs| *runs > 0), "{kinds:?}");
    let [_, before, after] = thirds;
    assert!(after.resident <= before.resident + (4 << 20), "{thirds:#?}");
    assert!(after.files <= before.files, "{thirds:#?}");
    assert!(after.threads <= before.threads, "{thirds:#?}");
    assert!(after.mappings <= before.mappings + 100, "{thirds:#?}");
    drop(grounds);
    eventually("files and threads are gone", || {
        let now = Usage::now();
        println!("{now:?}");
        now.files <= outside.files && now.threads <= outside.threads
    });
}

/// What this process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Usage {
    resident: u64,
    files: usize,
    threads: usize,
    mappings: usize,
}

impl Usage {
    const MOST: Self = Self {
        resident: u64::MAX,
        files: usize::MAX,
        threads: usize::MAX,
        mappings: usize::MAX,
    };

    /// The lesser of each.
    fn least(self, other: Self) -> Self {
        Self {
            resident: self.resident.min(other.resident),
            files: self.files.min(other.files),
            threads: self.threads.min(other.threads),
            mappings: self.mappings.min(other.mappings),
        }
    }

    fn now() -> Self {
        let count = |directory: &str| std::fs::read_dir(directory).map_or(0, Iterator::count);
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages = statm.split_whitespace().nth(1);
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        Self {
            resident: pages.map_or(0, |pages| pages.parse::<u64>().unwrap() * 4096),
            files: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            mappings: maps.lines().count(),
        }
    }
}
