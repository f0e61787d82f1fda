//! Places in the pool: what one guest leaves in them for the next, what they cost, and what a host chose.

use std::process::Command;

use crate::support::*;
use hart_host::{
    BuildError, Cache, Host, HostBuilder, Limits, LoadError, PoolScan, Profile, RunError,
    wasmtime::component::Val,
};

/// A guest that leaves what it can in its memory and its table, and one that looks for it. Both grow by some
/// pages first; `$image` is what their memory begins with.
fn adversary(image: &str) -> String {
    format!(
        r#"(component
        (core module $m
            (memory 2)
            (data (i32.const 1024) "{image}")
            (table $t 4 100 funcref)
            (global $seen (mut i32) (i32.const 0))
            (elem declare func $f)
            (func $f)
            (func $mark (param $pages i32)
                (drop (memory.grow (local.get $pages)))
                (memory.fill (i32.const 0) (i32.const 0xa5) (i32.mul (memory.size) (i32.const 65536)))
                (drop (table.grow $t (ref.func $f) (i32.const 60)))
                (table.fill $t (i32.const 0) (ref.func $f) (table.size $t))
                (global.set $seen (i32.const 7)))
            (func (export "mark") (param $pages i32) (call $mark (local.get $pages)))
            (func (export "trap") (param $pages i32) (call $mark (local.get $pages)) unreachable)
            (func (export "spin") (param $pages i32)
                (call $mark (local.get $pages))
                (loop $again (br $again)))
            (func (export "look") (param $pages i32) (result i32)
                (local $at i32) (local $found i32) (local $end i32)
                (drop (memory.grow (local.get $pages)))
                ;; What it begins with is its own.
                (memory.fill (i32.const 1024) (i32.const 0) (i32.const {length}))
                (local.set $end (i32.mul (memory.size) (i32.const 65536)))
                (loop $words
                    (local.set $found (i32.add (local.get $found)
                        (i64.ne (i64.load (local.get $at)) (i64.const 0))))
                    (local.set $at (i32.add (local.get $at) (i32.const 8)))
                    (br_if $words (i32.lt_u (local.get $at) (local.get $end))))
                (drop (table.grow $t (ref.null func) (i32.const 60)))
                (local.set $at (i32.const 0))
                (loop $elements
                    (local.set $found (i32.add (local.get $found)
                        (i32.eqz (ref.is_null (table.get $t (local.get $at))))))
                    (local.set $at (i32.add (local.get $at) (i32.const 1)))
                    (br_if $elements (i32.lt_u (local.get $at) (table.size $t))))
                (i32.add (local.get $found) (global.get $seen))))
        (core instance $i (instantiate $m))
        (func (export "mark") (param "pages" u32) (canon lift (core func $i "mark")))
        (func (export "trap") (param "pages" u32) (canon lift (core func $i "trap")))
        (func (export "spin") (param "pages" u32) (canon lift (core func $i "spin")))
        (func (export "look") (param "pages" u32) (result u32) (canon lift (core func $i "look"))))"#,
        length = image.len(),
    )
}

