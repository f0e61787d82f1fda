//! Baseline and optimized code: the same promises for both, and the way from one to the other.

use std::fs;
use std::path::Path;

use crate::support::*;
use futures::channel::oneshot;
use hart_host::{Cache, Component, Host, LimitKind, Limits, Preemption, RunError, Tier, wasmtime};
use wasmtime::component::Val;

const TIERS: [Tier; 2] = [Tier::Baseline, Tier::Optimized];

/// The lab with so much code that baseline code is worth it.
fn large_lab() -> Vec<u8> {
    let body = "(drop (i32.add (i32.const 123456789) (i32.const 987654321)))".repeat(1_000);
    let functions = format!("(func {body})").repeat(100);
    let memory = "(memory (export \"memory\") 1)";
    let lab = include_str!("lab.wat");
    assert_eq!(lab.matches(memory).count(), 1);
    let binary = wat::parse_str(lab.replace(memory, &format!("{memory} {functions}"))).unwrap();
    assert!(binary.len() > 1 << 20, "{} bytes", binary.len());
    binary
}

fn on(tier: Tier, mode: Preemption, limits: Limits) -> (Host, Component) {
    let limits = limits.or(&Limits::new().timeout(HANG));
    let builder = builder().workers(1).preemption(mode).limits(limits);
    let host = builder.tier(tier).build().unwrap();
    let lab = lab(&host);
    assert_eq!(lab.is_baseline(), tier == Tier::Baseline);
    (host, lab)
}

/// Fault: guests in one of the two kinds of code that no limit or cancel ends.
#[test]
pub fn limits_hold_in_both() {
    use std::time::Duration;

    for tier in TIERS {
        for mode in MODES {
            let limited = |limits: Limits, script: &Script| {
                let (host, lab) = on(tier, mode, limits);
                let ended = said(run(&host, &lab, script).start().unwrap().wait());
                assert_nothing_left(&host);
                ended.unwrap_err()
            };
            let short = Duration::from_millis(50);
            let reached = |error: RunError| error.limit().expect("a limit").limit;
            let timeout = Limits::new().timeout(short);
            assert_eq!(reached(limited(timeout, &spin())), LimitKind::Timeout);
            let cpu_time = Limits::new().cpu_time(short);
            assert_eq!(reached(limited(cpu_time, &spin())), LimitKind::CpuTime);
            let memory = Limits::new().memory(4 << 20);
            assert_eq!(reached(limited(memory, &grow_forever())), LimitKind::Memory);
            let trapped = limited(Limits::new(), &recurse());
            assert!(matches!(trapped, RunError::Trapped { .. }), "{trapped}");
            let (host, lab) = on(tier, mode, Limits::new());
            let run = run(&host, &lab, &spin()).start().unwrap();
            eventually("it runs", || host.pool().stacks == 1);
            run.cancel();
            assert!(matches!(run.wait(), Err(RunError::Cancelled)));
            assert_nothing_left(&host);
        }
    }
}

/// Fault: a spinner that keeps its core in one of the two, counted as `preemption` counts it.
#[test]
fn spinners_give_way_in_both() {
    for tier in TIERS {
        for mode in MODES {
            let (host, lab) = on(tier, mode, Limits::new());
            let script = spawn(&spin()).yield_now().spawn(&say(b'x')).join(1);
            let outcome = run(&host, &lab, &script).start().unwrap().wait().unwrap();
            let preemptions = outcome.stats.preemptions;
            assert!(
                (1..=12).contains(&preemptions),
                "{tier:?} {mode}: {preemptions}"
            );
            assert_eq!(said(Ok(outcome)).unwrap(), "k(x)");
        }
    }
}

/// Fault: fuel that differs from run to run in baseline code, or a limit that is off.
#[test]
fn fuel_is_exact_in_baseline_code() {
    let with = |limits| {
        let (host, lab) = on(Tier::Baseline, MODES[1], limits);
        let run = run(&host, &lab, &busy(100)).start().unwrap();
        run.wait()
    };
    let used = with(Limits::new()).unwrap().stats.fuel;
    assert!(used > 100_000, "{used}");
    for _ in 0..3 {
        assert_eq!(with(Limits::new()).unwrap().stats.fuel, used);
    }
    assert_eq!(with(Limits::new().fuel(used)).unwrap().stats.fuel, used);
    let short = with(Limits::new().fuel(used / 2)).unwrap_err();
    assert_eq!(short.limit().unwrap().limit, LimitKind::Fuel);
}

/// Fault: traps whose place nobody can tell in baseline code. Offsets may differ by some instructions.
#[test]
fn backtraces_name_the_same_functions() {
    let told = TIERS.map(|tier| {
        let (host, lab) = on(tier, MODES[0], Limits::new());
        let ended = run(&host, &lab, &trap()).start().unwrap().wait();
        let RunError::Trapped { backtrace, .. } = ended.unwrap_err() else {
            panic!("a trap")
        };
        assert!(backtrace.contains("lab!run"), "{backtrace}");
        let functions = backtrace
            .lines()
            .filter_map(|line| line.split(" - ").nth(1));
        functions.map(str::to_owned).collect::<Vec<_>>()
    });
    assert_eq!(told[0], told[1]);
}

