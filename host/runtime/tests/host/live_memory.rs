//! What an instance costs that stays and does nothing.

use futures::executor::block_on;
use futures::future::join_all;

use crate::live::{PLUGIN, ask};
use crate::support::*;

/// Bytes of this process that are in memory, and how many mappings it has.
fn resident() -> (u64, usize) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages = statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    (pages * 4096, maps.lines().count())
}

/// Prints it, for an instance whose linear memory is not touched: what its store, its stack, its tables and hart's own
/// books take.
#[test]
#[ignore = "measures: run it alone, with --nocapture"]
fn memory_of_idle_instances() {
    const MANY: u64 = 500;

    let host = builder().instances(1000).build().unwrap();
    let component = host.load(PLUGIN.as_bytes()).unwrap();
    let start = || block_on(host.instance(&component).start()).unwrap();
    // What the first ones have made is there for all.
    let few: Vec<_> = (0..20).map(|_| start()).collect();
    let before = resident();
    let many: Vec<_> = (0..MANY).map(|_| start()).collect();
    let idle = resident();
    let calls = many.iter().map(|instance| {
        let call = instance.call(|store, inner| ask(store, inner, "next"));
        async move { call.await.unwrap() }
    });
    block_on(join_all(calls));
    let called = resident();
    let counted = many[0].stats().run.unwrap().memory;
    println!(
        "an instance: {} bytes in memory when it is made, {} after a call; {:.1} mappings; {counted} bytes counted",
        (idle.0 - before.0) / MANY,
        (called.0 - before.0) / MANY,
        (idle.1 as f64 - before.1 as f64) / MANY as f64,
    );
    drop(few);
}
