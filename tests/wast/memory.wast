;; A script's memory has no limit but its type's: growth to 4 GiB goes well, and what the guest cannot have
;; is refused to the guest, which goes on.

(component
  (core module $m
    (memory (export "m") 1)
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "must-grow") (param i32)
      (if (i32.eq (memory.grow (local.get 0)) (i32.const -1)) (then (unreachable)))))
  (core instance $i (instantiate $m))
  (func (export "grow") (param "pages" u32) (result s32) (canon lift (core func $i "grow")))
  (func (export "must-grow") (param "pages" u32) (canon lift (core func $i "must-grow"))))

(assert_return (invoke "grow" (u32.const 65530)) (s32.const 1))
(assert_return (invoke "grow" (u32.const 6)) (s32.const -1))
(assert_return (invoke "grow" (u32.const 5)) (s32.const 65531))
(assert_trap (invoke "must-grow" (u32.const 1)) "unreachable")
