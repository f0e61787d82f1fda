//! The dense profile: what its instances cost the system, and that what keeps guests apart does without mappings.

use std::os::unix::process::ExitStatusExt as _;

use crate::support::*;
use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::Shared;
use hart_host::{
    Component, Host, HostBuilder, Limits, Profile, RunError, wasmtime, wasmtime::component::Val,
};

/// Each profile's host.
fn hosts() -> [(&'static str, Host); 2] {
    [("fast", Profile::Fast), ("dense", Profile::Dense)]
        .map(|(name, profile)| (name, builder().profile(profile).build().unwrap()))
}

fn call(host: &Host, component: &Component, export: &str, args: Vec<Val>) -> Result<Val, RunError> {
    let outcome = host.call(component, export, args).start().unwrap().wait()?;
    Ok(outcome.results.into_iter().next().expect("a result"))
}

/// A component whose module has such a memory. Its functions are the same for all: size, grow, load, store.
fn with_memory(memory: &str) -> String {
    format!(
        r#"(component
        (core module $m
            (memory {memory})
            (func (export "size") (result i32) memory.size)
            (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
            (func (export "byte") (param i32) (result i32) (i32.load8_u (local.get 0)))
            (func (export "word") (param i32) (result i64) (i64.load (local.get 0)))
            (func (export "far") (param i32) (result i32) (i32.load8_u offset=4294967295 (local.get 0)))
            (func (export "offset") (param i32) (result i32) (i32.load8_u offset=65536 (local.get 0)))
            (func (export "constant") (result i32) (i32.load (i32.const 65533)))
            (func (export "store") (param i32) (result i32)
                (i64.store (local.get 0) (i64.const -1)) (i32.const 0))
            (func (export "fill") (param i32) (result i32)
                (memory.fill (local.get 0) (i32.const 1) (i32.const 8)) (i32.const 0))
            (func (export "grown-byte") (param i32 i32) (result i32)
                (drop (memory.grow (local.get 0))) (i32.load8_u (local.get 1)))
            (func (export "grown-store") (param i32 i32) (result i32)
                (drop (memory.grow (local.get 0)))
                (i32.store8 (local.get 1) (i32.const 77)) (i32.load8_u (local.get 1))))
        (core instance $i (instantiate $m))
        (func (export "size") (result u32) (canon lift (core func $i "size")))
        (func (export "grow") (param "a" u32) (result s32) (canon lift (core func $i "grow")))
        (func (export "byte") (param "a" u32) (result u32) (canon lift (core func $i "byte")))
        (func (export "word") (param "a" u32) (result u64) (canon lift (core func $i "word")))
        (func (export "far") (param "a" u32) (result u32) (canon lift (core func $i "far")))
        (func (export "offset") (param "a" u32) (result u32) (canon lift (core func $i "offset")))
        (func (export "constant") (result u32) (canon lift (core func $i "constant")))
        (func (export "store") (param "a" u32) (result u32) (canon lift (core func $i "store")))
        (func (export "fill") (param "a" u32) (result u32) (canon lift (core func $i "fill")))
        (func (export "grown-byte") (param "a" u32) (param "b" u32) (result u32)
            (canon lift (core func $i "grown-byte")))
        (func (export "grown-store") (param "a" u32) (param "b" u32) (result u32)
            (canon lift (core func $i "grown-store"))))"#
    )
}

/// Fault: code that leaves a check to a guard that is not there, for some sort of memory: with and without a maximum,
/// of no page, of a fixed size; with an offset, a constant address, one that wraps.
#[test]
fn no_access_reaches_beyond_a_memory() {
    const PAGE: u32 = 65536;
    for (profile, host) in hosts() {
        for (memory, pages) in [
            ("1", 1_u32),
            ("1 1", 1),
            ("1 4", 1),
            ("0", 0),
            ("0 0", 0),
            ("0 1", 0),
            ("2 1024", 2),
        ] {
            let component = host.load(with_memory(memory).as_bytes()).unwrap();
            let traps = |export: &str, args: &[u32]| {
                let args = args.iter().map(|arg| Val::U32(*arg)).collect();
                match call(&host, &component, export, args) {
                    Err(RunError::Trapped { trap, .. }) => {
                        assert!(trap.contains("out of bounds memory access"), "{trap}");
                    }
                    other => panic!("{profile}, (memory {memory}), {export}: {other:?}"),
                }
            };
            let end = pages * PAGE;
            for beyond in [end, end + 1, end + 4096, end + 3 * PAGE, 64 << 20, u32::MAX] {
                for export in ["byte", "word", "far", "store", "fill"] {
                    traps(export, &[beyond]);
                }
                // Not what it could grow to.
                traps("grown-byte", &[0, beyond]);
            }
            for partly in (1..8).filter(|_| pages > 0) {
                for export in ["word", "store", "fill"] {
                    traps(export, &[end - partly]);
                }
            }
            traps("offset", &[end.saturating_sub(PAGE)]);
            if pages < 2 {
                traps("constant", &[]);
            }
            if pages > 0 {
                assert_eq!(
                    call(&host, &component, "word", vec![Val::U32(end - 8)]).unwrap(),
                    Val::U64(0)
                );
            }
        }
    }
}

/// Fault: growth that ends early or in the next memory; a refusal that ends the guest instead of being told to it.
#[test]
fn a_memory_grows_to_the_end_of_its_slot() {
    let host = builder().profile(Profile::Dense).build().unwrap();
    let component = host.load(with_memory("1").as_bytes()).unwrap();
    let grow = |pages| call(&host, &component, "grow", vec![Val::U32(pages)]).unwrap();
    assert_eq!(grow(1023), Val::S32(1));
    assert_eq!(grow(1024), Val::S32(-1), "64 MiB are the most");
    let last = (64 << 20) - 1;
    let args = |at| vec![Val::U32(1023), Val::U32(at)];
    assert_eq!(
        call(&host, &component, "grown-store", args(last)).unwrap(),
        Val::U32(77)
    );
    assert!(call(&host, &component, "grown-store", args(last + 1)).is_err());
    // The limit of memory comes first, and has a name.
    let limited = host
        .call(&component, "grow", vec![Val::U32(100)])
        .limits(Limits::new().memory(1 << 20));
    let ended = limited.start().unwrap().wait();
    assert!(matches!(ended, Err(RunError::OutOfMemory(_))), "{ended:?}");
    // What was grown and written is nobody else's.
    for _ in 0..4 {
        assert_eq!(
            call(&host, &component, "grown-byte", args(last)).unwrap(),
            Val::U32(0)
        );
    }
}

/// Fault: tables that take mappings, as large ones on the heap do; a refusal that is not told to the guest.
#[test]
pub fn a_table_has_a_largest_size() {
    for (profile, host) in hosts() {
        let most = if profile == "dense" { 8_000 } else { 100_000 };
        let text = r#"(component
            (core module $m (table $t 1 funcref)
                (func (export "grow") (param i32) (result i32)
                    (table.grow $t (ref.null func) (local.get 0))))
            (core instance $i (instantiate $m))
            (func (export "grow") (param "a" u32) (result s32) (canon lift (core func $i "grow"))))"#;
        let component = host.load(text.as_bytes()).unwrap();
        let grow = |elements| call(&host, &component, "grow", vec![Val::U32(elements)]).unwrap();
        assert_eq!(grow(most - 1), Val::S32(1), "{profile}");
        assert_eq!(grow(most), Val::S32(-1), "{profile}");
    }
}

