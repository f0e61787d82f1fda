;; Hunts traps that pass for results, that lose their text, or that end more than their instance.

(component definition $trapper
  (core module $m
    (memory (export "memory") 1)
    (func (export "fine") (result i32) (i32.const 1))
    (func (export "unreachable") unreachable)
    (func (export "divide") (param i32 i32) (result i32)
      (i32.div_u (local.get 0) (local.get 1)))
    (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
    (func $recurse (export "recurse") (call $recurse))
    (func (export "text") (result i32)
      ;; A string that ends far behind the memory.
      (i32.store (i32.const 0) (i32.const 65535))
      (i32.store (i32.const 4) (i32.const 100))
      (i32.const 0)))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (func (export "fine") (result u32) (canon lift (core func $i "fine")))
  (func (export "unreachable") (canon lift (core func $i "unreachable")))
  (func (export "divide") (param "a" u32) (param "b" u32) (result u32)
    (canon lift (core func $i "divide")))
  (func (export "load") (param "at" u32) (result u32) (canon lift (core func $i "load")))
  (func (export "recurse") (canon lift (core func $i "recurse")))
  (func (export "text") (result string)
    (canon lift (core func $i "text") (memory $memory))))

(component instance $bystander $trapper)

(component instance $a $trapper)
(assert_return (invoke "fine") (u32.const 1))
(assert_trap (invoke "unreachable") "unreachable")
;; A trap is the end of an instance.
(assert_trap (invoke "fine") "cannot enter component instance")

(component instance $b $trapper)
(assert_return (invoke "divide" (u32.const 7) (u32.const 2)) (u32.const 3))
(assert_trap (invoke "divide" (u32.const 7) (u32.const 0)) "integer divide by zero")

(component instance $c $trapper)
(assert_trap (invoke "load" (u32.const 65536)) "out of bounds memory access")

(component instance $d $trapper)
(assert_exhaustion (invoke "recurse") "call stack exhausted")

(component instance $e $trapper)
(assert_trap (invoke "text") "out of bounds")

;; In start code: there is no instance at all.
(assert_trap
  (component
    (core module $m (func $start unreachable) (start $start))
    (core instance (instantiate $m)))
  "unreachable")

(assert_return (invoke $bystander "fine") (u32.const 1))
