//! An idle executor uses no CPU, and neither does a closed one.
#![cfg(all(target_os = "linux", not(any(loom, shuttle, miri))))]

use hart_executor::{Executor, Worker};
use std::{fs, thread, time::Duration};

/// Context switches so far of the threads with this name, voluntary or not, and how many such threads there are.
fn switches(name: &str) -> (u64, usize) {
    let mut found = (0, 0);
    for thread in fs::read_dir("/proc/self/task").unwrap() {
        let path = thread.unwrap().path();
        if fs::read_to_string(path.join("comm")).unwrap().trim() != name {
            continue;
        }
        found.1 += 1;
        let status = fs::read_to_string(path.join("status")).unwrap();
        found.0 += status
            .lines()
            .filter(|line| line.contains("ctxt_switches"))
            .map(|line| {
                line.split_whitespace()
                    .last()
                    .unwrap()
                    .parse::<u64>()
                    .unwrap()
            })
            .sum::<u64>();
    }
    found
}

/// Hunts: workers that look for work now and then, that wake each other in turns, or that sleep with a timeout.
///
/// Fails if `step` says `Sleep { until: Some(..) }` for a time that comes: a worker that looks every 50 ms was seen.
#[test]
#[ignore = "takes 10 s"]
fn an_idle_executor_uses_no_cpu() {
    const WORKERS: usize = 4;
    let executor = Executor::with_capacity(WORKERS);
    let threads: Vec<_> = (0..WORKERS)
        .map(|_| {
            let executor = executor.clone();
            let work = move || {
                let mut worker = Worker::new(&executor).unwrap();
                assert!(worker.run(std::future::pending::<()>()).is_err());
            };
            thread::Builder::new()
                .name("idle-worker".into())
                .spawn(work)
                .unwrap()
        })
        .collect();
    let group = executor.group().build();
    for i in 0..1_000 {
        let task = executor.build_task().group((i % 2 == 0).then_some(&group));
        drop(task.spawn(hart_executor::yield_now()));
    }
    while executor.pending_tasks() > 0 {
        thread::sleep(Duration::from_millis(1));
    }
    // The last searchers go to sleep.
    thread::sleep(Duration::from_millis(500));
    let before = switches("idle-worker");
    assert_eq!(before.1, WORKERS);
    thread::sleep(Duration::from_secs(10));
    assert_eq!(switches("idle-worker"), before);
    executor.close();
    for thread in threads {
        thread.join().unwrap();
    }
}
