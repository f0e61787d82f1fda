;; Core modules: one store for all of a script, so that they share what they import.
(module $counter
  (memory (export "memory") 1)
  (global $count (export "count") (mut i32) (i32.const 0))
  (table (export "table") 2 externref)
  (func (export "next") (result i32)
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (global.get $count))
  (func (export "keep") (param externref) (table.set (i32.const 1) (local.get 0)))
  (func (export "store") (param i32 i32) (i32.store (local.get 0) (local.get 1))))
(register "counter")

(module $other
  (import "counter" "memory" (memory 1))
  (import "counter" "count" (global $count (mut i32)))
  (import "counter" "next" (func $next (result i32)))
  (import "counter" "table" (table 2 externref))
  (import "spectest" "global_i32" (global $given i32))
  (import "spectest" "print_i32" (func $print (param i32)))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "twice") (result i32 i32) (call $next) (call $next))
  (func (export "kept") (param i32) (result externref) (table.get (local.get 0)))
  (func (export "given") (result i32) (call $print (i32.const 1)) (global.get $given)))

(invoke $counter "store" (i32.const 8) (i32.const 42))
(assert_return (invoke "load" (i32.const 8)) (i32.const 42))
(assert_return (invoke "twice") (i32.const 1) (i32.const 2))
(assert_return (get $counter "count") (i32.const 2))
(assert_return (invoke "given") (i32.const 666))
(invoke $counter "keep" (ref.extern 7))
(assert_return (invoke "kept" (i32.const 1)) (ref.extern 7))
(assert_return (invoke "kept" (i32.const 0)) (ref.null extern))
(assert_trap (invoke "kept" (i32.const 2)) "out of bounds table access")
(assert_trap (invoke "load" (i32.const -1)) "out of bounds memory access")
;; A trap ends a call, and not the store.
(assert_return (invoke "load" (i32.const 8)) (i32.const 42))

;; Numbers as scripts compare them.
(module
  (func (export "divide") (param f32 f32) (result f32) (f32.div (local.get 0) (local.get 1)))
  (func (export "nan") (result f64) (f64.const nan:0x4000000000001))
  (func (export "lanes") (param v128) (result v128) (f32x4.sqrt (local.get 0)))
  (func (export "self") (result funcref) (ref.func 3))
  (func $deep (export "deep") (call $deep))
  (func (export "none") (result anyref) (ref.null any)))
(assert_return (invoke "divide" (f32.const 0) (f32.const 0)) (f32.const nan:canonical))
(assert_return (invoke "divide" (f32.const 1) (f32.const -0)) (f32.const -inf))
(assert_return (invoke "nan") (f64.const nan:0x4000000000001))
(assert_return (invoke "lanes" (v128.const f32x4 4 9 16 -1)) (v128.const f32x4 2 3 4 nan:arithmetic))
(assert_return (invoke "self") (ref.func))
(assert_return (invoke "none") (ref.null))
(assert_exhaustion (invoke "deep") "call stack exhausted")

(module definition $new (func (export "one") (result i32) (i32.const 1)))
(module instance $first $new)
(assert_return (invoke $first "one") (i32.const 1))

(assert_invalid (module (func (result i32))) "type mismatch")
(assert_malformed (module quote "(func (i32.nothing))") "unknown operator")
(assert_unlinkable (module (import "nobody" "f" (func))) "unknown import")
(assert_unlinkable (module (import "counter" "next" (func))) "incompatible import type")
(assert_trap (module (func $start unreachable) (start $start)) "unreachable")

;; A component beside them.
(component
  (core module $m (func (export "one") (result i32) (i32.const 1)))
  (core instance $i (instantiate $m))
  (func (export "one") (result u32) (canon lift (core func $i "one"))))
(assert_return (invoke "one") (u32.const 1))
(assert_return (invoke $first "one") (i32.const 1))
