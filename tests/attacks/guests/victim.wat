;; Three tasks that work forever: c(ompute), f(iles), s(pawn and join). Each counts its work. If one is refused
;; something, it traps, and the run ends.
(func (export "attack") (param i32) (result i32)
  (i32.store (i32.const 128) (call $task (i32.const 0x63)))
  (i32.store (i32.const 132) (call $task (i32.const 0x66)))
  (i32.store (i32.const 136) (call $task (i32.const 0x73)))
  ;; None of them should end: the number says which one did.
  (call $wait-any (i32.const 128) (i32.const 3)))

(func $compute
  (local $round i32)
  (loop $ever
    (local.set $round (i32.const 50000))
    (loop $again
      (local.set $round (i32.sub (local.get $round) (i32.const 1)))
      (br_if $again (local.get $round)))
    (call $count (i32.const 0))
    (br $ever)))

(func $files
  (local $directory i32) (local $file i32)
  (local.set $directory (call $directory))
  (loop $ever
    (local.set $file (call $open (local.get $directory)))
    (if (i32.eqz (local.get $file)) (then unreachable))
    (call $read (local.get $file) (i64.const 64) (i64.const 0) (i32.const 16))
    (if (i32.load8_u (i32.const 16)) (then unreachable))
    (call $drop-descriptor (local.get $file))
    (call $count (i32.const 1))
    (call $sleep (i64.const 2))
    (br $ever)))

(func $spawns
  (local $task i32)
  (loop $ever
    (local.set $task (call $task (i32.const 0x6b)))
    (if (i32.eqz (local.get $task)) (then unreachable))
    (call $join (local.get $task) (i32.const 16))
    (if (i32.load8_u (i32.const 16)) (then unreachable))
    (call $drop-task (local.get $task))
    (call $count (i32.const 2))
    (call $sleep (i64.const 2))
    (br $ever)))

(func (export "child") (param i32 i32) (param $input i32) (param i32) (result i32)
  (local $kind i32)
  (local.set $kind (i32.load8_u (local.get $input)))
  (if (i32.eq (local.get $kind) (i32.const 0x63)) (then (call $compute)))
  (if (i32.eq (local.get $kind) (i32.const 0x66)) (then (call $files)))
  (if (i32.eq (local.get $kind) (i32.const 0x73)) (then (call $spawns)))
  (call $give (i32.const 0) (i32.const 0)))
