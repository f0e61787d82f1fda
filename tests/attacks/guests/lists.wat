;; Starts this many children, which list the directory over and over.
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
    (call $read-directory (local.get $directory) (i32.const 64))
    (if (i32.load8_u (i32.const 64)) (then unreachable))
    (call $drop-entries (i32.load (i32.const 68)))
    (br $ever))
  unreachable)
