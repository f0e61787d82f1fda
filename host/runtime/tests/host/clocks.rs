//! Waits of guests.

use crate::support::*;

/// Each wait is over, and no earlier than it was to be.
const WASI_02: &str = r#"(component
    (import "wasi:io/poll@0.2.0" (instance $poll
        (export "pollable" (type $pollable (sub resource)))
        (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
    (alias export $poll "pollable" (type $pollable))
    (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
        (alias outer 1 $pollable (type $p))
        (export "pollable" (type $pollable (eq $p)))
        (export "now" (func (result u64)))
        (export "subscribe-instant" (func (param "when" u64) (result (own $pollable))))
        (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
    (core func $now (canon lower (func $clock "now")))
    (core func $instant (canon lower (func $clock "subscribe-instant")))
    (core func $duration (canon lower (func $clock "subscribe-duration")))
    (core func $block (canon lower (func $poll "[method]pollable.block")))
    (core module $m
        (import "" "now" (func $now (result i64)))
        (import "" "instant" (func $instant (param i64) (result i32)))
        (import "" "duration" (func $duration (param i64) (result i32)))
        (import "" "block" (func $block (param i32)))
        (func $wait (param $pollable i32) (param $until i64)
            (call $block (local.get $pollable))
            (if (i64.lt_u (call $now) (local.get $until)) (then unreachable))
            ;; It stays over.
            (call $block (local.get $pollable)))
        (func (export "waits") (result i32) (local $until i64)
            (local.set $until (i64.add (call $now) (i64.const 300000)))
            (call $wait (call $duration (i64.const 300000)) (local.get $until))
            (local.set $until (i64.add (call $now) (i64.const 300000)))
            (call $wait (call $instant (local.get $until)) (local.get $until))
            (call $wait (call $instant (i64.const 0)) (i64.const 0))
            (call $wait (call $duration (i64.const 0)) (i64.const 0))
            (i32.const 1)))
    (core instance $i (instantiate $m (with "" (instance
        (export "now" (func $now)) (export "instant" (func $instant))
        (export "duration" (func $duration)) (export "block" (func $block))))))
    (func (export "waits") (result u32) (canon lift (core func $i "waits"))))"#;

/// The same.
const WASI_03: &str = r#"(component
    (import "wasi:clocks/monotonic-clock@0.3.0" (instance $clock
        (export "now" (func (result u64)))
        (export "wait-until" (func async (param "when" u64)))
        (export "wait-for" (func async (param "how-long" u64)))))
    (core func $now (canon lower (func $clock "now")))
    (core func $until (canon lower (func $clock "wait-until")))
    (core func $for (canon lower (func $clock "wait-for")))
    (core module $m
        (import "" "now" (func $now (result i64)))
        (import "" "until" (func $until (param i64)))
        (import "" "for" (func $for (param i64)))
        (func (export "waits") (result i32) (local $end i64)
            (local.set $end (i64.add (call $now) (i64.const 300000)))
            (call $for (i64.const 300000))
            (if (i64.lt_u (call $now) (local.get $end)) (then unreachable))
            (local.set $end (i64.add (call $now) (i64.const 300000)))
            (call $until (local.get $end))
            (if (i64.lt_u (call $now) (local.get $end)) (then unreachable))
            (call $until (i64.const 0))
            (call $for (i64.const 0))
            (i32.const 1)))
    (core instance $i (instantiate $m (with "" (instance
        (export "now" (func $now)) (export "until" (func $until)) (export "for" (func $for))))))
    (func (export "waits") async (result u32) (canon lift (core func $i "waits"))))"#;

/// Fault: a wait that ends early, or by tokio's timers, which are exact to a millisecond: here nobody drives them.
#[test]
pub fn guests_wait_by_the_hosts_own_clock() {
    let undriven = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let host = builder().tokio(undriven.handle().clone()).build().unwrap();
    for text in [WASI_02, WASI_03] {
        let component = host.load(text.as_bytes()).unwrap();
        let outcome = host.call(&component, "waits", vec![]).start().unwrap();
        assert_eq!(outcome.wait().unwrap().to_wave().unwrap(), "1");
    }
}
