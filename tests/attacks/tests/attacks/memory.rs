//! Memory that the host holds for guests.

use hart_attacks::{Ground, MIB, Memory, alone, guest};
use hart_host::{Limits, Profile, RunBuilder, RunError, Stdio, wasmtime::component::Val};

/// On top of the guests' limits: what instances and stacks take, the victim's among them.
const SLACK: u64 = 64 * MIB;

fn limited(run: RunBuilder, memory: u64) -> RunBuilder {
    run.limits(Limits::new().memory(memory))
}

/// Fault: the pool keeps the memory of the last few guests that have ended, however large they were.
#[test]
fn freed_memory_does_not_stay() {
    alone(|| {
        let ground = Ground::new(|builder| builder);
        let component = ground.load(&guest(include_str!("../../guests/freed.wat")));
        let alone = ground.alone();
        // The limit, and the same again for what a pool may keep.
        let memory = Memory::watch(2 * 256 * MIB + SLACK);
        for retires in [false, true] {
            let attack = limited(ground.attack(&component, 20), 256 * MIB);
            let run = attack.start().unwrap();
            if !retires {
                ground.assert_served(alone);
            }
            assert_eq!(run.wait().unwrap().results, [Val::U32(0)]);
            memory.assert_bounded();
            // As the victim's small tasks come and go, the pool checks what it keeps.
            ground.retire();
        }
    });
}

/// Runs the guest once for each letter of `kinds`, which says what it takes memory with, and asserts that `limit` holds.
fn each_kind_is_memory(text: &str, kinds: &[u8], limit: u64) {
    let ground = Ground::new(|builder| builder);
    if kinds.contains(&b'l') {
        // A listing is half a MiB.
        for number in 0..2_000 {
            ground.file(&format!("{number:0200}"), b"");
        }
    }
    let component = ground.load(&guest(text));
    let alone = ground.alone();
    let memory = Memory::watch(limit + SLACK);
    for &kind in kinds {
        println!("{}", kind as char);
        let attack = limited(ground.attack(&component, kind.into()), limit);
        let run = attack.start().unwrap();
        ground.assert_served(alone);
        run.cancel();
        let _ = run.wait();
        memory.assert_bounded();
    }
}

/// Fault: handles, and what they refer to, take the host's memory and count towards no limit.
#[test]
fn handles_are_memory() {
    let guest = include_str!("../../guests/hoard.wat");
    alone(|| each_kind_is_memory(guest, b"posdl", 16 * MIB));
}

