//! Components with flipped bits, in this process: a panic of the host would be one of the test.

use hart_host::{Cache, Host, Limits};
use std::time::Duration;

/// How many damaged components are tried.
const FLIPS: u64 = 3000;

/// A small component with something of everything: memory, data, strings, imports of hart's, `run`.
const COMPONENT: &str = r#"(component
  (import "hart:exec/tasks@0.1.0" (instance $tasks
    (export "yield" (func)) (export "parallelism" (func (result u32)))))
  (core func $yield (canon lower (func $tasks "yield")))
  (core func $parallelism (canon lower (func $tasks "parallelism")))
  (core module $m
    (import "tasks" "yield" (func $yield))
    (import "tasks" "parallelism" (func $parallelism (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 8) "some text")
    (table 2 funcref)
    (elem (i32.const 0) $yield $grow)
    (global $free (mut i32) (i32.const 1024))
    (func $grow (drop (memory.grow (i32.const 1))))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $free (i32.add (global.get $free) (local.get 3)))
      (i32.sub (global.get $free) (local.get 3)))
    (func (export "length") (param i32 i32) (result i32)
      (local $i i32)
      (loop $again
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (call_indirect (i32.rem_u (local.get $i) (i32.const 2)))
        (br_if $again (i32.lt_u (local.get $i) (i32.const 100))))
      (i32.add (call $parallelism) (local.get 1)))
    (func (export "run") (result i32) (i32.const 0)))
  (core instance $i (instantiate $m (with "tasks" (instance
    (export "yield" (func $yield)) (export "parallelism" (func $parallelism))))))
  (alias core export $i "memory" (core memory $bytes))
  (alias core export $i "realloc" (core func $realloc))
  (func (export "length") (param "text" string) (result u32)
    (canon lift (core func $i "length") (memory $bytes) (realloc $realloc)))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $run (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $run)))"#;

/// Hunts panics and hangs of the host on components that nobody wrote: each is loaded and, where the
/// damage left something valid, run under limits.
#[test]
fn damaged_components_never_panic_the_host() {
    let limits = Limits::new()
        .memory(16 << 20)
        .timeout(Duration::from_millis(200));
    let host = Host::builder()
        .workers(2)
        .instances(16)
        .limits(limits)
        .cache(Cache::Off)
        .build()
        .expect("a host");
    let whole = wat::parse_str(COMPONENT).expect("correct text");
    let component = host.load(&whole).expect("undamaged, it is a component");
    let call = "length(\"four\")";
    let run = host
        .invoke(&component, call)
        .expect("the function is there");
    run.start().expect("it starts").wait().expect("it returns");

    let (mut loaded, mut ended) = (0, 0);
    // Every flip is the same in every run of the test.
    let mut random = fastrand::Rng::with_seed(7);
    for flip in 0..FLIPS {
        let mut damaged = whole.clone();
        for _ in 0..1 + flip % 3 {
            let bit = random.usize(..damaged.len() * 8);
            damaged[bit / 8] ^= 1 << (bit % 8);
        }
        if flip % 16 == 0 {
            damaged.truncate(random.usize(..damaged.len()));
        }
        let Ok(component) = host.load(&damaged) else {
            continue;
        };
        loaded += 1;
        let mut runs = Vec::new();
        runs.extend(host.invoke(&component, call).ok());
        if component.is_command() {
            runs.push(host.command(&component));
        }
        for run in runs.into_iter().filter_map(|run| run.start().ok()) {
            let _ = run.wait();
            ended += 1;
        }
    }
    // Flips in names, data and constants leave valid components: the runs were tested as well.
    assert!(loaded > 100, "{loaded} of {FLIPS} loaded");
    assert!(ended > 100, "{ended} runs");
    let run = host
        .invoke(&component, call)
        .expect("the function is there");
    run.start()
        .expect("it starts")
        .wait()
        .expect("the host still works");
    assert_eq!(host.live_guests(), 0);
}
