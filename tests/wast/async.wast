;; Components that use component-model async, beside others, and calls between them.

(component $doubles
  (core module $m
    (import "" "return" (func $return (param i32)))
    (func (export "double") (param i32) (result i32)
      (call $return (i32.mul (local.get 0) (i32.const 2)))
      (i32.const 0))
    (func (export "callback") (param i32 i32 i32) (result i32) unreachable))
  (core func $return (canon task.return (result u32)))
  (core instance $i (instantiate $m (with "" (instance (export "return" (func $return))))))
  (func (export "double") async (param "number" u32) (result u32)
    (canon lift (core func $i "double") async (callback (core func $i "callback")))))

(assert_return (invoke "double" (u32.const 21)) (u32.const 42))
(assert_return (invoke "double" (u32.const 1)) (u32.const 2))

(component $plain
  (core module $m (func (export "one") (result i32) (i32.const 1)))
  (core instance $i (instantiate $m))
  (func (export "one") (result u32) (canon lift (core func $i "one"))))

(assert_return (invoke "one") (u32.const 1))

;; Calls the first one, which lives in another store and on the same engine.
(component $calls
  (import "doubles" (instance $doubles
    (export "double" (func async (param "number" u32) (result u32)))))
  (core module $memory (memory (export "memory") 1))
  (core instance $memory (instantiate $memory))
  (core func $double (canon lower (func $doubles "double") async (memory $memory "memory")))
  (core func $return (canon task.return (result u32)))
  (core func $set-new (canon waitable-set.new))
  (core func $join (canon waitable.join))
  (core module $m
    (import "" "memory" (memory 1))
    (import "" "double" (func $double (param i32 i32) (result i32)))
    (import "" "return" (func $return (param i32)))
    (import "" "set-new" (func $set-new (result i32)))
    (import "" "join" (func $join (param i32 i32)))
    (global $set (mut i32) (i32.const 0))
    (func $wait (result i32) (i32.or (i32.const 2) (i32.shl (global.get $set) (i32.const 4))))
    (func $end (result i32)
      (call $return (i32.load (i32.const 16)))
      (i32.const 0))
    (func (export "quadruple") (param i32) (result i32)
      (local $status i32)
      (local.set $status (call $double (i32.mul (local.get 0) (i32.const 2)) (i32.const 16)))
      ;; It may have returned by now.
      (if (i32.eq (local.get $status) (i32.const 2)) (then (return (call $end))))
      (global.set $set (call $set-new))
      (call $join (i32.shr_u (local.get $status) (i32.const 4)) (global.get $set))
      (call $wait))
    (func (export "callback") (param i32 i32 i32) (result i32)
      ;; That it has begun is an event as well.
      (if (i32.ne (local.get 2) (i32.const 2)) (then (return (call $wait))))
      (call $end)))
  (core instance $i (instantiate $m (with "" (instance
    (export "memory" (memory $memory "memory"))
    (export "double" (func $double))
    (export "return" (func $return))
    (export "set-new" (func $set-new))
    (export "join" (func $join))))))
  (func (export "quadruple") async (param "number" u32) (result u32)
    (canon lift (core func $i "quadruple") async (callback (core func $i "callback")))))

(assert_return (invoke "quadruple" (u32.const 5)) (u32.const 20))

;; It never returns, and nothing will ever wake it.
(component
  (core func $return (canon task.return))
  (core func $set-new (canon waitable-set.new))
  (core module $m
    (import "" "set-new" (func $set-new (result i32)))
    (func (export "never") (result i32)
      (i32.or (i32.const 2) (i32.shl (call $set-new) (i32.const 4))))
    (func (export "callback") (param i32 i32 i32) (result i32) unreachable))
  (core instance $i (instantiate $m (with "" (instance (export "set-new" (func $set-new))))))
  (func (export "never") async
    (canon lift (core func $i "never") async (callback (core func $i "callback")))))

(assert_trap (invoke "never") "deadlock detected")