/// Fault: a heap of a garbage collector for which there is no slot, or whose code leaves its checks to guards.
#[test]
fn a_guest_with_a_garbage_collector_has_a_heap() {
    let host = builder()
        .profile(Profile::Dense)
        .instances(2)
        .build()
        .unwrap();
    let text = r#"(component
        (core module $m
            (type $array (array (mut i32)))
            (memory 1)
            (func (export "sum") (param $n i32) (result i32)
                (local $a (ref null $array)) (local $i i32) (local $sum i32)
                (local.set $a (array.new $array (i32.const 3) (local.get $n)))
                (loop $each
                    (local.set $sum (i32.add (local.get $sum)
                        (array.get $array (local.get $a) (local.get $i))))
                    (local.set $i (i32.add (local.get $i) (i32.const 1)))
                    (br_if $each (i32.lt_u (local.get $i) (local.get $n))))
                (local.get $sum)))
        (core instance $i (instantiate $m))
        (func (export "sum") (param "n" u32) (result u32) (canon lift (core func $i "sum"))))"#;
    let component = host.load(text.as_bytes()).unwrap();
    let runs: Vec<_> = (0..20)
        .map(|_| {
            let call = host.call(&component, "sum", vec![Val::U32(10_000)]);
            call.start().unwrap()
        })
        .collect();
    for run in runs {
        assert_eq!(run.wait().unwrap().results, [Val::U32(30_000)]);
    }
    assert_nothing_left(&host);
}

