;; Makes the host hold memory: r(esults of a MiB that are never joined), t(rap messages that are never joined), i(nputs of
;; a MiB for tasks that wait), o(utput).
(func (export "attack") (param $kind i32) (result i32)
  (local $size i32) (local $out i32) (local $err i32)
  (if (i32.eq (local.get $kind) (i32.const 0x6f)) (then
    (local.set $out (call $get-stdout))
    (local.set $err (call $get-stderr))
    (loop $ever
      (call $write (local.get $out) (i32.const 0) (i32.const 4096) (i32.const 64))
      (call $write (local.get $err) (i32.const 0) (i32.const 4096) (i32.const 64))
      (br $ever))))
  (local.set $size (i32.const 1))
  (if (i32.eq (local.get $kind) (i32.const 0x69)) (then
    (local.set $size (i32.const 1048576))
    (drop (memory.grow (i32.const 17)))))
  (i32.store8 (i32.const 512) (local.get $kind))
  (loop $ever
    ;; Its handle is kept.
    (if (i32.eqz (call $start (local.get $size))) (then (call $sleep (i64.const 1))))
    (br $ever))
  unreachable)
(func $a-function-with-a-name-that-is-long-enough-to-fill-a-backtrace-which-has-very-many-lines-of-it-and-of-nothing-else
  (param $depth i32) (result i32)
  (if (i32.eqz (local.get $depth)) (then unreachable))
  (i32.add (i32.const 1)
    (call $a-function-with-a-name-that-is-long-enough-to-fill-a-backtrace-which-has-very-many-lines-of-it-and-of-nothing-else
      (i32.sub (local.get $depth) (i32.const 1)))))
(func (export "child") (param i32 i32) (param $input i32) (param i32) (result i32)
  (local $kind i32)
  (local.set $kind (i32.load8_u (local.get $input)))
  (if (i32.eq (local.get $kind) (i32.const 0x72)) (then
    (drop (memory.grow (i32.const 17)))
    (return (call $give (i32.const 65536) (i32.const 1048576)))))
  (if (i32.eq (local.get $kind) (i32.const 0x74)) (then
    (drop (call $a-function-with-a-name-that-is-long-enough-to-fill-a-backtrace-which-has-very-many-lines-of-it-and-of-nothing-else
      (i32.const 100)))))
  (call $rest)
  unreachable)
