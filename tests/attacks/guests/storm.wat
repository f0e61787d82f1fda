;; Spawns this many tasks, cancels them and drops their handles, forever.
(func (export "attack") (param $tasks i32) (result i32)
  (local $at i32) (local $end i32)
  (drop (memory.grow (i32.const 16)))
  (local.set $end (i32.add (i32.const 65536) (i32.mul (local.get $tasks) (i32.const 4))))
  (loop $ever
    (local.set $at (i32.const 65536))
    (loop $spawn
      (i32.store (local.get $at) (call $task (i32.const 0)))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (br_if $spawn (i32.lt_u (local.get $at) (local.get $end))))
    (local.set $at (i32.const 65536))
    (loop $cancel
      (if (i32.load (local.get $at)) (then
        (call $cancel (i32.load (local.get $at)))
        (call $drop-task (i32.load (local.get $at)))))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (br_if $cancel (i32.lt_u (local.get $at) (local.get $end))))
    (br $ever))
  unreachable)
(func (export "child") (param i32 i32 i32 i32) (result i32)
  (call $rest)
  unreachable)