/// A guest that waits in the host until `gate` opens.
fn waiting(builder: HostBuilder, gate: Shared<oneshot::Receiver<()>>) -> (Host, Component) {
    let host = builder
        .imports(move |linker| {
            let gate = gate.clone();
            linker.root().func_wrap_async("wait", move |_, ()| {
                let gate = gate.clone();
                Box::new(async move {
                    // The gate is opened before it is dropped.
                    let _ = gate.await;
                    wasmtime::Result::Ok(())
                })
            })
        })
        .build()
        .unwrap();
    let text = r#"(component
        (import "wait" (func $wait))
        (core func $lowered (canon lower (func $wait)))
        (core module $m
            (import "" "wait" (func $wait))
            (memory 2) (data (i32.const 70000) "image")
            (func (export "wait") (param $mark i32) (result i32)
                (i32.store (i32.const 8) (local.get $mark))
                (call $wait)
                (i32.load (i32.const 8))))
        (core instance $i (instantiate $m (with "" (instance (export "wait" (func $lowered))))))
        (func (export "wait") (param "mark" u32) (result u32) (canon lift (core func $i "wait"))))"#;
    let component = host.load(text.as_bytes()).unwrap();
    (host, component)
}

fn mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().count()
}

/// Parks so many guests at once, wakes them all, and says how many mappings came with them.
fn park(guests: u32) -> usize {
    let (open, gate) = oneshot::channel();
    // One run for each: room for what the tree of a run needs.
    let builder = builder()
        .instances(guests)
        .profile(Profile::Dense)
        .limits(Limits::new().depth(0).timeout(10 * HANG));
    let (host, component) = waiting(builder, gate.shared());
    assert_eq!(host.pool().instances, u64::from(guests));
    let before = mappings();
    let runs: Vec<_> = (0..guests)
        .map(|mark| {
            let call = host.call(&component, "wait", vec![Val::U32(mark)]);
            call.start().unwrap()
        })
        .collect();
    eventually("all are parked", || {
        let pool = host.pool();
        (pool.memories, pool.stacks) == (u64::from(guests), u64::from(guests))
    });
    let after = mappings();
    open.send(()).unwrap();
    for (mark, run) in (0..).zip(runs) {
        // Its own, not a neighbour's.
        assert_eq!(run.wait().unwrap().results, [Val::U32(mark)]);
    }
    assert_nothing_left(&host);
    assert_eq!(host.pool().memories, 0);
    after.saturating_sub(before)
}

/// Fault: mappings that come with guests, so that the system's limit of them ends the process.
#[test]
fn parked_guests_take_no_mappings() {
    passes_alone("dense::a_thousand_parked_guests");
}

#[test]
#[ignore = "counts the mappings of its process; started by another test"]
fn a_thousand_parked_guests() {
    // Heaps of threads may take some; the kernel cannot mark guards everywhere.
    let most = if takes_no_mappings() { 200 } else { 3 * 1_000 };
    let came = park(1_000);
    assert!(came < most, "{came} mappings for 1,000 guests");
}

fn takes_no_mappings() -> bool {
    let host = builder()
        .profile(Profile::Dense)
        .instances(1)
        .build()
        .unwrap();
    let guards = |setting: &&hart_host::Setting| setting.name == "stack-guards";
    host.settings().iter().find(guards).unwrap().value == "marked"
}

/// Fault: the same, at the size that the profile is for.
#[test]
#[ignore = "parks 25,000 guests, or as many as HART_DENSE says"]
fn very_many_guests_can_be_parked() {
    let guests = std::env::var("HART_DENSE").map_or(25_000, |guests| guests.parse().unwrap());
    let came = park(guests);
    println!("{guests} guests were parked at once, with {came} mappings more");
    assert!(came < 500, "{came} mappings");
}

