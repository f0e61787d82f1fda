;; With 0: asks a hundred times for growth that is refused; growth within the limit must still work. With another number: one
;; child grows step by step within the limit. This many others, one at a time, ask for more than the limit, and end.
(func (export "attack") (param $siblings i32) (result i32)
  (local $task i32) (local $refused i32)
  (if (i32.eqz (local.get $siblings)) (then
    (loop $again
      (if (i32.ne (memory.grow (i32.const 5000)) (i32.const -1)) (then unreachable))
      (local.set $refused (i32.add (local.get $refused) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $refused) (i32.const 100))))
    (return (memory.grow (i32.const 16)))))
  (i32.store (i32.const 128) (call $task (i32.const 0x73)))
  (loop $again
    (local.set $task (call $task (i32.const 0x6d)))
    (if (local.get $task) (then
      (call $join (local.get $task) (i32.const 64))
      (if (i32.eqz (i32.load8_u (i32.const 64))) (then unreachable))
      (call $drop-task (local.get $task))))
    (local.set $siblings (i32.sub (local.get $siblings) (i32.const 1)))
    (br_if $again (local.get $siblings)))
  (call $join (i32.load (i32.const 128)) (i32.const 64))
  (i32.load8_u (i32.const 64)))
(func (export "child") (param i32 i32) (param $input i32) (param i32) (result i32)
  (local $steps i32)
  (if (i32.eq (i32.load8_u (local.get $input)) (i32.const 0x6d)) (then
    (drop (memory.grow (i32.const 1000)))
    unreachable))
  (loop $again
    (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
    (call $sleep (i64.const 1))
    (local.set $steps (i32.add (local.get $steps) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $steps) (i32.const 200))))
  (call $give (i32.const 0) (i32.const 0)))
