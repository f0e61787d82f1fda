;; A mistake that only some orders of events show: of two tasks that do the same, the one that was spawned
;; first is said to end first.

(component
  (import "hart:exec/tasks@0.1.0" (instance $tasks
    (export "task-options" (type $task-options (sub resource)))
    (export "task" (type $task (sub resource)))
    (type $spawn-error' (variant (case "closed") (case "no-entry") (case "limit" string)
      (case "denied" string) (case "other" string)))
    (export "spawn-error" (type $spawn-error (eq $spawn-error')))
    (export "spawn" (func (param "entry" string) (param "input" (list u8))
      (param "options" (option (borrow $task-options)))
      (result (result (own $task) (error $spawn-error)))))
    (export "wait-any" (func (param "tasks" (list (borrow $task))) (result u32)))))

  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $bytes))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $spawn (canon lower (func $tasks "spawn") (memory $bytes) (realloc $realloc)))
  (core func $wait-any (canon lower (func $tasks "wait-any") (memory $bytes)))

  (core module $main
    (import "memory" "memory" (memory 1))
    (import "tasks" "spawn" (func $spawn (param i32 i32 i32 i32 i32 i32 i32)))
    (import "tasks" "wait-any" (func $wait-any (param i32 i32) (result i32)))
    (func $start (result i32)
      (call $spawn (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
        (i32.const 0) (i32.const 0) (i32.const 64))
      (if (i32.load8_u (i32.const 64)) (then unreachable))
      (i32.load (i32.const 68)))

    ;; A task: counts to 10,000 and returns nothing.
    (func (export "run") (param i32 i32 i32 i32) (result i32)
      (local $left i32)
      (local.set $left (i32.const 10000))
      (loop $again
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br_if $again (local.get $left)))
      (i32.const 128))

    (func (export "first") (result i32)
      (i32.store (i32.const 32) (call $start))
      (i32.store (i32.const 36) (call $start))
      (call $wait-any (i32.const 32) (i32.const 2))))
  (core instance $main (instantiate $main
    (with "memory" (instance $memory))
    (with "tasks" (instance
      (export "spawn" (func $spawn)) (export "wait-any" (func $wait-any))))))

  (func $run (param "entry" string) (param "input" (list u8))
    (result (result (list u8) (error (list u8))))
    (canon lift (core func $main "run") (memory $bytes) (realloc $realloc)))
  (instance $entry (export "run" (func $run)))
  (export "hart:exec/entry@0.1.0" (instance $entry))
  (func (export "first") (result u32) (canon lift (core func $main "first"))))

(assert_return (invoke "first") (u32.const 0))
