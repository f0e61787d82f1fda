;; Starts this many children. Each looks up 1,000 names and ignores the answers.
(data (i32.const 2048) "a-name-that-nobody-has.example.com")
(func (export "attack") (param $children i32) (result i32)
  (loop $again
    (drop (call $task (i32.const 0)))
    (local.set $children (i32.sub (local.get $children) (i32.const 1)))
    (br_if $again (local.get $children)))
  (call $rest)
  (i32.const 0))
(func (export "child") (param i32 i32 i32 i32) (result i32)
  (local $network i32) (local $names i32)
  (local.set $network (call $instance-network))
  (loop $again
    (call $resolve (local.get $network) (i32.const 2048) (i32.const 34) (i32.const 64))
    (local.set $names (i32.add (local.get $names) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $names) (i32.const 1000))))
  (call $rest)
  unreachable)
