;; A guest that does what a script says: one byte per step, then its arguments. `support.rs`
;; lists the steps and writes the scripts. A child runs the script that is its input.
;;
;; Memory: results of host calls at 16, handles of tasks from 4096, output from 8192, and everything
;; that the host hands over from 32768 on, never freed.
(component
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:io/error@0.2.0" (instance $error
    (export "error" (type (sub resource)))))
  (alias export $error "error" (type $io-error))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "output-stream" (type $output-stream (sub resource)))
    (alias outer 1 $io-error (type $e))
    (export "error" (type $error (eq $e)))
    (type $stream-error (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error-named (eq $stream-error)))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $output-stream)) (param "contents" (list u8))
        (result (result (error $stream-error-named)))))))
  (alias export $streams "output-stream" (type $output-stream))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $output-stream (type $s))
    (export "output-stream" (type $output-stream (eq $s)))
    (export "get-stdout" (func (result (own $output-stream))))))
  (import "wasi:cli/environment@0.2.0" (instance $environment
    (export "get-environment" (func (result (list (tuple string string)))))))
  (import "wasi:cli/exit@0.2.0" (instance $exit
    (export "exit" (func (param "status" (result))))))
  (import "wasi:filesystem/types@0.2.0" (instance $fs
    (export "descriptor" (type (sub resource)))))
  (alias export $fs "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
    (alias outer 1 $descriptor (type $d))
    (export "descriptor" (type $descriptor (eq $d)))
    (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $p))
    (export "pollable" (type $pollable (eq $p)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
  (import "hart:exec/tasks@0.1.0" (instance $tasks
    (export "task-options" (type $options (sub resource)))
    (export "task" (type $task (sub resource)))
    (type $spawn-error (variant
      (case "closed") (case "no-entry") (case "limit" string) (case "denied" string) (case "other" string)))
    (export "spawn-error" (type $spawn-error-named (eq $spawn-error)))
    (type $join-error (variant
      (case "failed" (list u8)) (case "trapped" string) (case "cancelled") (case "closed")
      (case "out-of-fuel") (case "out-of-memory") (case "timed-out") (case "already-joined")
      (case "other" string)))
    (export "join-error" (type $join-error-named (eq $join-error)))
    (type $rights (flags "filesystem" "filesystem-write" "network" "environment" "output" "spawn"))
    (export "rights" (type $rights-named (eq $rights)))
    (export "spawn" (func (param "entry" string) (param "input" (list u8))
      (param "options" (option (borrow $options))) (result (result (own $task) (error $spawn-error-named)))))
    (export "yield" (func))
    (export "close" (func))
    (export "parallelism" (func (result u32)))
    (export "wait-any" (func (param "tasks" (list (borrow $task))) (result u32)))
    (export "[constructor]task-options" (func (result (own $options))))
    (export "[method]task-options.set-fuel" (func (param "self" (borrow $options)) (param "units" u64)))
    (export "[method]task-options.set-cpu-time" (func (param "self" (borrow $options)) (param "nanoseconds" u64)))
    (export "[method]task-options.set-memory" (func (param "self" (borrow $options)) (param "bytes" u64)))
    (export "[method]task-options.set-timeout" (func (param "self" (borrow $options)) (param "nanoseconds" u64)))
    (export "[method]task-options.set-max-tasks" (func (param "self" (borrow $options)) (param "count" u32)))
    (export "[method]task-options.deny" (func (param "self" (borrow $options)) (param "rights" $rights-named)))
    (export "[method]task-options.reuse" (func (param "self" (borrow $options))))
    (export "[method]task.is-finished" (func (param "self" (borrow $task)) (result bool)))
    (export "[method]task.join" (func (param "self" (borrow $task))
      (result (result (list u8) (error $join-error-named)))))
    (export "[method]task.cancel" (func (param "self" (borrow $task))))))
  (alias export $tasks "task" (type $task))
  (alias export $tasks "task-options" (type $options))
  (import "hart:exec/tasks-poll@0.1.0" (instance $tasks-poll
    (alias outer 1 $pollable (type $p))
    (export "pollable" (type $pollable (eq $p)))
    (alias outer 1 $task (type $t))
    (export "task" (type $task (eq $t)))
    (export "subscribe" (func (param "task" (borrow $task)) (result (own $pollable))))))

  ;; Memory and its allocator first: lowered functions need them.
  (core module $libc
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 32768))
    (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get $size)))
      (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536)))
        (then (drop (memory.grow (i32.add (i32.div_u (local.get $size) (i32.const 65536)) (i32.const 1))))))
      (local.get $at)))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))

  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $drop-pollable (canon resource.drop $pollable))
  (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory $memory)))
  (core func $get-stdout (canon lower (func $stdout "get-stdout")))
  (core func $get-environment (canon lower (func $environment "get-environment") (memory $memory) (realloc $realloc)))
  (core func $wasi-exit (canon lower (func $exit "exit")))
  (core func $get-directories (canon lower (func $preopens "get-directories") (memory $memory) (realloc $realloc)))
  (core func $subscribe-duration (canon lower (func $clock "subscribe-duration")))
  (core func $spawn (canon lower (func $tasks "spawn") (memory $memory) (realloc $realloc)))
  (core func $yield (canon lower (func $tasks "yield")))
  (core func $close (canon lower (func $tasks "close")))
  (core func $parallelism (canon lower (func $tasks "parallelism")))
  (core func $wait-any (canon lower (func $tasks "wait-any") (memory $memory)))
  (core func $options (canon lower (func $tasks "[constructor]task-options")))
  (core func $set-fuel (canon lower (func $tasks "[method]task-options.set-fuel")))
  (core func $set-cpu-time (canon lower (func $tasks "[method]task-options.set-cpu-time")))
  (core func $set-memory (canon lower (func $tasks "[method]task-options.set-memory")))
  (core func $set-timeout (canon lower (func $tasks "[method]task-options.set-timeout")))
  (core func $set-max-tasks (canon lower (func $tasks "[method]task-options.set-max-tasks")))
  (core func $deny (canon lower (func $tasks "[method]task-options.deny")))
  (core func $reuse (canon lower (func $tasks "[method]task-options.reuse")))
  (core func $is-finished (canon lower (func $tasks "[method]task.is-finished")))
  (core func $join (canon lower (func $tasks "[method]task.join") (memory $memory) (realloc $realloc)))
  (core func $cancel (canon lower (func $tasks "[method]task.cancel")))
  (core func $drop-task (canon resource.drop $task))
  (core func $subscribe (canon lower (func $tasks-poll "subscribe")))

  (core module $lab
    (import "libc" "memory" (memory 1))
    (import "host" "block" (func $block (param i32)))
    (import "host" "drop-pollable" (func $drop-pollable (param i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "host" "get-stdout" (func $get-stdout (result i32)))
    (import "host" "get-environment" (func $get-environment (param i32)))
    (import "host" "exit" (func $exit (param i32)))
    (import "host" "get-directories" (func $get-directories (param i32)))
    (import "host" "subscribe-duration" (func $subscribe-duration (param i64) (result i32)))
    (import "host" "spawn" (func $spawn (param i32 i32 i32 i32 i32 i32 i32)))
    (import "host" "yield" (func $yield))
    (import "host" "close" (func $close))
    (import "host" "parallelism" (func $parallelism (result i32)))
    (import "host" "wait-any" (func $wait-any (param i32 i32) (result i32)))
    (import "host" "options" (func $options (result i32)))
    (import "host" "set-fuel" (func $set-fuel (param i32 i64)))
    (import "host" "set-cpu-time" (func $set-cpu-time (param i32 i64)))
    (import "host" "set-memory" (func $set-memory (param i32 i64)))
    (import "host" "set-timeout" (func $set-timeout (param i32 i64)))
    (import "host" "set-max-tasks" (func $set-max-tasks (param i32 i32)))
    (import "host" "deny" (func $deny (param i32 i32)))
    (import "host" "reuse" (func $reuse (param i32)))
    (import "host" "is-finished" (func $is-finished (param i32) (result i32)))
    (import "host" "join" (func $join (param i32 i32)))
    (import "host" "cancel" (func $cancel (param i32)))
    (import "host" "drop-task" (func $drop-task (param i32)))
    (import "host" "subscribe" (func $subscribe (param i32) (result i32)))

    (global $spawned (mut i32) (i32.const 0))   ;; handles so far
    (global $out (mut i32) (i32.const 8192))    ;; end of the output
    (global $opts (mut i32) (i32.const -1))     ;; options of later spawns

    (func $put (param $byte i32)
      (i32.store8 (global.get $out) (local.get $byte))
      (global.set $out (i32.add (global.get $out) (i32.const 1))))
    (func $handle (param $index i32) (result i32)
      (i32.load (i32.add (i32.const 4096) (i32.mul (local.get $index) (i32.const 4)))))
    (func $recurse (param $n i32) (result i32)
      (i32.add (call $recurse (i32.add (local.get $n) (i32.const 1))) (i32.const 1)))
    (func $option-handle (result i32)
      (if (i32.eq (global.get $opts) (i32.const -1)) (then (global.set $opts (call $options))))
      (global.get $opts))
    (func $put-text (param $at i32) (param $len i32)
      (local $end i32)
      (local.set $end (i32.add (local.get $at) (local.get $len)))
      (if (i32.and (i32.gt_u (local.get $len) (i32.const 0)) (i32.lt_u (local.get $len) (i32.const 2048)))
        (then
          (call $put (i32.const 40))
          (loop $copy
            (call $put (i32.load8_u (local.get $at)))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $copy (i32.lt_u (local.get $at) (local.get $end))))
          (call $put (i32.const 41)))))
    (func $put-joined
      (if (i32.load8_u (i32.const 16))
        ;; The error's letter: f t c C F M T a o.
        (then (call $put (i32.load8_u (i32.add (i32.const 1024) (i32.load8_u (i32.const 20))))))
        (else
          ;; k, and the result itself in brackets.
          (call $put (i32.const 107))
          (call $put-text (i32.load (i32.const 20)) (i32.load (i32.const 24))))))
    (data (i32.const 1024) "ftcCFMTao")
    (data (i32.const 1040) "CNLDO")
    (data (i32.const 1056) "script")

    ;; Runs the script; returns 0 for ok, 1 for an error, 2 for "so many bytes from 0" (in $out).
    (func $run (param $at i32) (param $len i32) (result i32)
      (local $end i32) (local $op i32) (local $arg i32) (local $value i64) (local $start i32)
      (local.set $start (local.get $at))
      (local.set $end (i32.add (local.get $at) (local.get $len)))
      (block $done
        (loop $next
          (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
          (local.set $op (i32.load8_u (local.get $at)))
          (local.set $arg (i32.load8_u offset=1 (local.get $at)))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))

          ;; S len16 script: spawn
          (if (i32.eq (local.get $op) (i32.const 83)) (then
            (local.set $arg (i32.load16_u (local.get $at)))
            (call $spawn (i32.const 1056) (i32.const 6)
              (i32.add (local.get $at) (i32.const 2)) (local.get $arg)
              (i32.ne (global.get $opts) (i32.const -1))
              (select (i32.const 0) (global.get $opts) (i32.eq (global.get $opts) (i32.const -1)))
              (i32.const 16))
            (local.set $at (i32.add (local.get $at) (i32.add (local.get $arg) (i32.const 2))))
            (if (i32.load8_u (i32.const 16))
              (then (call $put (i32.load8_u (i32.add (i32.const 1040) (i32.load8_u (i32.const 20))))))
              (else
                (i32.store (i32.add (i32.const 4096) (i32.mul (global.get $spawned) (i32.const 4)))
                  (i32.load (i32.const 20)))
                (global.set $spawned (i32.add (global.get $spawned) (i32.const 1)))))
            (br $next)))
          ;; J index: join
          (if (i32.eq (local.get $op) (i32.const 74)) (then
            (call $join (call $handle (local.get $arg)) (i32.const 16))
            (call $put-joined)
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $next)))
          ;; X index: cancel
          (if (i32.eq (local.get $op) (i32.const 88)) (then
            (call $cancel (call $handle (local.get $arg)))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $next)))
          ;; D index: drop the handle
          (if (i32.eq (local.get $op) (i32.const 68)) (then
            (call $drop-task (call $handle (local.get $arg)))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $next)))
          ;; I index: is-finished
          (if (i32.eq (local.get $op) (i32.const 73)) (then
            (call $put (i32.add (i32.const 48) (call $is-finished (call $handle (local.get $arg)))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $next)))
          ;; W count: wait-any of the first handles
          (if (i32.eq (local.get $op) (i32.const 87)) (then
            (call $put (i32.add (i32.const 48) (call $wait-any (i32.const 4096) (local.get $arg))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $next)))
          ;; p index: subscribe, drop the task, wait for the pollable
          (if (i32.eq (local.get $op) (i32.const 112)) (then
            (local.set $op (call $subscribe (call $handle (local.get $arg))))
            (call $drop-task (call $handle (local.get $arg)))
            (call $block (local.get $op))
            (call $drop-pollable (local.get $op))
            (call $put (i32.const 112))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $next)))
          ;; Z ms: sleep
          (if (i32.eq (local.get $op) (i32.const 90)) (then
            (local.set $op (call $subscribe-duration
              (i64.mul (i64.extend_i32_u (local.get $arg)) (i64.const 1000000))))
            (call $block (local.get $op))
            (call $drop-pollable (local.get $op))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $next)))
          ;; O kind value64: an option of later spawns
          (if (i32.eq (local.get $op) (i32.const 79)) (then
            (local.set $value (i64.load offset=1 (local.get $at)))
            (local.set $at (i32.add (local.get $at) (i32.const 9)))
            (if (i32.eq (local.get $arg) (i32.const 102))
              (then (call $set-fuel (call $option-handle) (local.get $value))))
            (if (i32.eq (local.get $arg) (i32.const 99))
              (then (call $set-cpu-time (call $option-handle) (local.get $value))))
            (if (i32.eq (local.get $arg) (i32.const 109))
              (then (call $set-memory (call $option-handle) (local.get $value))))
            (if (i32.eq (local.get $arg) (i32.const 116))
              (then (call $set-timeout (call $option-handle) (local.get $value))))
            (if (i32.eq (local.get $arg) (i32.const 120))
              (then (call $set-max-tasks (call $option-handle) (i32.wrap_i64 (local.get $value)))))
            (if (i32.eq (local.get $arg) (i32.const 100))
              (then (call $deny (call $option-handle) (i32.wrap_i64 (local.get $value)))))
            (if (i32.eq (local.get $arg) (i32.const 117))
              (then (call $reuse (call $option-handle))))
            (br $next)))
          ;; A byte: put it into the output
          (if (i32.eq (local.get $op) (i32.const 65)) (then
            (call $put (local.get $arg))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $next)))
          ;; U kib16: return so many KiB
          (if (i32.eq (local.get $op) (i32.const 85)) (then
            (global.set $out (i32.mul (i32.load16_u (local.get $at)) (i32.const 1024)))
            (drop (memory.grow (i32.div_u (global.get $out) (i32.const 65536))))
            (return (i32.const 2))))
          ;; B thousands16: compute for a while
          (if (i32.eq (local.get $op) (i32.const 66)) (then
            (local.set $arg (i32.mul (i32.load16_u (local.get $at)) (i32.const 1000)))
            (loop $busy
              (local.set $arg (i32.sub (local.get $arg) (i32.const 1)))
              (br_if $busy (i32.gt_s (local.get $arg) (i32.const 0))))
            (local.set $at (i32.add (local.get $at) (i32.const 2)))
            (br $next)))
          ;; Y: yield. C: close. H: how many workers.
          (if (i32.eq (local.get $op) (i32.const 89)) (then (call $yield) (br $next)))
          (if (i32.eq (local.get $op) (i32.const 67)) (then (call $close) (br $next)))
          (if (i32.eq (local.get $op) (i32.const 72)) (then
            (call $put (i32.add (i32.const 48) (call $parallelism))) (br $next)))
          ;; L: loop for ever. N: yield for ever. T: trap. R: recurse for ever.
          (if (i32.eq (local.get $op) (i32.const 76)) (then (loop $ever (br $ever))))
          (if (i32.eq (local.get $op) (i32.const 78)) (then (loop $ever (call $yield) (br $ever))))
          (if (i32.eq (local.get $op) (i32.const 84)) (then (unreachable)))
          (if (i32.eq (local.get $op) (i32.const 82)) (then (drop (call $recurse (i32.const 0)))))
          ;; G: grow for ever. g pages16: grow once.
          (if (i32.eq (local.get $op) (i32.const 71)) (then
            (loop $ever (drop (memory.grow (i32.const 16))) (br $ever))))
          (if (i32.eq (local.get $op) (i32.const 103)) (then
            (drop (memory.grow (i32.load16_u (local.get $at))))
            (local.set $at (i32.add (local.get $at) (i32.const 2)))
            (br $next)))
          ;; r: from the beginning, with no tasks. h: take pollables for ever. f pages16: fill memory for ever.
          (if (i32.eq (local.get $op) (i32.const 114)) (then
            (local.set $at (local.get $start))
            (global.set $spawned (i32.const 0))
            (br $next)))
          ;; k count: takes so many pollables and keeps them
          (if (i32.eq (local.get $op) (i32.const 107)) (then
            (local.set $arg (i32.load16_u (local.get $at)))
            (local.set $at (i32.add (local.get $at) (i32.const 2)))
            (block $enough (loop $more
              (br_if $enough (i32.eqz (local.get $arg)))
              (drop (call $subscribe-duration (i64.const 3600000000000)))
              (local.set $arg (i32.sub (local.get $arg) (i32.const 1)))
              (br $more)))
            (br $next)))
          (if (i32.eq (local.get $op) (i32.const 104)) (then
            (loop $ever
              (drop (call $subscribe-duration (i64.const 3600000000000)))
              (br $ever))))
          (if (i32.eq (local.get $op) (i32.const 102)) (then
            (local.set $arg (i32.mul (i32.load16_u (local.get $at)) (i32.const 65536)))
            (drop (memory.grow (i32.load16_u (local.get $at))))
            (loop $ever
              (memory.fill (i32.const 65536) (i32.const 7) (local.get $arg))
              (br $ever))))
          ;; F: return an error. Q: exit(err). q: exit(ok).
          (if (i32.eq (local.get $op) (i32.const 70)) (then (return (i32.const 1))))
          (if (i32.eq (local.get $op) (i32.const 81)) (then (call $exit (i32.const 1))))
          (if (i32.eq (local.get $op) (i32.const 113)) (then (call $exit (i32.const 0))))
          ;; P: write 4,096 bytes. p is above. w: write the output so far.
          (if (i32.eq (local.get $op) (i32.const 80)) (then
            (call $write (call $get-stdout) (i32.const 0) (i32.const 4096) (i32.const 16)) (br $next)))
          (if (i32.eq (local.get $op) (i32.const 119)) (then
            (call $write (call $get-stdout) (i32.const 8192)
              (i32.sub (global.get $out) (i32.const 8192)) (i32.const 16)) (br $next)))
          ;; V: environment variables. K: directories.
          (if (i32.eq (local.get $op) (i32.const 86)) (then
            (call $get-environment (i32.const 16))
            (call $put (i32.add (i32.const 48) (i32.load (i32.const 20)))) (br $next)))
          (if (i32.eq (local.get $op) (i32.const 75)) (then
            (call $get-directories (i32.const 16))
            (call $put (i32.add (i32.const 48) (i32.load (i32.const 20)))) (br $next)))
          ;; ?: the text of the last error
          (if (i32.eq (local.get $op) (i32.const 63)) (then
            (call $put-text (i32.load (i32.const 24)) (i32.load (i32.const 28))) (br $next)))
          (unreachable)))
      (i32.const 0))

    (func (export "script") (param $at i32) (param $len i32) (result i32)
      (drop (call $run (local.get $at) (local.get $len)))
      (i32.store (i32.const 64) (i32.const 8192))
      (i32.store (i32.const 68) (i32.sub (global.get $out) (i32.const 8192)))
      (i32.const 64))
    (func (export "run") (param $entry i32) (param $entry-len i32) (param $at i32) (param $len i32) (result i32)
      (local $how i32)
      (local.set $how (call $run (local.get $at) (local.get $len)))
      (i32.store8 (i32.const 64) (i32.eq (local.get $how) (i32.const 1)))
      (if (i32.eq (local.get $how) (i32.const 2))
        (then
          (i32.store (i32.const 68) (i32.const 0))
          (i32.store (i32.const 72) (global.get $out)))
        (else
          (i32.store (i32.const 68) (i32.const 8192))
          (i32.store (i32.const 72) (i32.sub (global.get $out) (i32.const 8192)))))
      (i32.const 64)))

  (core instance $lab (instantiate $lab
    (with "libc" (instance $libc))
    (with "host" (instance
      (export "block" (func $block))
      (export "drop-pollable" (func $drop-pollable))
      (export "write" (func $write))
      (export "get-stdout" (func $get-stdout))
      (export "get-environment" (func $get-environment))
      (export "exit" (func $wasi-exit))
      (export "get-directories" (func $get-directories))
      (export "subscribe-duration" (func $subscribe-duration))
      (export "spawn" (func $spawn))
      (export "yield" (func $yield))
      (export "close" (func $close))
      (export "parallelism" (func $parallelism))
      (export "wait-any" (func $wait-any))
      (export "options" (func $options))
      (export "set-fuel" (func $set-fuel))
      (export "set-cpu-time" (func $set-cpu-time))
      (export "set-memory" (func $set-memory))
      (export "set-timeout" (func $set-timeout))
      (export "set-max-tasks" (func $set-max-tasks))
      (export "deny" (func $deny))
      (export "reuse" (func $reuse))
      (export "is-finished" (func $is-finished))
      (export "join" (func $join))
      (export "cancel" (func $cancel))
      (export "drop-task" (func $drop-task))
      (export "subscribe" (func $subscribe))))))

  (func (export "script") (param "script" (list u8)) (result (list u8))
    (canon lift (core func $lab "script") (memory $memory) (realloc $realloc)))
  (func $entry-run (param "entry" string) (param "input" (list u8)) (result (result (list u8) (error (list u8))))
    (canon lift (core func $lab "run") (memory $memory) (realloc $realloc)))
  (instance $entry (export "run" (func $entry-run)))
  (export "hart:exec/entry@0.1.0" (instance $entry)))