/// Starts a run whose root goes on to follow `script` when it is told so.
fn waiting(host: &Host, lab: &Component, script: &Script) -> (hart_host::Run, oneshot::Sender<()>) {
    let (go, told) = oneshot::channel();
    let bytes = script.0.iter().map(|byte| Val::U8(*byte)).collect();
    let run = host.drive(lab, move |store, instance| {
        Box::pin(async move {
            let _ = told.await;
            let script = instance
                .get_func(&mut *store, "script")
                .expect("it has one");
            let mut results = [Val::Bool(false)];
            let arguments = [Val::List(bytes)];
            script
                .call_async(&mut *store, &arguments, &mut results)
                .await?;
            Ok(results.to_vec())
        })
    });
    let run = run.start().unwrap();
    eventually("it has an instance", || host.pool().core_instances > 0);
    (run, go)
}

/// Fault: a large component that nobody can run before it is optimized; tasks that go on running baseline code when there
/// is better; an instance that is exchanged under a task; functions that are looked for in the other code.
#[test]
pub fn better_code_comes_while_tasks_run() {
    let host = builder().tier(Tier::Auto).build().unwrap();
    let lab = host.load(&large_lab()).unwrap();
    assert!(lab.is_baseline());
    let (old, go) = waiting(
        &host,
        &lab,
        &spawn(&say(b'x')).join(0).spawn(&say(b'y')).join(1),
    );
    let root = old.stats();
    assert_eq!((root.tasks, root.baseline), (1, 1));
    lab.wait_optimized();
    assert!(!lab.is_baseline());
    // The handle that the run was made with is a copy.
    go.send(()).unwrap();
    let outcome = old.wait().unwrap();
    assert_eq!((outcome.stats.tasks, outcome.stats.baseline), (3, 1));
    assert_eq!(said(Ok(outcome)).unwrap(), "k(x)k(y)");
    let new = run(&host, &lab, &tree(2)).start().unwrap().wait().unwrap();
    assert_eq!((new.stats.tasks, new.stats.baseline), (7, 0));
    assert_eq!(said(Ok(new)).unwrap(), "k(kk)k(kk)");
}

fn entries(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

/// Fault: a cache that has one of the two only, or in which one is found for the other; the next start, which compiles
/// again.
#[test]
pub fn the_cache_has_both() {
    let directory = std::env::temp_dir().join(format!("hart-tiers-{}", std::process::id()));
    let _ = fs::remove_dir_all(&directory);
    let host = || {
        let builder = builder().cache(Cache::Directory(directory.clone()));
        builder.build().unwrap()
    };
    let binary = large_lab();
    let first = host();
    let lab = first.load(&binary).unwrap();
    assert!(lab.is_baseline());
    lab.wait_optimized();
    // The lock has gone.
    assert_eq!(entries(&directory), 2);
    assert!(!first.load(&binary).unwrap().is_baseline());
    drop(first);

    let second = host();
    let lab = second.load(&binary).unwrap();
    assert!(!lab.is_baseline());
    assert_eq!(output(&second, &lab, &say(b'x')), "x");
    let baseline = second.loader().tier(Tier::Baseline).load(&binary).unwrap();
    assert!(baseline.is_baseline());
    assert_eq!(output(&second, &baseline, &say(b'x')), "x");
    assert_eq!(entries(&directory), 2);
    fs::remove_dir_all(&directory).unwrap();
}

/// Fault: small components that wait for two compilers; repeatable guests whose code changes with the time.
#[test]
fn small_and_repeatable_guests_are_optimized_at_once() {
    assert!(!lab(&host()).is_baseline());
    let repeatable = builder().preemption(MODES[1]).build().unwrap();
    assert!(!repeatable.load(&large_lab()).unwrap().is_baseline());
    let optimized = host();
    let lab = optimized.loader().tier(Tier::Optimized).load(&large_lab());
    assert!(!lab.unwrap().is_baseline());
}

/// Fault: components that do not load, or run wrongly, because Winch does not know what they use.
#[test]
fn what_baseline_code_cannot_be_made_of_is_optimized() {
    let host = builder().tier(Tier::Baseline).build().unwrap();
    for module in [
        "(func $g (result i32) (i32.const 7)) (func (export \"f\") (result i32) (return_call $g))",
        "(type $s (struct (field i32)))
         (func (export \"f\") (result i32) (struct.get $s 0 (struct.new $s (i32.const 7))))",
        "(func (export \"f\") (result i32)
            (i32x4.extract_lane 0 (i32x4.relaxed_trunc_f32x4_s (f32x4.splat (f32.const 7.5)))))",
    ] {
        let text = format!(
            "(component (core module $m {module}) (core instance $i (instantiate $m))
                (func (export \"f\") (result u32) (canon lift (core func $i \"f\"))))"
        );
        let component = host.load(text.as_bytes()).unwrap();
        assert!(!component.is_baseline(), "{module}");
        let outcome = host
            .invoke(&component, "f()")
            .unwrap()
            .start()
            .unwrap()
            .wait();
        assert_eq!(outcome.unwrap().to_wave().unwrap(), "7");
    }
    // It would compute otherwise than was asked for.
    let canonical = builder().tier(Tier::Baseline).config(|config| {
        config.cranelift_nan_canonicalization(true);
    });
    let canonical = canonical.build().unwrap();
    assert!(!lab(&canonical).is_baseline());
}

/// Fault: baseline code that is compiled, but cannot be loaded by another host.
#[test]
fn baseline_code_can_be_compiled_beforehand() {
    let host = host();
    let code = host
        .loader()
        .tier(Tier::Baseline)
        .precompile(include_bytes!("lab.wat"));
    // SAFETY: it was made right here.
    let lab = unsafe { host.load_precompiled(&code.unwrap()) }.unwrap();
    assert!(lab.is_baseline());
    assert_eq!(output(&host, &lab, &say(b'x')), "x");
}
