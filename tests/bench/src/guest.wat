;; The guests that are measured: one component, one export for each way of behaving.
;;
;; `work` takes a time that is proportional to its argument; what it takes for a microsecond is
;; calibrated when the program starts.
(component
  ;; Waits this long, and for as much longer as the host makes it wait. Sets the time that `done` counts from.
  (import "rest" (func $rest (param "nanoseconds" u64)))
  ;; Asks a thread of the host's, and waits for its answer, which comes at once.
  (import "ask" (func $ask))
  ;; Notes how long after its due time the work is done.
  (import "done" (func $done))
  ;; Counts one piece of work; true if it is enough.
  (import "progress" (func $progress (result bool)))

  (core func $rest_core (canon lower (func $rest)))
  (core func $ask_core (canon lower (func $ask)))
  (core func $done_core (canon lower (func $done)))
  (core func $progress_core (canon lower (func $progress)))

  (core module $m
    (import "" "rest" (func $rest (param i64)))
    (import "" "ask" (func $ask))
    (import "" "done" (func $done))
    (import "" "progress" (func $progress (result i32)))

    (global $sink (mut i64) (i64.const 0x9e3779b9))

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

    (func (export "spin") (param $iterations i64)
      (loop $again
        (call $work (local.get $iterations))
        (br_if $again (i32.eqz (call $progress)))))

    (func (export "chatter") (param $iterations i64)
      (loop $again
        (call $work (local.get $iterations))
        (call $ask)
        (br_if $again (i32.eqz (call $progress)))))

    (func (export "once") (param $iterations i64)
      (call $work (local.get $iterations))
      (call $done))

    (func (export "serve") (param $rounds i64) (param $rest i64) (param $iterations i64)
      (loop $again
        (call $rest (local.get $rest))
        (call $work (local.get $iterations))
        (call $done)
        (local.set $rounds (i64.sub (local.get $rounds) (i64.const 1)))
        (br_if $again (i64.ne (local.get $rounds) (i64.const 0))))))

  (core instance $i (instantiate $m (with "" (instance
    (export "rest" (func $rest_core))
    (export "ask" (func $ask_core))
    (export "done" (func $done_core))
    (export "progress" (func $progress_core))))))

  (func (export "spin") (param "iterations" u64) (canon lift (core func $i "spin")))
  (func (export "chatter") (param "iterations" u64) (canon lift (core func $i "chatter")))
  (func (export "once") (param "iterations" u64) (canon lift (core func $i "once")))
  (func (export "serve") (param "rounds" u64) (param "rest" u64) (param "iterations" u64)
    (canon lift (core func $i "serve"))))
