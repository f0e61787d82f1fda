//! A host function that never comes back, and a host that is dropped meanwhile.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::*;
use hart_host::{Host, Run};

/// A host whose guests block their workers until they are let go; what they say when they are in there.
struct Stuck {
    host: Host,
    entered: Receiver<()>,
    /// Dropped to let them go.
    hold: Sender<()>,
}

const BLOCKS: &str = r#"(component
    (import "block" (func $block))
    (core func $lowered (canon lower (func $block)))
    (core module $m (import "" "block" (func $block)) (func (export "f") (call $block)))
    (core instance $i (instantiate $m (with "" (instance (export "block" (func $lowered))))))
    (func (export "f") (canon lift (core func $i "f"))))"#;

fn stuck(workers: usize) -> Stuck {
    let (hold, held) = channel::<()>();
    let (enter, entered) = channel();
    let held = Arc::new(Mutex::new(held));
    let enter = Mutex::new(enter);
    let host = builder()
        .workers(workers)
        .imports(move |linker| {
            let (held, enter) = (held.clone(), enter.lock().unwrap().clone());
            linker.root().func_wrap("block", move |_, ()| {
                enter.send(()).unwrap();
                // Until the sender is gone.
                let _ = held.lock().unwrap().recv();
                Ok(())
            })
        })
        .build()
        .unwrap();
    Stuck {
        host,
        entered,
        hold,
    }
}

fn blocks(stuck: &Stuck, guests: usize) -> Vec<Run> {
    let component = stuck.host.load(BLOCKS.as_bytes()).unwrap();
    let runs = (0..guests).map(|_| {
        let run = stuck.host.call(&component, "f", Vec::new()).start();
        run.unwrap()
    });
    let runs: Vec<Run> = runs.collect();
    for _ in 0..guests {
        stuck.entered.recv_timeout(HANG).expect("it is in there");
    }
    runs
}

/// Drops a host on a thread of its own, which must be done with that while the functions still block.
#[track_caller]
fn drops(stuck: Stuck, runs: Vec<Run>, drop_it: impl FnOnce(Host) + Send + 'static) {
    let Stuck { host, hold, .. } = stuck;
    let (done, dropped) = channel();
    let dropping = thread::spawn(move || {
        drop_it(host);
        done.send(()).unwrap();
    });
    let dropped = dropped.recv_timeout(HANG);
    drop(hold);
    assert!(dropped.is_ok(), "the drop waits for the function");
    dropping.join().unwrap();
    for run in runs {
        assert!(run.wait().is_err(), "the host was closed");
    }
}

/// Fault: threads that take the place of stuck ones are counted for those that are waited for, so that a stuck one is
/// then joined, for ever.
#[test]
fn a_drop_waits_no_longer_than_its_patience() {
    for (workers, guests) in [(1, 1), (2, 1), (2, 2), (2, 5)] {
        let stuck = stuck(workers);
        let runs = blocks(&stuck, guests);
        drops(stuck, runs, drop);
    }
}

/// Fault: the same in async code, where tokio's runtime must not be waited for either.
#[test]
fn a_drop_in_async_code_waits_no_longer_than_its_patience() {
    let stuck = stuck(2);
    let runs = blocks(&stuck, 1);
    drops(stuck, runs, |host| {
        let tokio = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        tokio.block_on(async move { drop(host) });
    });
}

/// Fault: a host that was closed before, while a worker is already being replaced.
#[test]
fn a_drop_after_a_close_waits_no_longer_than_its_patience() {
    let stuck = stuck(2);
    let runs = blocks(&stuck, 2);
    drops(stuck, runs, |host| {
        host.close();
        // The clock looks for workers that are stuck while others wait.
        thread::sleep(std::time::Duration::from_millis(100));
        drop(host);
    });
}
