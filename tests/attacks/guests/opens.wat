;; Starts this many children. They open a file over and over, keep it, and never give up.
(func (export "attack") (param $children i32) (result i32)
  (loop $again
    (drop (call $task (i32.const 0)))
    (local.set $children (i32.sub (local.get $children) (i32.const 1)))
    (br_if $again (local.get $children)))
  (call $rest)
  (i32.const 0))
(func (export "child") (param i32 i32 i32 i32) (result i32)
  (local $directory i32)
  (local.set $directory (call $directory))
  (loop $ever
    (if (i32.eqz (call $open (local.get $directory))) (then (call $sleep (i64.const 1))))
    (br $ever))
  unreachable)
