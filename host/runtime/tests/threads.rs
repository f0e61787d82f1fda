//! No thread outlives its host. A program of its own, because it counts the threads of the process.

use std::time::{Duration, Instant};

use hart_host::{Cache, Host, Limits, Preemption};

/// Threads of this process whose names begin so.
fn threads(prefix: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("a list of threads");
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
        .filter(|name| name.starts_with(prefix))
        .count()
}

const SPIN: &[u8] = br#"(component
    (core module $m (func (export "spin") (loop $ever (br $ever))))
    (core instance $i (instantiate $m))
    (func (export "spin") (canon lift (core func $i "spin"))))"#;

/// Fault: a worker, clock or driver thread that a host leaves behind: idle, or in a guest that spins.
#[test]
fn a_host_leaves_no_thread_behind() {
    for preemption in [Preemption::epoch(), Preemption::fuel()] {
        for spinning in [false, true] {
            let host = Host::builder()
                .workers(3)
                .preemption(preemption)
                .cache(Cache::Off)
                .build()
                .unwrap();
            // Threads give themselves their names when they begin.
            eventually("they run", || {
                (threads("hart-worker"), threads("hart-clock")) == (3, 1)
            });
            if spinning {
                let component = host.load(SPIN).unwrap();
                let run = host
                    .invoke(&component, "spin()")
                    .unwrap()
                    .limits(Limits::new());
                drop(run.start().unwrap());
                while host.pool().stacks == 0 {
                    std::thread::yield_now();
                }
            }
            drop(host);
            // Workers and clock were joined (the system may list them for a moment); those of tokio
            // are told to go and do so in their own time.
            eventually("all are gone", || threads("hart-") == 0);
        }
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < until, "this never came: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
