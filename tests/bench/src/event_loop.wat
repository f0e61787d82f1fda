;; One component instance that holds many tasks: each call of `serve` is one, in the callback form.
;;
;; What a task knows is in memory, 32 bytes for each: the rounds that are left at 0, its set of waitables at 4, how
;; long it rests at 8, how long it works at 16.
(component
  ;; Waits this long. Sets the time that `done` counts from.
  (import "rest" (func $rest async (param "task" u32) (param "nanoseconds" u64)))
  ;; Notes how long after its due time the task's work is done.
  (import "done" (func $done (param "task" u32)))

  (core func $rest_core (canon lower (func $rest) async))
  (core func $done_core (canon lower (func $done)))
  (core func $return (canon task.return))
  (core func $set-new (canon waitable-set.new))
  (core func $set-drop (canon waitable-set.drop))
  (core func $join (canon waitable.join))
  (core func $drop (canon subtask.drop))
  (core func $context-get (canon context.get i32 0))
  (core func $context-set (canon context.set i32 0))

  (core module $m
    (import "" "rest" (func $rest (param i32 i64) (result i32)))
    (import "" "done" (func $done (param i32)))
    (import "" "return" (func $return))
    (import "" "set-new" (func $set-new (result i32)))
    (import "" "set-drop" (func $set-drop (param i32)))
    (import "" "join" (func $join (param i32 i32)))
    (import "" "drop" (func $drop (param i32)))
    (import "" "context-get" (func $context-get (result i32)))
    (import "" "context-set" (func $context-set (param i32)))

    (memory 8)
    (global $sink (mut i64) (i64.const 0x9e3779b9))

    ;; As in `guest.wat`.
    (func $work (param $iterations i64) (local $x i64)
      (local.set $x (global.get $sink))
      (if (i64.eqz (local.get $iterations)) (then return))
      (loop $again
        (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
        (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
        (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
        (local.set $x (i64.add (i64.mul (local.get $x) (i64.const 0x5851f42d4c957f2d)) (i64.const 11)))
        (local.set $iterations (i64.sub (local.get $iterations) (i64.const 1)))
        (br_if $again (i64.ne (local.get $iterations) (i64.const 0))))
      (global.set $sink (local.get $x)))

    ;; Works after a rest; true if that was the last round.
    (func $round (param $task i32) (result i32)
      (local $at i32)
      (local.set $at (i32.shl (local.get $task) (i32.const 5)))
      (call $work (i64.load offset=16 (local.get $at)))
      (call $done (local.get $task))
      (i32.store (local.get $at) (i32.sub (i32.load (local.get $at)) (i32.const 1)))
      (i32.eqz (i32.load (local.get $at))))

    (func $end (param $task i32) (result i32)
      (call $set-drop (i32.load offset=4 (i32.shl (local.get $task) (i32.const 5))))
      (call $return)
      (i32.const 0))

    ;; Begins to rest; returns what the event loop is to be told: to wait for the task's set (2), or nothing (0).
    (func $begin (param $task i32) (result i32)
      (local $at i32) (local $status i32)
      (local.set $at (i32.shl (local.get $task) (i32.const 5)))
      (loop $again
        (local.set $status (call $rest (local.get $task) (i64.load offset=8 (local.get $at))))
        ;; Where the machine is busy, a short rest can be over when the call returns.
        (if (i32.eq (local.get $status) (i32.const 2)) (then
          (br_if $again (i32.eqz (call $round (local.get $task))))
          (return (call $end (local.get $task))))))
      (call $join (i32.shr_u (local.get $status) (i32.const 4)) (i32.load offset=4 (local.get $at)))
      (i32.or (i32.const 2) (i32.shl (i32.load offset=4 (local.get $at)) (i32.const 4))))

    (func (export "serve")
      (param $task i32) (param $rounds i32) (param $rest i64) (param $iterations i64) (result i32)
      (local $at i32)
      (local.set $at (i32.shl (local.get $task) (i32.const 5)))
      (i32.store (local.get $at) (local.get $rounds))
      (i32.store offset=4 (local.get $at) (call $set-new))
      (i64.store offset=8 (local.get $at) (local.get $rest))
      (i64.store offset=16 (local.get $at) (local.get $iterations))
      (call $context-set (local.get $task))
      (call $begin (local.get $task)))

    (func (export "callback") (param $event i32) (param $subtask i32) (param $state i32) (result i32)
      ;; An event of a subtask (1) that has returned (2).
      (if (i32.ne (local.get $event) (i32.const 1)) (then unreachable))
      (if (i32.ne (local.get $state) (i32.const 2)) (then unreachable))
      (call $drop (local.get $subtask))
      (if (call $round (call $context-get)) (then (return (call $end (call $context-get)))))
      (call $begin (call $context-get))))

  (core instance $i (instantiate $m (with "" (instance
    (export "rest" (func $rest_core))
    (export "done" (func $done_core))
    (export "return" (func $return))
    (export "set-new" (func $set-new))
    (export "set-drop" (func $set-drop))
    (export "join" (func $join))
    (export "drop" (func $drop))
    (export "context-get" (func $context-get))
    (export "context-set" (func $context-set))))))

  (func (export "serve") async
    (param "task" u32) (param "rounds" u32) (param "rest" u64) (param "iterations" u64)
    (canon lift (core func $i "serve") async (callback (core func $i "callback")))))