/// Fault: streams that guests make without the host are some hundred bytes each of the host's memory, and nobody's.
#[test]
fn streams_of_guests_own_are_few() {
    const MODULE: &str = "  (core module $guest\n";
    const GIVEN: &str = r#"(export "drop-task" (func $drop-task))"#;
    alone(|| {
        let ground = Ground::new(|builder| builder);
        let text = guest(include_str!("../../guests/own.wat"))
            .replace(
                MODULE,
                &format!(
                    r#"(type $bytes (stream u8)) (core func $stream (canon stream.new $bytes))
                    {MODULE} (import "host" "stream" (func $stream (result i64)))"#
                ),
            )
            .replace(
                GIVEN,
                &format!(r#"{GIVEN} (export "stream" (func $stream))"#),
            );
        let component = ground.load(&text);
        let alone = ground.alone();
        let memory = Memory::watch(32 * MIB + SLACK);
        let attack = limited(ground.attack(&component, 60), 32 * MIB);
        let run = attack.start().unwrap();
        ground.assert_served(alone);
        assert!(!run.is_finished());
        run.cancel();
        let _ = run.wait();
        memory.assert_bounded();
    });
}

/// Fault: each of very many streams reads ahead.
#[test]
fn buffers_of_streams_are_memory() {
    alone(|| {
        let ground = Ground::new(|builder| builder);
        // Larger than any buffer.
        ground.file("f", &vec![b'f'; 1 << 20]);
        let component = ground.load(&guest(include_str!("../../guests/streams.wat")));
        let alone = ground.alone();
        let memory = Memory::watch(16 * MIB + SLACK);
        let attack = limited(ground.attack(&component, 40_000), 16 * MIB);
        let run = attack.start().unwrap();
        ground.assert_served(alone);
        run.cancel();
        println!("{:?}", run.wait().err());
        memory.assert_bounded();
    });
}

/// Fault: growth that was refused stays charged, until it ends a small guest.
#[test]
fn refused_growth_is_not_charged() {
    alone(|| {
        for profile in [Profile::Dense, Profile::Fast] {
            let ground = Ground::new(|builder| builder.profile(profile));
            let component = ground.load(&guest(include_str!("../../guests/grows.wat")));
            let alone = ground.alone();
            // In the dense pool a memory has 64 MiB at most; in the fast one a limit is needed.
            let limits = Limits::new().memory(768 * MIB);
            if profile == Profile::Dense {
                let run = ground.attack(&component, 0).limits(limits);
                let ended = run.start().unwrap().wait();
                assert!(
                    matches!(&ended, Ok(outcome) if outcome.results == [Val::U32(1)]),
                    "{ended:?}"
                );
            }
            // A refusal counts against the task that asked, not against its sibling.
            let attack = limited(ground.attack(&component, 300), 32 * MIB);
            let run = attack.start().unwrap();
            ground.assert_served(alone);
            let ended = run.wait();
            assert!(
                matches!(&ended, Ok(outcome) if outcome.results == [Val::U32(0)]),
                "{ended:?}"
            );
        }
    });
}

/// Fault: results, trap messages and inputs are held for a run beyond its limit on memory.
#[test]
fn what_waits_to_be_taken_is_memory() {
    let guest = include_str!("../../guests/held.wat");
    alone(|| each_kind_is_memory(guest, b"rti", 32 * MIB));
}

/// Fault: what a guest stores is held beyond its limit, or a store has so many keys that others wait for its end.
#[test]
fn what_is_stored_is_memory() {
    const LIMIT: u64 = 32 * MIB;

    alone(|| {
        let ground = Ground::new(|builder| builder);
        let component = ground.load(include_str!("../../guests/stores.wat"));
        let alone = ground.alone();
        let memory = Memory::watch(LIMIT + SLACK);
        // By number, by long keys, by large values.
        for kind in b"nkv" {
            println!("{}", *kind as char);
            let attack = limited(ground.attack(&component, (*kind).into()), LIMIT);
            let run = attack.allow_keyvalue(true).start().unwrap();
            ground.assert_served(alone);
            let held = run.stats().memory;
            assert!(held > LIMIT / 2, "it stores: {held} bytes");
            run.cancel();
            let _ = run.wait();
            ground.assert_served(alone);
            memory.assert_bounded();
        }
    });
}

/// Fault: captured output of many runs at once goes beyond its limit.
#[test]
fn captured_output_is_memory() {
    alone(|| {
        let ground = Ground::new(|builder| builder);
        let component = ground.load(&guest(include_str!("../../guests/held.wat")));
        let alone = ground.alone();
        let memory = Memory::watch(8 * (4 + 2) * MIB + SLACK);
        let runs: Vec<_> = (0..8)
            .map(|_| {
                let limits = Limits::new().memory(4 * MIB).output_bytes(2 * MIB);
                let attack = ground.attack(&component, b'o'.into()).limits(limits);
                attack
                    .stdout(Stdio::Capture)
                    .stderr(Stdio::Capture)
                    .start()
                    .unwrap()
            })
            .collect();
        ground.assert_served(alone);
        ground.assert_served(alone);
        for run in runs {
            run.cancel();
            match run.wait() {
                Err(RunError::Cancelled | RunError::Limit(_) | RunError::OutOfMemory(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        memory.assert_bounded();
    });
}
