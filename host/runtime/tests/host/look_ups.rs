//! Look-ups of names that wait for a thread.

use crate::support::*;
use hart_host::{LimitKind, Limits};

/// `asks(count, length)` begins so many look-ups of names of so many bytes, waits for none, and traps.
const WASI_02: &str = r#"(component
    (import "wasi:sockets/network@0.2.0" (instance $network
        (export "network" (type $network (sub resource)))
        (type $e (enum "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory" "timeout"
            "concurrency-conflict" "not-in-progress" "would-block" "invalid-state" "new-socket-limit"
            "address-not-bindable" "address-in-use" "remote-unreachable" "connection-refused" "connection-reset"
            "connection-aborted" "datagram-too-large" "name-unresolvable" "temporary-resolver-failure"
            "permanent-resolver-failure"))
        (export "error-code" (type (eq $e)))))
    (alias export $network "network" (type $n))
    (alias export $network "error-code" (type $e))
    (import "wasi:sockets/instance-network@0.2.0" (instance $instance
        (alias outer 1 $n (type $n'))
        (export "network" (type $network (eq $n')))
        (export "instance-network" (func (result (own $network))))))
    (import "wasi:sockets/ip-name-lookup@0.2.0" (instance $names
        (alias outer 1 $n (type $n'))
        (export "network" (type $network (eq $n')))
        (alias outer 1 $e (type $e'))
        (export "error-code" (type $error (eq $e')))
        (export "resolve-address-stream" (type $addresses (sub resource)))
        (export "resolve-addresses" (func (param "network" (borrow $network)) (param "name" string)
            (result (result (own $addresses) (error $error)))))))
    (core module $libc (memory (export "m") 4))
    (core instance $libc (instantiate $libc))
    (alias core export $libc "m" (core memory $m))
    (core func $network (canon lower (func $instance "instance-network")))
    (core func $resolve (canon lower (func $names "resolve-addresses") (memory $m)))
    (core module $main
        (import "" "m" (memory 4))
        (import "" "network" (func $network (result i32)))
        (import "" "resolve" (func $resolve (param i32 i32 i32 i32)))
        (func (export "asks") (param $count i32) (param $length i32)
            (memory.fill (i32.const 65536) (i32.const 0x61) (local.get $length))
            (loop $more
                (call $resolve (call $network) (i32.const 65536) (local.get $length) (i32.const 16))
                (local.set $count (i32.sub (local.get $count) (i32.const 1)))
                (br_if $more (local.get $count)))
            unreachable))
    (core instance $i (instantiate $main (with "" (instance
        (export "m" (memory $m)) (export "network" (func $network)) (export "resolve" (func $resolve))))))
    (func (export "asks") (param "count" u32) (param "length" u32) (canon lift (core func $i "asks"))))"#;

/// The same with WASI 0.3.
const WASI_03: &str = r#"(component
    (import "wasi:sockets/types@0.3.0" (instance $types
        (type $a4 (tuple u8 u8 u8 u8)) (export "ipv4-address" (type $v4 (eq $a4)))
        (type $a6 (tuple u16 u16 u16 u16 u16 u16 u16 u16)) (export "ipv6-address" (type $v6 (eq $a6)))
        (type $a (variant (case "ipv4" $v4) (case "ipv6" $v6))) (export "ip-address" (type (eq $a)))))
    (alias export $types "ip-address" (type $address))
    (import "wasi:sockets/ip-name-lookup@0.3.0" (instance $names
        (alias outer 1 $address (type $outer)) (export "ip-address" (type $address (eq $outer)))
        (type $e (variant (case "access-denied") (case "invalid-argument") (case "name-unresolvable")
            (case "temporary-resolver-failure") (case "permanent-resolver-failure") (case "other" (option string))))
        (export "error-code" (type $error (eq $e)))
        (export "resolve-addresses" (func async (param "name" string)
            (result (result (list $address) (error $error)))))))
    (core module $libc
        (memory (export "m") 4)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
    (core instance $libc (instantiate $libc))
    (alias core export $libc "m" (core memory $m))
    (alias core export $libc "realloc" (core func $realloc))
    (core func $resolve (canon lower (func $names "resolve-addresses") async (memory $m) (realloc $realloc)))
    (core module $main
        (import "" "m" (memory 4))
        (import "" "resolve" (func $resolve (param i32 i32 i32) (result i32)))
        (func (export "asks") (param $count i32) (param $length i32) (result i32)
            (memory.fill (i32.const 65536) (i32.const 0x61) (local.get $length))
            (loop $more
                (drop (call $resolve (i32.const 65536) (local.get $length) (i32.const 16)))
                (local.set $count (i32.sub (local.get $count) (i32.const 1)))
                (br_if $more (local.get $count)))
            unreachable)
        (func (export "callback") (param i32 i32 i32) (result i32) unreachable))
    (core instance $i (instantiate $main (with "" (instance
        (export "m" (memory $m)) (export "resolve" (func $resolve))))))
    (func (export "asks") async (param "count" u32) (param "length" u32)
        (canon lift (core func $i "asks") async (callback (core func $i "callback")))))"#;

/// Fault: names that the host keeps for look-ups which wait, and counts for nobody. A guest has as many as it has handles,
/// or makes as many calls as it likes.
#[test]
fn names_that_wait_are_memory() {
    let host = host();
    for text in [WASI_02, WASI_03] {
        let guest = host.load(text.as_bytes()).unwrap();
        let run = host.invoke(&guest, "asks(1000, 100000)").unwrap();
        let limits = Limits::new().memory(4 << 20).timeout(HANG);
        let run = run.allow_network(true).limits(limits).start().unwrap();
        let error = run.wait().unwrap_err();
        let reached = error.limit().unwrap_or_else(|| panic!("{error}"));
        assert_eq!(reached.limit, LimitKind::Memory, "{error}");
    }
    assert_nothing_left(&host);
}
