;; Starts this many children. Each makes 16,000 streams of its own and keeps them.
(func (export "attack") (param $children i32) (result i32)
  (loop $again
    (drop (call $task (i32.const 0)))
    (local.set $children (i32.sub (local.get $children) (i32.const 1)))
    (br_if $again (local.get $children)))
  (call $rest)
  (i32.const 0))
(func (export "child") (param i32 i32 i32 i32) (result i32)
  (local $streams i32)
  (loop $again
    (drop (call $stream))
    (local.set $streams (i32.add (local.get $streams) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $streams) (i32.const 16000))))
  (call $rest)
  unreachable)
