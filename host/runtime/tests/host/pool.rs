//! Places in the pool: what they cost, what has no room in them, and what a host chose.

use std::process::Command;

use crate::support::*;
use hart_host::{
    Cache, Host, HostBuilder, Limits, LoadError, Profile, Run, RunError, instances_for, wasmtime,
};

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
    passes_alone("pool::pools_that_take_all_there_is");
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
    let slots: u64 = built.iter().map(|host| host.pool().instances).sum();
    let most = std::fs::read_to_string("/proc/sys/vm/max_map_count");
    if let Some(most) = most.ok().and_then(|text| text.trim().parse::<u64>().ok()) {
        assert!(slots * 6 < most, "{slots} slots, and {most} mappings");
    }
    assert!(!built.is_empty());
}

/// Fault: the pool refuses an instance for which there is a slot, because another worker is still giving that back to
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

/// Fault: a component for which the pool has too few slots, refused as if nothing could be done.
#[test]
pub fn what_takes_more_slots_than_there_are_names_the_setting() {
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
            panic!("there is one slot")
        };
        assert!(
            said.contains("takes 2 slots") && said.contains("instances` to 2"),
            "{said}"
        );
    }
}

/// Fault: a pool for one run in which that run has no room, so that it is refused; one for few tasks where the run may
/// spawn many; a large one for a program that cannot spawn.
#[test]
fn a_pool_for_one_run_has_room_for_it() {
    let several = |memories: usize, imports: &str| {
        let modules = "(core instance (instantiate $m))".repeat(memories);
        let text = format!(
            r#"(component
                {imports}
                (core module $m (memory 1) (func (export "f")))
                (core instance $i (instantiate $m))
                {modules}
                (func (export "f") (canon lift (core func $i "f"))))"#
        );
        wat::parse_str(text).unwrap()
    };
    for memories in [0, 1, 3, 10, 30] {
        let bytes = several(memories, "");
        let instances = instances_for(&bytes);
        assert!(instances < 100, "{instances}");
        let host = builder().instances(instances).build().unwrap();
        let code = host.precompile(&bytes).unwrap();
        assert_eq!(instances_for(&code), instances);
        let component = host.load(&bytes).unwrap();
        let run = host.invoke(&component, "f()").unwrap().start().unwrap();
        run.wait().unwrap();
        assert_nothing_left(&host);
    }
    let spawns = several(1, r#"(import "hart:exec/tasks@0.1.0" (instance))"#);
    for bytes in [&spawns[..], b"(component)", b"\0asm", b""] {
        assert_eq!(instances_for(bytes), HostBuilder::DEFAULT_INSTANCES);
    }
}

/// Fault: a slot that stands for fewer memories than its guest takes: the pool refuses it.
#[test]
fn guests_with_a_heap_take_a_place_for_it() {
    let host = builder().instances(100).imports(|linker| {
        let mut root = linker.root();
        root.func_wrap_async("wait", |_, ()| {
            Box::new(std::future::pending::<wasmtime::Result<()>>())
        })
    });
    let host = host.build().unwrap();
    let waits = host.load(
        br#"(component
            (import "wait" (func $wait))
            (core func $lowered (canon lower (func $wait)))
            (core module $m
                (import "" "wait" (func $wait))
                (type $cell (struct (field i32)))
                (memory 1)
                (func (export "f") (drop (struct.new $cell (i32.const 1))) (call $wait)))
            (core instance $i (instantiate $m
                (with "" (instance (export "wait" (func $lowered))))))
            (func (export "f") (canon lift (core func $i "f"))))"#,
    );
    let waits = waits.unwrap();
    let start = |_| host.call(&waits, "f", Vec::new()).start().unwrap();
    let runs: Vec<Run> = (0..20).map(start).collect();
    eventually("all of them run", || host.pool().component_instances == 20);
    assert_eq!(host.pool().in_use, 40);
    for run in &runs {
        run.cancel();
    }
    for run in runs {
        assert!(matches!(run.wait(), Err(RunError::Cancelled)));
    }
    assert_nothing_left(&host);
}

/// Fault: bookkeeping that nobody counts, or because of which a large program is refused: for globals, for functions in
/// tables, of one module or of many together.
#[test]
fn bookkeeping_is_memory_of_the_run() {
    let module = |name: &str, items: &str| {
        format!("(core module ${name} {items}) (core instance ${name} (instantiate ${name}))")
    };
    let globals = |count: usize| "(global i64 (i64.const 0))".repeat(count);
    let functions = {
        let names: String = (0..40_000).map(|function| format!(" {function}")).collect();
        format!(
            "{} (table 40000 funcref) (elem (i32.const 0) func{names})",
            "(func)".repeat(40_000)
        )
    };
    let entry = r#"(core module $f (func (export "f"))) (core instance $f (instantiate $f))
        (func (export "f") (canon lift (core func $f "f")))"#;
    // How much each takes, at least.
    let mut cases = vec![
        (Profile::Fast, module("a", &functions), 40_000 * 32),
        (Profile::Dense, module("a", &globals(100_000)), 100_000 * 16),
    ];
    let two = module("a", &globals(50_000)) + &module("b", &globals(50_000));
    cases.push((Profile::Fast, two, 100_000 * 16));
    for (profile, modules, bytes) in cases {
        let host = builder().profile(profile).build().unwrap();
        let text = format!("(component {modules} {entry})");
        let component = host.load(text.as_bytes()).unwrap();
        let run = |memory: u64| -> Result<_, RunError> {
            let run = host.invoke(&component, "f()").unwrap();
            run.limits(Limits::new().memory(memory)).start()?.wait()
        };
        let enough = run(16 << 20).unwrap();
        assert!(enough.stats.peak_memory >= bytes, "{:?}", enough.stats);
        let short = run(bytes / 2);
        assert!(matches!(short, Err(RunError::OutOfMemory(_))), "{short:?}");
        assert_nothing_left(&host);
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

/// Fault: a reset, a mapping or a protection for every task: it is what makes two cores slower than one.
///
/// Where there is `strace`.
#[test]
fn a_warm_task_makes_no_system_calls() {
    const WHAT: &str = "trace=%memory";
    if let (Some(few), Some(many)) = (calls(WHAT, 500), calls(WHAT, 2_500)) {
        let more = many.saturating_sub(few);
        assert!(
            more < 200,
            "2,000 tasks made {more} calls that change mappings"
        );
    }
}

/// The calls of one kind that a process makes which runs so many tasks.
fn calls(what: &str, tasks: usize) -> Option<u64> {
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
