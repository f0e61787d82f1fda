;; Hunts bad components that are accepted, and good reasons that get lost on the way.

(assert_invalid
  (component
    (core module $m (func (export "f") (result i32) (i32.const 0)))
    (core instance $i (instantiate $m))
    (func (export "f") (result string) (canon lift (core func $i "f"))))
  "canonical option `memory` is required")
(assert_invalid
  (component (core module (func (result i32))))
  "type mismatch")
(assert_invalid
  (component (import "a" (func)) (import "a" (func)))
  "conflicts with previous name")

(assert_malformed (component quote "(export)") "expected a string")
(assert_malformed (component binary "") "unexpected end")
(assert_malformed (component binary "\00asm" "\ff\00\01\00") "unknown binary version")

(assert_unlinkable
  (component (import "nobody" (func)))
  "nobody")
(assert_unlinkable
  (component (import "hart:exec/tasks@0.1.0" (instance (export "parallelism" (func (result string))))))
  "parallelism")
