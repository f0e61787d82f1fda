;; Every directive after the component is wrong on purpose: the runner has to say so, and where.
(component
  (core module $m
    (func (export "one") (result i32) (i32.const 1))
    (func (export "trap") unreachable))
  (core instance $i (instantiate $m))
  (func (export "one") (result u32) (canon lift (core func $i "one")))
  (func (export "trap") (canon lift (core func $i "trap"))))

(assert_return (invoke "one") (u32.const 2))
  (assert_return (invoke "one") (s32.const 1))
(assert_return (invoke "one"))
(assert_trap (invoke "one") "unreachable")
(assert_return (invoke "two") (u32.const 2))
(invoke $nobody "one")
(assert_invalid (component) "anything")
(assert_trap (invoke "trap") "integer divide by zero")
(module (func (export "one") (result i32) (i32.const 1)))
(assert_return (invoke "one") (i32.const 2))
(assert_return (invoke "one") (u32.const 1))
(assert_return (get "one") (i32.const 1))
(assert_unlinkable (module (import "nobody" "f" (func))) "incompatible import type")
(assert_exception (invoke "one"))
