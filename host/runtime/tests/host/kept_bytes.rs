//! Memory that guests have given back, and a pool keeps or does not.

use crate::support::*;
use hart_host::{Host, Profile, wasmtime::component::Val};

/// Resident bytes of this process: now, and at most so far.
fn resident() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kibibytes = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).unwrap()
    };
    (kibibytes("VmRSS:") << 10, kibibytes("VmHWM:") << 10)
}

/// Writes every page of so many MiB of memory, and fills a table.
const FILLS: &str = r#"(component
    (core module $m
        (memory 1)
        (table $t 1 funcref)
        (func $f (export "fill") (param $mebibytes i32) (param $elements i32)
            (drop (memory.grow (i32.mul (local.get $mebibytes) (i32.const 16))))
            (memory.fill (i32.const 65536) (i32.const 1)
                (i32.mul (local.get $mebibytes) (i32.const 1048576)))
            (drop (table.grow $t (ref.func $f) (local.get $elements)))))
    (core instance $i (instantiate $m))
    (func (export "fill") (param "mebibytes" u32) (param "elements" u32)
        (canon lift (core func $i "fill"))))"#;

/// Fault: memory that waits until there are enough pieces to give back, however large they are: one guest at a time,
/// and many times what it may use is resident.
#[test]
fn memory_of_guests_that_are_gone_is_given_back() {
    passes_alone("kept_bytes::one_large_guest_at_a_time");
}

#[test]
#[ignore = "measures its process; started by another test"]
fn one_large_guest_at_a_time() {
    const MEBIBYTES: u32 = 56;
    for (profile, elements) in [(Profile::Fast, 90_000), (Profile::Dense, 7_000)] {
        let host = builder().profile(profile).build().unwrap();
        let component = host.load(FILLS.as_bytes()).unwrap();
        let fill = |mebibytes: u32, elements: u32| {
            let args = vec![Val::U32(mebibytes), Val::U32(elements)];
            host.call(&component, "fill", args)
                .start()
                .unwrap()
                .wait()
                .unwrap();
        };
        fill(0, 0);
        let (before, _) = resident();
        for _ in 0..30 {
            fill(MEBIBYTES, elements);
        }
        let (now, most) = resident();
        let one = u64::from(MEBIBYTES) << 20;
        // One that runs, and one that is on its way out.
        assert!(
            most < before + 2 * one + (32 << 20),
            "{profile:?}: {most} at most, {before} before"
        );
        assert!(
            now < before + host.pool().kept_bytes + (32 << 20),
            "{profile:?}: {now} now, {before} before, {:?}",
            host.pool()
        );
        kept_is_told(&host);
    }
}

/// What is kept can be seen, and is no more than the host says.
fn kept_is_told(host: &Host) {
    let settings = host.settings();
    let setting = settings
        .iter()
        .find(|setting| setting.name == "pool-keep-resident");
    assert!(setting.is_some(), "{settings:?}");
    // One slot has been used, or two; they keep part of a memory.
    let kept = host.pool().kept_bytes;
    assert!((64 << 10..4 << 20).contains(&kept), "{kept}");
}

/// Fault: pages that each slot keeps, however many slots there are and however little memory.
#[test]
fn all_slots_together_keep_a_part_of_the_memory_there_is() {
    passes_alone("kept_bytes::very_many_slots");
}

#[test]
#[ignore = "takes the whole of its process's budget; started by another test"]
fn very_many_slots() {
    let total: u64 = std::fs::read_to_string("/proc/meminfo")
        .unwrap()
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap();
    let kept = |host: &Host| -> u64 {
        let settings = host.settings();
        let setting = settings
            .iter()
            .find(|setting| setting.name == "pool-keep-resident")
            .unwrap();
        let (number, unit) = setting.value.split_once(' ').unwrap();
        let unit: u64 = match unit {
            "bytes" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            other => panic!("{other}"),
        };
        number.parse::<u64>().unwrap() * unit
    };
    let hosts: Vec<Host> = (0..4)
        .map(|_| builder().workers(1).instances(2_400).build().unwrap())
        .collect();
    let all: u64 = hosts.iter().map(kept).sum();
    assert!(all <= total * 1024 / 16, "{all} of {total} KiB");
}
