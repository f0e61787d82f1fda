;; hart:exec/tasks from the inside, without any SDK: what a component in any language sees.
;;
;; The component below exports `hart:exec/entry`, whose `run` does what the entry's first letter says:
;;   e(cho)   returns its input                    f(ail)  returns its input as its error
;;   t(rap)   traps                                s(pin)  never ends
;;   n(est)   spawns an `echo` and joins it        y(ield) yields three times, then echoes
;; Results are numbers: 0 where a join gave the input back; 10 + case of `join-error`; 100 + case of
;; `spawn-error`; 99 for wrong bytes.

(component definition $tasks
  (import "hart:exec/tasks@0.1.0" (instance $tasks
    (export "task-options" (type $task-options (sub resource)))
    (export "task" (type $task (sub resource)))
    (type $spawn-error' (variant (case "closed") (case "no-entry") (case "limit" string)
      (case "denied" string) (case "other" string)))
    (export "spawn-error" (type $spawn-error (eq $spawn-error')))
    (type $join-error' (variant (case "failed" (list u8)) (case "trapped" string) (case "cancelled")
      (case "closed") (case "out-of-fuel") (case "out-of-memory") (case "timed-out")
      (case "already-joined") (case "other" string)))
    (export "join-error" (type $join-error (eq $join-error')))
    (export "spawn" (func (param "entry" string) (param "input" (list u8))
      (param "options" (option (borrow $task-options)))
      (result (result (own $task) (error $spawn-error)))))
    (export "yield" (func))
    (export "close" (func))
    (export "parallelism" (func (result u32)))
    (export "wait-any" (func (param "tasks" (list (borrow $task))) (result u32)))
    (export "[method]task.id" (func (param "self" (borrow $task)) (result u64)))
    (export "[method]task.is-finished" (func (param "self" (borrow $task)) (result bool)))
    (export "[method]task.join" (func (param "self" (borrow $task))
      (result (result (list u8) (error $join-error)))))
    (export "[method]task.cancel" (func (param "self" (borrow $task))))))

  (core module $memory
    (memory (export "memory") 1)
    (global $free (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.set $free (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $bytes))
  (alias core export $memory "realloc" (core func $realloc))

  (alias export $tasks "task" (type $task))
  (core func $spawn (canon lower (func $tasks "spawn")
    (memory $bytes) (realloc $realloc)))
  (core func $join (canon lower (func $tasks "[method]task.join")
    (memory $bytes) (realloc $realloc)))
  (core func $wait-any (canon lower (func $tasks "wait-any") (memory $bytes)))
  (core func $yield (canon lower (func $tasks "yield")))
  (core func $close (canon lower (func $tasks "close")))
  (core func $parallelism (canon lower (func $tasks "parallelism")))
  (core func $cancel (canon lower (func $tasks "[method]task.cancel")))
  (core func $is-finished (canon lower (func $tasks "[method]task.is-finished")))
  (core func $id (canon lower (func $tasks "[method]task.id")))
  (core func $drop (canon resource.drop $task))

  (core module $main
    (import "memory" "memory" (memory 1))
    (import "tasks" "spawn" (func $spawn (param i32 i32 i32 i32 i32 i32 i32)))
    (import "tasks" "join" (func $join (param i32 i32)))
    (import "tasks" "wait-any" (func $wait-any (param i32 i32) (result i32)))
    (import "tasks" "yield" (func $yield))
    (import "tasks" "close" (func $close))
    (import "tasks" "parallelism" (func $parallelism (result i32)))
    (import "tasks" "cancel" (func $cancel (param i32)))
    (import "tasks" "is-finished" (func $is-finished (param i32) (result i32)))
    (import "tasks" "id" (func $id (param i32) (result i64)))
    (import "tasks" "drop" (func $drop (param i32)))
    ;; 16: the input of every task. 32: entries' names. 64, 96, 128: where results are put.
    (data (i32.const 16) "\01\02\03\04")
    (data (i32.const 32) "echospin")

    ;; The task's handle, or -1 - case of the error.
    (func $start (param $name i32) (param $length i32) (result i32)
      (call $spawn (local.get $name) (local.get $length) (i32.const 16) (i32.const 4)
        (i32.const 0) (i32.const 0) (i32.const 64))
      (if (i32.load8_u (i32.const 64))
        (then (return (i32.sub (i32.const -1) (i32.load8_u (i32.const 68))))))
      (i32.load (i32.const 68)))
    (func $echo (result i32) (call $start (i32.const 32) (i32.const 4)))
    (func $spin (result i32) (call $start (i32.const 36) (i32.const 4)))

    ;; The number that stands for how a join ended.
    (func $end (param $task i32) (result i32)
      (if (i32.lt_s (local.get $task) (i32.const 0))
        (then (return (i32.sub (i32.const 99) (local.get $task)))))
      (call $join (local.get $task) (i32.const 96))
      (if (i32.load8_u (i32.const 96))
        (then (return (i32.add (i32.const 10) (i32.load8_u (i32.const 100))))))
      (if (i32.ne (i32.load (i32.const 104)) (i32.const 4)) (then (return (i32.const 99))))
      (if (i32.ne (i32.load (i32.load (i32.const 100))) (i32.load (i32.const 16)))
        (then (return (i32.const 99))))
      (i32.const 0))

    (func $run (export "run") (param $name i32) (param $length i32) (param $input i32)
      (param $bytes i32) (result i32)
      (local $letter i32)
      (local.set $letter (i32.load8_u (local.get $name)))
      (i32.store8 (i32.const 128) (i32.eq (local.get $letter) (i32.const 0x66)))
      (i32.store (i32.const 132) (local.get $input))
      (i32.store (i32.const 136) (local.get $bytes))
      (if (i32.eq (local.get $letter) (i32.const 0x74)) (then unreachable))
      (if (i32.eq (local.get $letter) (i32.const 0x73)) (then (loop $forever (br $forever))))
      (if (i32.eq (local.get $letter) (i32.const 0x79))
        (then (call $yield) (call $yield) (call $yield)))
      (if (i32.eq (local.get $letter) (i32.const 0x6e))
        (then (if (call $end (call $echo)) (then unreachable))))
      (i32.const 128))

    (func (export "spawn-join") (param i32 i32) (result i32)
      (call $end (call $start (local.get 0) (local.get 1))))

    ;; A short task behind one that never ends.
    (func (export "behind-a-spinner") (result i32)
      (local $spinner i32)
      (local $end i32)
      (local.set $spinner (call $spin))
      (local.set $end (call $end (call $echo)))
      (if (call $is-finished (local.get $spinner)) (then (return (i32.const 1))))
      (call $cancel (local.get $spinner))
      (local.get $end))

    (func (export "cancelled") (result i32)
      (local $spinner i32)
      (local.set $spinner (call $spin))
      (call $cancel (local.get $spinner))
      (call $end (local.get $spinner)))

    (func (export "closed") (result i32)
      (local $spinner i32)
      (local.set $spinner (call $spin))
      (call $close)
      (call $end (local.get $spinner)))

    (func (export "joined-twice") (result i32)
      (local $task i32)
      (local.set $task (call $echo))
      (drop (call $end (local.get $task)))
      (call $end (local.get $task)))

    (func (export "finishes") (result i32)
      (local $task i32)
      (local.set $task (call $echo))
      (loop $again
        (if (call $is-finished (local.get $task)) (then (return (call $end (local.get $task)))))
        (call $yield)
        (br $again))
      (unreachable))

    (func (export "first-of-two") (result i32)
      (local $first i32)
      (i32.store (i32.const 160) (call $spin))
      (i32.store (i32.const 164) (call $echo))
      (local.set $first (call $wait-any (i32.const 160) (i32.const 2)))
      (call $cancel (i32.load (i32.const 160)))
      (local.get $first))

    (func (export "first-of-none") (result i32) (call $wait-any (i32.const 160) (i32.const 0)))

    (func (export "different-ids") (result i32)
      (i64.ne (call $id (call $echo)) (call $id (call $echo))))

    ;; Handles dropped, tasks let go: nobody waits for them, and nothing breaks.
    (func (export "detached") (result i32)
      (local $left i32)
      (local.set $left (i32.const 50))
      (loop $again
        (call $drop (call $echo))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br_if $again (local.get $left)))
      (call $end (call $echo)))

    (func (export "some-parallelism") (result i32)
      (i32.ge_u (call $parallelism) (i32.const 1))))

  (core instance $main (instantiate $main
    (with "memory" (instance $memory))
    (with "tasks" (instance
      (export "spawn" (func $spawn)) (export "join" (func $join))
      (export "wait-any" (func $wait-any)) (export "yield" (func $yield))
      (export "close" (func $close)) (export "parallelism" (func $parallelism))
      (export "cancel" (func $cancel)) (export "is-finished" (func $is-finished))
      (export "id" (func $id)) (export "drop" (func $drop))))))

  (func $run (param "entry" string) (param "input" (list u8))
    (result (result (list u8) (error (list u8))))
    (canon lift (core func $main "run") (memory $bytes)
      (realloc $realloc)))
  (instance $entry (export "run" (func $run)))
  (export "hart:exec/entry@0.1.0" (instance $entry))

  (func (export "spawn-join") (param "entry" string) (result u32)
    (canon lift (core func $main "spawn-join") (memory $bytes)
      (realloc $realloc)))
  (func (export "behind-a-spinner") (result u32) (canon lift (core func $main "behind-a-spinner")))
  (func (export "cancelled") (result u32) (canon lift (core func $main "cancelled")))
  (func (export "closed") (result u32) (canon lift (core func $main "closed")))
  (func (export "joined-twice") (result u32) (canon lift (core func $main "joined-twice")))
  (func (export "finishes") (result u32) (canon lift (core func $main "finishes")))
  (func (export "first-of-two") (result u32) (canon lift (core func $main "first-of-two")))
  (func (export "first-of-none") (result u32) (canon lift (core func $main "first-of-none")))
  (func (export "different-ids") (result bool) (canon lift (core func $main "different-ids")))
  (func (export "detached") (result u32) (canon lift (core func $main "detached")))
  (func (export "some-parallelism") (result bool)
    (canon lift (core func $main "some-parallelism"))))

(component instance $a $tasks)
;; Hunts results that go to the wrong joiner or arrive changed.
(assert_return (invoke "spawn-join" (str.const "echo")) (u32.const 0))
(assert_return (invoke "spawn-join" (str.const "yield")) (u32.const 0))
(assert_return (invoke "spawn-join" (str.const "nest")) (u32.const 0))
;; Hunts a child's end that takes its parent with it.
(assert_return (invoke "spawn-join" (str.const "fail")) (u32.const 10))
(assert_return (invoke "spawn-join" (str.const "trap")) (u32.const 11))
(assert_return (invoke "spawn-join" (str.const "echo")) (u32.const 0))
;; Hunts a task that is never preempted, and a cancel that never reaches it.
(assert_return (invoke "behind-a-spinner") (u32.const 0))
(assert_return (invoke "cancelled") (u32.const 12))
(assert_return (invoke "joined-twice") (u32.const 17))
(assert_return (invoke "finishes") (u32.const 0))
(assert_return (invoke "first-of-two") (u32.const 1))
(assert_return (invoke "different-ids") (bool.const true))
(assert_return (invoke "detached") (u32.const 0))
(assert_return (invoke "some-parallelism") (bool.const true))
;; Nothing would ever end.
(assert_trap (invoke "first-of-none") "")

;; Hunts a close that leaves the scope open, or that closes somebody else's.
(component instance $closes $tasks)
(component instance $other $tasks)
(assert_return (invoke $closes "closed") (u32.const 13))
(assert_return (invoke $closes "spawn-join" (str.const "echo")) (u32.const 100))
(assert_return (invoke $other "spawn-join" (str.const "echo")) (u32.const 0))

;; Without the export there is nothing to run.
(component
  (import "hart:exec/tasks@0.1.0" (instance $tasks
    (export "task-options" (type $task-options (sub resource)))
    (export "task" (type $task (sub resource)))
    (type $spawn-error' (variant (case "closed") (case "no-entry") (case "limit" string)
      (case "denied" string) (case "other" string)))
    (export "spawn-error" (type $spawn-error (eq $spawn-error')))
    (export "spawn" (func (param "entry" string) (param "input" (list u8))
      (param "options" (option (borrow $task-options)))
      (result (result (own $task) (error $spawn-error)))))))
  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $bytes))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $spawn (canon lower (func $tasks "spawn")
    (memory $bytes) (realloc $realloc)))
  (core module $main
    (import "memory" "memory" (memory 1))
    (import "tasks" "spawn" (func $spawn (param i32 i32 i32 i32 i32 i32 i32)))
    (func (export "spawn") (result i32)
      (call $spawn (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
        (i32.const 0) (i32.const 0) (i32.const 64))
      (i32.add (i32.mul (i32.load8_u (i32.const 64)) (i32.const 100))
        (i32.load8_u (i32.const 68)))))
  (core instance $main (instantiate $main
    (with "memory" (instance $memory))
    (with "tasks" (instance (export "spawn" (func $spawn))))))
  (func (export "spawn") (result u32) (canon lift (core func $main "spawn"))))
(assert_return (invoke "spawn") (u32.const 101))
