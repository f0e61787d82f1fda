//! Handles and the buffers behind them are reserved from the run before they are made.

use crate::support::*;
use hart_host::{LimitKind, Limits, Preemption};

fn limit_of(limits: Limits, script: &Script) -> Option<LimitKind> {
    let (host, lab) = limited(Preemption::default(), limits);
    let ended = said(run(&host, &lab, script).start().unwrap().wait());
    assert_nothing_left(&host);
    Some(ended.err()?.limit().expect("a limit").limit)
}

/// Fault: handles that are memory of the host's without a limit, or with one that nobody can name.
#[test]
pub fn hoarding_ends_at_the_limit() {
    for mode in MODES {
        let (host, lab) = limited(mode, Limits::new().handles(1000));
        let error = said(run(&host, &lab, &hoard()).start().unwrap().wait()).unwrap_err();
        let limit = error.limit().expect("a limit");
        assert_eq!((limit.limit, limit.value), (LimitKind::Handles, 1000));
        // And a child's joiner is told.
        let text = output(&host, &lab, &spawn(&hoard()).join(0).explain());
        assert!(text.contains("`handles` of 1000"), "{text}");
        assert_nothing_left(&host);
    }
    // Not without one either.
    assert_eq!(limit_of(Limits::new(), &hoard()), Some(LimitKind::Handles));
}

/// Fault: a limit of handles that each task has for itself, so that many tasks have many times as many.
#[test]
fn the_limit_is_the_runs() {
    // A pollable is two entries.
    let keeps = keep(100).yield_forever();
    let script = Script::default()
        .times(8, &spawn(&keeps))
        .wait_any(8)
        .explain();
    let (host, lab) = limited(Preemption::default(), Limits::new().handles(1000));
    let run = run(&host, &lab, &script).start().unwrap();
    let canceller = run.canceller();
    eventually("at least one of them finds no room", || {
        canceller.stats().live_tasks < 8
    });
    run.cancel();
    let _ = run.wait();
    let stats = canceller.stats();
    // What they held never was more than handles and tasks explain.
    assert_eq!(stats.memory, 0, "{stats:?}");
    assert_nothing_left(&host);

    let enough = Limits::new().handles(2000);
    let all = Script::default()
        .times(8, &spawn(&keep(100)))
        .join(0)
        .join(1)
        .join(2)
        .join(3)
        .join(4)
        .join(5)
        .join(6)
        .join(7);
    let (host, lab) = limited(Preemption::default(), enough);
    assert_eq!(output(&host, &lab, &all), "k".repeat(8));
}

/// Fault: handles that are not memory of the run, or memory that is not given back when they go.
#[test]
fn handles_are_memory_of_the_run() {
    let much = Limits::new().handles(10_000_000).memory(2 << 20);
    assert_eq!(limit_of(much, &hoard()), Some(LimitKind::Memory));
    let (host, lab) = limited(Preemption::default(), Limits::new());
    let without = run(&host, &lab, &Script::default())
        .start()
        .unwrap()
        .wait()
        .unwrap();
    let with = run(&host, &lab, &keep(2000))
        .start()
        .unwrap()
        .wait()
        .unwrap();
    let bytes = with.stats.peak_memory - without.stats.peak_memory;
    assert!((4000 * 256..6000 * 256).contains(&bytes), "{bytes}");
    assert_eq!(with.stats.memory, 0);
}

/// Fault: a task that cannot write a word because others of its run hold all the handles.
#[test]
fn a_few_handles_are_each_tasks_own() {
    let (host, lab) = limited(Preemption::default(), Limits::new().handles(2));
    assert_eq!(limit_of(Limits::new().handles(0), &keep(4)), None);
    assert_eq!(
        limit_of(Limits::new().handles(0), &keep(5)),
        Some(LimitKind::Handles)
    );
    let said = output(&host, &lab, &spawn(&keep(1).say(b'x')).join(0));
    assert_eq!(said, "k(x)");
    // Dropped ones can be made again, as often as one likes.
    let often = Script::default().times(300, &sleep(0));
    let limits = Limits::new().handles(0);
    let (host, lab) = limited(Preemption::default(), limits);
    output(&host, &lab, &often);
}