/// Fault: a guest that recurses into its neighbour's stack, instead of trapping.
#[test]
fn recursion_ends_in_a_trap_and_in_nobody_elses_memory() {
    let (open, gate) = oneshot::channel();
    let (host, component) = waiting(
        builder().instances(200).profile(Profile::Dense),
        gate.shared(),
    );
    let lab = lab(&host);
    // On stacks before and behind.
    let neighbours: Vec<_> = (0..40)
        .map(|mark| {
            let call = host.call(&component, "wait", vec![Val::U32(mark)]);
            (mark, call.start().unwrap())
        })
        .collect();
    for _ in 0..40 {
        let ended = run(&host, &lab, &recurse()).start().unwrap().wait();
        assert!(
            matches!(&ended, Err(RunError::Trapped { trap, .. }) if trap.contains("stack")),
            "{ended:?}"
        );
    }
    open.send(()).unwrap();
    for (mark, run) in neighbours {
        assert_eq!(run.wait().unwrap().results, [Val::U32(mark)]);
    }
    assert_nothing_left(&host);
}

/// Fault: a function of the embedder's that recurses through the end of its stack into another one's: a corrupted
/// process that goes on. It ends instead.
#[test]
fn recursion_of_the_host_ends_at_the_guard() {
    let ended = alone("dense::recursion_of_the_host");
    let said = String::from_utf8_lossy(&ended.stdout);
    // wasmtime's word on an access to the guard; anywhere else it would be SIGSEGV.
    assert_eq!(
        ended.status.signal(),
        Some(libc::SIGABRT),
        "{:?} {said}",
        ended.status
    );
    assert!(
        said.contains("it recurses") && !said.contains("it is back"),
        "{said}"
    );
}

#[test]
#[ignore = "dies; started by another test"]
fn recursion_of_the_host() {
    fn deeper(depth: u64) -> u64 {
        let frame = std::hint::black_box([depth; 64]);
        let below = std::hint::black_box(deeper as fn(u64) -> u64)(depth + 1);
        below + std::hint::black_box(frame)[7]
    }
    let host = builder()
        .profile(Profile::Dense)
        .imports(|linker| {
            linker.root().func_wrap("recurse", |_, ()| {
                println!("it recurses");
                Ok((deeper(0) as u32,))
            })
        })
        .build()
        .unwrap();
    let text = r#"(component
        (import "recurse" (func $recurse (result u32)))
        (core func $lowered (canon lower (func $recurse)))
        (core module $m
            (import "" "recurse" (func $recurse (result i32)))
            (func (export "f") (result i32) (call $recurse)))
        (core instance $i (instantiate $m (with "" (instance (export "recurse" (func $lowered))))))
        (func (export "f") (result u32) (canon lift (core func $i "f"))))"#;
    let component = host.load(text.as_bytes()).unwrap();
    let back = call(&host, &component, "f", Vec::new());
    println!("it is back: {back:?}");
}

/// Fault: a host that cannot be made where the system grants no mapping of the usual size, or that does not say why it
/// is smaller.
#[test]
fn a_pool_that_the_system_refuses_is_made_smaller() {
    passes_alone("dense::a_pool_beyond_what_is_granted");
}

#[test]
#[ignore = "limits its process; started by another test"]
fn a_pool_beyond_what_is_granted() {
    let limit = |bytes| limit(rustix::process::Resource::Data, bytes);
    limit(Some(64 << 30));
    let host = builder()
        .profile(Profile::Dense)
        .instances(10_000)
        .build()
        .unwrap();
    let slots = host.pool().instances;
    assert!((100..600).contains(&slots), "{slots}");
    let setting = &host.settings()[0];
    assert_eq!(
        (setting.name, &setting.value),
        ("instances", &slots.to_string())
    );
    assert!(setting.reason.contains("ulimit -d"), "{setting}");
    let lab = lab(&host);
    assert_eq!(output(&host, &lab, &spawn(&say(b'x')).join(0)), "k(x)");
    drop(host);
    limit(Some(1 << 20));
    let refused = builder()
        .profile(Profile::Dense)
        .build()
        .expect_err("there is no room");
    assert!(refused.to_string().contains("ulimit -d"), "{refused}");
}
