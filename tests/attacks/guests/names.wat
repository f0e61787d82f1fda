;; Hands the host a name of this many bytes of UTF-16, over and over; the host keeps 64 bytes of it.
(func (export "attack") (param $bytes i32) (result i32)
  (local $options i32)
  (drop (memory.grow (i32.add (i32.div_u (local.get $bytes) (i32.const 65536)) (i32.const 1))))
  (memory.fill (i32.const 65536) (i32.const 0x41) (local.get $bytes))
  (local.set $options (call $options))
  (loop $ever
    (call $set-name-utf16 (local.get $options) (i32.const 65536) (i32.div_u (local.get $bytes) (i32.const 2)))
    (br $ever))
  unreachable)
(func (export "child") (param i32 i32 i32 i32) (result i32) unreachable)