/// Fault: a spawn whose task has no handle and runs for nobody, or a trap where the guest could go on.
#[test]
fn a_spawn_without_room_for_its_handle_is_refused() {
    let script = Script::default().times(40, &spawn(&sleep(200))).explain();
    let (host, lab) = limited(Preemption::default(), Limits::new().handles(10));
    let text = output(&host, &lab, &script);
    assert!(text.contains("`handles` of 10"), "{text}");
    assert_nothing_left(&host);
}

/// Fault: what is read ahead for a stream, and what was written to it, is held by the host and counted by nobody.
#[test]
fn buffers_of_streams_are_memory_of_the_run() {
    let directory = std::env::temp_dir().join(format!("hart-buffers-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("file"), vec![b'x'; 1 << 20]).unwrap();
    let host = host();
    let component = host.load(include_bytes!("streams.wat")).unwrap();
    let opened = |wave: &str, memory: u64| {
        host.invoke(&component, wave)
            .unwrap()
            .dir(&directory, "/d", hart_host::DirAccess::ReadWrite)
            .limits(Limits::new().memory(memory).timeout(HANG))
            .start()
            .unwrap()
            .wait()
    };
    for (how, many) in [
        ("read", 1000),
        ("ready", 4000),
        ("write", 1000),
        ("append", 1000),
    ] {
        let few = opened(&format!("{how}(10)"), 64 << 20).unwrap();
        let each = if how == "ready" { 4 << 10 } else { 64 << 10 };
        assert!(few.stats.peak_memory > 10 * each, "{how}: {:?}", few.stats);
        assert_eq!(few.stats.memory, 0, "{how}");
        // 1,000 streams are 64 MB; 4,000 that nobody read are 16.
        let error = opened(&format!("{how}({many})"), 4 << 20).unwrap_err();
        let limit = error.limit().map(|limit| limit.limit);
        assert_eq!(limit, Some(LimitKind::Memory), "{how}: {error}");
        assert_nothing_left(&host);
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

/// Makes so many streams of its own, in one task.
const STREAMS: &str = r#"(component
    (type $bytes (stream u8))
    (core func $new (canon stream.new $bytes))
    (core module $m
        (import "" "new" (func $new (result i64)))
        (func (export "streams") (param $count i32)
            (loop $more
                (drop (call $new))
                (local.set $count (i32.sub (local.get $count) (i32.const 1)))
                (br_if $more (local.get $count)))))
    (core instance $i (instantiate $m (with "" (instance (export "new" (func $new))))))
    (func (export "streams") (param "count" u32) (canon lift (core func $i "streams"))))"#;

/// Fault: streams that a guest makes without the host, which take much more of the host's memory than of the guest's own.
#[test]
fn streams_of_a_guests_own_take_a_part_of_its_memory() {
    let host = host();
    let guest = host.load(STREAMS.as_bytes()).unwrap();
    let ends = |count: u32, limits: Limits| {
        let run = host.invoke(&guest, &format!("streams({count})")).unwrap();
        let ended = run.limits(limits.timeout(HANG)).start().unwrap().wait();
        ended
            .err()
            .map(|error| error.limit().unwrap_or_else(|| panic!("{error}")))
    };
    let small = Limits::new().memory(4 << 20);
    // Each has two ends.
    assert_eq!(ends(1_000, small), None);
    let reached = ends(1_100, small).unwrap();
    assert_eq!((reached.limit, reached.value), (LimitKind::Handles, 2048));
    assert_eq!(ends(16_000, Limits::new()), None);
    let reached = ends(17_000, Limits::new()).unwrap();
    assert_eq!((reached.limit, reached.value), (LimitKind::Handles, 32_768));
    assert_nothing_left(&host);
}
