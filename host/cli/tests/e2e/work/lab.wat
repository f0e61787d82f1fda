;; A guest whose tasks do what the first letter of their names says.
(component
  (core module $m
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 64))
    ;; It only ever grows: an instance has one task.
    (func (export "realloc") (param i32 i32 i32) (param $size i32) (result i32)
      (local $at i32)
      (local.set $at (global.get $next))
      (global.set $next (i32.add (global.get $next) (local.get $size)))
      (block $fits
        (br_if $fits (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
        (drop (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $size) (i32.const 16))))))
      local.get $at)
    (func $turns (param $turns i64)
      (block $done (loop $again
        (br_if $done (i64.eqz (local.get $turns)))
        (local.set $turns (i64.sub (local.get $turns) (i64.const 1)))
        (br $again))))
    (func (export "run") (param $entry i32) (param $entry-length i32) (param $input i32) (param $length i32) (result i32)
      (local $letter i32)
      (local.set $letter (i32.load8_u (local.get $entry)))
      ;; The result: which case, where, how long.
      (i32.store8 (i32.const 0) (i32.const 0))
      (i32.store (i32.const 4) (local.get $input))
      (i32.store (i32.const 8) (local.get $length))
      ;; fail: the input is the error.
      (if (i32.eq (local.get $letter) (i32.const 102)) (then (i32.store8 (i32.const 0) (i32.const 1))))
      ;; trap.
      (if (i32.eq (local.get $letter) (i32.const 116)) (then unreachable))
      ;; spin.
      (if (i32.eq (local.get $letter) (i32.const 115)) (then (loop $forever (br $forever))))
      ;; work: 10 million turns, some milliseconds.
      (if (i32.eq (local.get $letter) (i32.const 119)) (then (call $turns (i64.const 10000000))))
      ;; large: 2 MiB.
      (if (i32.eq (local.get $letter) (i32.const 108)) (then
        (drop (memory.grow (i32.const 33)))
        (i32.store (i32.const 4) (i32.const 1024))
        (i32.store (i32.const 8) (i32.const 2097152))))
      i32.const 0))
  (core instance $i (instantiate $m))
  (func $run (param "entry" string) (param "input" (list u8)) (result (result (list u8) (error (list u8))))
    (canon lift (core func $i "run") (memory $i "memory") (realloc (func $i "realloc"))))
  (instance $entry (export "run" (func $run)))
  (export "hart:exec/entry@0.1.0" (instance $entry)))