/// A host of each sort of pool that this machine can have.
fn profiles() -> Vec<(String, Host)> {
    let each = |profile, scan| {
        let builder: HostBuilder = builder().instances(2).profile(profile).pool_scan(scan);
        match builder.build() {
            Ok(host) => Some((format!("{profile:?}, scan {scan:?}"), host)),
            // It is for kernels that can, and systems without swap.
            Err(BuildError::Setting(_) | BuildError::Engine(_)) if scan == PoolScan::On => None,
            Err(error) => panic!("{error}"),
        }
    };
    [
        each(Profile::Fast, PoolScan::Off),
        each(Profile::Fast, PoolScan::On),
        each(Profile::Dense, PoolScan::Off),
        each(Profile::Dense, PoolScan::On),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Fault: a guest that finds in its memory or its table what the last one in its place has left there: in what
/// is zeroed by hand, in what is given back to the system, in what was grown, under an image or where another
/// component's was.
#[test]
fn a_place_shows_nothing_of_its_last_user() {
    for (name, host) in profiles() {
        let long = "x".repeat(100_000);
        let components = ["image", long.as_str()].map(|image| {
            let text = adversary(image);
            host.load(text.as_bytes()).expect("it is valid")
        });
        // Within what is kept resident, and beyond.
        for pages in [0, 1, 40] {
            for end in ["mark", "trap", "spin"] {
                for marks in &components {
                    // Both places, and the queue of those that are not reset yet.
                    for _ in 0..4 {
                        let run = host
                            .call(marks, end, vec![Val::U32(pages)])
                            .start()
                            .unwrap();
                        if end == "spin" {
                            run.cancel();
                        }
                        match (end, run.wait()) {
                            ("mark", Ok(_))
                            | ("trap", Err(RunError::Trapped { .. }))
                            | ("spin", Err(RunError::Cancelled)) => {}
                            (_, ended) => panic!("{ended:?}"),
                        }
                    }
                    for looks in &components {
                        for _ in 0..4 {
                            let run = host.call(looks, "look", vec![Val::U32(pages)]);
                            let found = run.start().unwrap().wait().unwrap().results;
                            assert_eq!(found, [Val::U32(0)], "{name}, {pages} pages, after {end}");
                        }
                    }
                }
            }
        }
        assert_nothing_left(&host);
    }
}

/// Fault: a choice that nobody can see, or that says nothing of why.
#[test]
fn settings_say_what_and_why() {
    let host = builder().build().unwrap();
    let value = |name: &str| {
        let setting = host
            .settings()
            .into_iter()
            .find(|setting| setting.name == name);
        let setting = setting.unwrap_or_else(|| panic!("no setting {name}"));
        assert!(!setting.reason.is_empty(), "{setting}");
        setting.value.clone()
    };
    assert_eq!(value("instances"), "100");
    assert_eq!(value("memory-reservation"), "4 GiB");
    assert_eq!(value("pool-scan"), "off");
    assert_eq!(value("preemption"), host.preemption().to_string());
    assert_eq!(host.pool().instances, 100);
}

/// Fault: pools that each fit the system, and together do not: the process aborts when guests come.
///
/// In a process of its own: beside it the pools of all other tests would be too small.
#[test]
fn pools_share_one_budget() {
    let alone = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "pool::pools_that_take_all_there_is", "--ignored"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&alone.stdout);
    assert!(
        alone.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[test]
#[ignore = "started by another test"]
fn pools_that_take_all_there_is() {
    let built: Vec<Host> = (0..12)
        .map(|_| {
            let host = Host::builder()
                .workers(1)
                .instances(10_000)
                .cache(Cache::Off);
            host.build()
        })
        .take_while(Result::is_ok)
        .map(Result::unwrap)
        .collect();
    let places: u64 = built.iter().map(|host| host.pool().instances).sum();
    let most = std::fs::read_to_string("/proc/sys/vm/max_map_count");
    if let Some(most) = most.ok().and_then(|text| text.trim().parse::<u64>().ok()) {
        assert!(places * 6 < most, "{places} places, and {most} mappings");
    }
    assert!(!built.is_empty());
}

/// Fault: the pool refuses an instance for which there is a place, because another worker is still giving that back to
/// the system.
#[test]
fn a_place_that_is_being_given_back_is_waited_for() {
    let host = builder().workers(4).instances(3).build().unwrap();
    let text = "(component
        (core module $m (memory 20) (func (export \"f\")
            (memory.fill (i32.const 0) (i32.const 1) (i32.const 1000000))))
        (core instance $i (instantiate $m))
        (func (export \"f\") (canon lift (core func $i \"f\"))))";
    let component = host.load(text.as_bytes()).unwrap();
    for _ in 0..40 {
        let runs = (0..50).map(|_| host.call(&component, "f", Vec::new()).start().unwrap());
        for run in runs.collect::<Vec<_>>() {
            run.wait().unwrap();
        }
    }
    assert_nothing_left(&host);
}

/// Refused, with a word on how much it takes, how much there is, and what would do.
fn refuses(profile: Profile, text: &str, words: &[&str]) {
    let host = builder().profile(profile).instances(1).build().unwrap();
    let refused = host.load(text.as_bytes()).map(drop);
    let Err(LoadError::TooBig(said)) = refused else {
        panic!("{refused:?}")
    };
    for word in words {
        assert!(said.contains(word), "{word}: {said}");
    }
}

/// Fault: a memory that does not fit, refused with nothing but that word.
#[test]
fn a_memory_that_is_too_large_names_the_setting() {
    refuses(
        Profile::Dense,
        "(component (core module (memory 2000)))",
        &[
            "131072000",
            "67108864",
            "`memory-reservation` of 256 MiB",
            "`fast`",
        ],
    );
    refuses(
        Profile::Fast,
        "(component (core module (memory i64 65537)))",
        &[
            "4295032832",
            "4294967296",
            "no setting gives more than 4 GiB",
        ],
    );
}

/// Fault: the same, of a table; a way out that is none.
#[test]
fn a_table_that_is_too_large_names_the_setting() {
    refuses(
        Profile::Dense,
        "(component (core module (table 8001 funcref)))",
        &["8001", "8000", "`fast` allows 100000"],
    );
    for profile in [Profile::Fast, Profile::Dense] {
        let text = "(component (core module (table 100001 funcref)))";
        refuses(
            profile,
            text,
            &["100001", "no setting allows more than 100000"],
        );
    }
}

/// Fault: the same, of their number.
#[test]
fn too_many_memories_or_tables_say_how_many() {
    for profile in [Profile::Fast, Profile::Dense] {
        let memories = "(memory 1)".repeat(17);
        let memories = format!("(component (core module {memories}))");
        refuses(
            profile,
            &memories,
            &["17 memories", "16 are the most", "split it"],
        );
        let tables = "(table 1 funcref)".repeat(65);
        let tables = format!("(component (core module {tables}))");
        refuses(
            profile,
            &tables,
            &["65 tables", "64 are the most", "split it"],
        );
    }
}

/// Fault: a component for which the pool has too few places, refused as if nothing could be done.
#[test]
fn what_takes_more_places_than_there_are_names_the_setting() {
    let tables = "(table 1 funcref)".repeat(9);
    let text = format!("(component (core module {tables}))");
    refuses(
        Profile::Fast,
        &text,
        &["9 tables", "the pool has 8", "`instances` to 2"],
    );
    for profile in [Profile::Fast, Profile::Dense] {
        let host = builder().profile(profile).instances(1).build().unwrap();
        let text = "(component
            (core module $m (memory 1) (memory 1) (func (export \"f\")))
            (core instance $i (instantiate $m))
            (func (export \"f\") (canon lift (core func $i \"f\"))))";
        let component = host.load(text.as_bytes()).unwrap();
        let Err(RunError::Setup(said)) = host.call(&component, "f", Vec::new()).start() else {
            panic!("there is one place")
        };
        assert!(
            said.contains("takes 2 places") && said.contains("instances"),
            "{said}"
        );
    }
}

/// Fault: bookkeeping that nobody counts: in the dense profile wasmtime does not.
#[test]
fn an_instance_that_is_too_large_says_how_large() {
    let module = |name: &str, globals: usize| {
        let globals = "(global i64 (i64.const 0))".repeat(globals);
        format!("(core module ${name} {globals}) (core instance (instantiate ${name}))")
    };
    // One module with too many, and two that have too many together.
    let one = format!("(component {})", module("a", 100_000));
    let two = format!(
        "(component {} {})",
        module("a", 50_000),
        module("b", 50_000)
    );
    for profile in [Profile::Fast, Profile::Dense] {
        refuses(
            profile,
            &one,
            &["of bookkeeping", "1048576 are the most", "split it"],
        );
        refuses(
            profile,
            &two,
            &["an instance takes", "1048576 are the most", "split it"],
        );
    }
}

/// Runs so many tasks that do nothing.
fn noops(host: &Host, tasks: usize) {
    let text = "(component
        (core module $m (memory 2) (data (i32.const 8) \"image\") (func (export \"noop\")))
        (core instance $i (instantiate $m))
        (func (export \"noop\") (canon lift (core func $i \"noop\"))))";
    let component = host.load(text.as_bytes()).unwrap();
    for _ in 0..tasks {
        let run = host.call(&component, "noop", Vec::new()).start().unwrap();
        run.wait().unwrap();
    }
}

const TASKS: &str = "HART_TEST_NOOPS";

/// Not a test: what [`a_warm_task_makes_no_system_calls`] and [`a_warm_task_touches_no_new_page`] watch.
#[test]
#[ignore = "started by another test"]
fn noops_to_be_watched() {
    let tasks = std::env::var(TASKS).map_or(1, |tasks| tasks.parse().unwrap());
    noops(&host(), tasks);
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The eighth field after the name, which may hold spaces.
    let faults = stat
        .rsplit(')')
        .next()
        .and_then(|rest| rest.split_whitespace().nth(7));
    println!("page faults: {}", faults.unwrap());
}

/// Fault: a reset, a mapping or a protection for every task: it is what makes two cores slower than one. Or any other
/// call for every task: a clock that asks the system, random numbers that do, a lock that sleeps.
///
/// Where there is `strace`.
#[test]
fn a_warm_task_makes_no_system_calls() {
    let more = |what: &str| -> Option<u64> {
        let (few, many) = (calls(what, 500)?, calls(what, 2_500)?);
        Some(many.saturating_sub(few))
    };
    if let Some(more) = more("trace=%memory") {
        assert!(
            more < 200,
            "2,000 tasks made {more} calls that change mappings"
        );
    }
    // Waiting for a run puts this thread to sleep and has a worker wake it, and the other way round. Each of these may
    // take the lock of the one that it wakes.
    if let Some(more) = more("trace=!futex") {
        assert!(more < 400, "2,000 tasks made {more} calls");
    }
}

/// The calls of one kind that a process makes which runs so many tasks.
fn calls(what: &str, tasks: usize) -> Option<u64> {
    {
        let log = std::env::temp_dir().join(format!("hart-calls-{}-{tasks}", std::process::id()));
        let watched = Command::new("strace")
            .args(["-f", "-qq", "-e", what, "-o"])
            .arg(&log)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "pool::noops_to_be_watched", "--ignored"])
            .env(TASKS, tasks.to_string())
            .output()
            .ok()?;
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        // What is left of a temporary directory is nobody's loss.
        let _ = std::fs::remove_file(&log);
        assert!(
            watched.status.success() || text.is_empty(),
            "{}",
            String::from_utf8_lossy(&watched.stdout)
        );
        watched
            .status
            .success()
            .then(|| text.lines().filter(|line| line.contains('(')).count() as u64)
    }
}

/// Fault: what no trace of calls shows: pages that are given back and touched again, for every task.
#[test]
fn a_warm_task_touches_no_new_page() {
    // Page faults of a process that runs so many tasks.
    let faults = |tasks: usize| -> u64 {
        let watched = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "pool::noops_to_be_watched",
                "--ignored",
                "--nocapture",
            ])
            .env(TASKS, tasks.to_string())
            .output()
            .unwrap();
        let text = String::from_utf8(watched.stdout).unwrap();
        let (_, after) = text.split_once("page faults: ").expect("it says so");
        after.split_whitespace().next().unwrap().parse().unwrap()
    };
    let more = faults(2_500).saturating_sub(faults(500));
    assert!(more < 1_000, "2,000 tasks made {more} page faults");
}

/// Fault: memory that grows with the number of tasks that there were: nodes, handles, outcomes, places.
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
    // Every place of the pool has been used by then.
    burst("20000");
    let before = Usage::now();
    burst(&tasks);
    let after = Usage::now();
    assert_nothing_left(&host);
    // The guest itself keeps 16 bytes for each task while it runs; then they are given back.
    assert!(
        after.resident < before.resident + (64 << 20),
        "{before:?} {after:?}"
    );
}

/// Fault: whatever a task leaves behind: a place, a stack, a file, a thread, a byte.
#[test]
#[ignore = "takes as long as HART_SOAK_SECONDS says, or ten minutes"]
fn a_soak_leaves_nothing_behind() {
    let seconds = std::env::var("HART_SOAK_SECONDS").map_or(600, |text| text.parse().unwrap());
    let host = builder()
        .instances(200)
        .limits(Limits::new().timeout(HANG).memory(256 << 20))
        .build()
        .unwrap();
    let lab = lab(&host);
    let text = adversary("image");
    let adversary = host.load(text.as_bytes()).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let until = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    let mut kinds = [0_u64; 7];
    let mut first = None;
    let mut last = Usage::default();
    while std::time::Instant::now() < until || first.is_none() {
        let batch: Vec<_> = (0..50)
            .map(|_| {
                let kind = random.usize(0..kinds.len());
                kinds[kind] += 1;
                let scripted = |script: &Script| run(&host, &lab, script);
                let started = match kind {
                    0 => scripted(&tree(3)),
                    1 => scripted(&spawn(&trap()).join(0)),
                    2 => scripted(&spawn(&spin()).cancel(0).join(0)),
                    3 => scripted(&spawn(&sleep(200)).spin())
                        .limits(Limits::new().timeout(std::time::Duration::from_millis(5))),
                    4 => scripted(&spawn(&spin()).close().join(0).give(20)),
                    5 => scripted(&grow_forever()),
                    _ => host.call(&adversary, "look", vec![Val::U32(random.u32(0..40))]),
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
                (6, Ok(outcome)) => assert_eq!(outcome.results, [Val::U32(0)]),
                (_, Ok(_)) | (_, Err(RunError::Cancelled)) => {}
                (3, Err(RunError::TimedOut(_))) | (5, Err(RunError::OutOfMemory(_))) => {}
                (kind, other) => panic!("{kind}: {other:?}"),
            }
        }
        eventually("nothing is left", || host.pool().in_use == 0);
        last = Usage::now();
        if first.is_none() && kinds.iter().sum::<u64>() >= 5_000 {
            // Caches and pools are warm by now.
            first = Some(last);
        }
    }
    let first = first.unwrap_or_default();
    assert_nothing_left(&host);
    assert!(kinds.iter().all(|runs| *runs > 0), "{kinds:?}");
    assert!(
        last.resident < first.resident + (32 << 20),
        "{first:?}, and after {kinds:?}: {last:?}"
    );
    assert!(last.files <= first.files + 4, "{first:?} {last:?}");
    assert!(last.threads <= first.threads + 4, "{first:?} {last:?}");
    assert!(
        last.mappings <= first.mappings + 1_000,
        "{first:?} {last:?}"
    );
}

/// What this process has.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    resident: u64,
    files: usize,
    threads: usize,
    mappings: usize,
}

impl Usage {
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
