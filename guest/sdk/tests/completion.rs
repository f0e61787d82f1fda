//! Results come as they complete. A test binary of its own: where every thread is taken by other
//! tests, whoever waits runs a task itself, in whatever order.
#![cfg(not(feature = "sequential"))]

use std::time::Duration;

use hart_guest::{scope, task};

#[task]
fn sleep(milliseconds: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(milliseconds));
    milliseconds
}

#[test]
fn results_come_as_they_complete() {
    let order = scope(|scope| {
        for milliseconds in [500, 1] {
            scope.spawn(sleep, milliseconds)?;
        }
        let mut order = Vec::new();
        while let Some(finished) = scope.join_next() {
            order.push(finished.result?);
        }
        Ok(order)
    });
    assert_eq!(order, Ok(vec![1, 500]));
}
