;; Stores for ever: under short keys (n), under keys of 4096 bytes (k), values of 64 KiB (v). It ignores that it is refused.
(component
  (import "wasi:keyvalue/store@0.2.0-draft" (instance $store
    (type $error' (variant (case "no-such-store") (case "access-denied") (case "other" string)))
    (export "error" (type $error (eq $error')))
    (export "bucket" (type $bucket (sub resource)))
    (export "open" (func (param "identifier" string) (result (result (own $bucket) (error $error)))))
    (export "[method]bucket.set" (func (param "self" (borrow $bucket)) (param "key" string)
      (param "value" (list u8)) (result (result (error $error)))))))
  ;; What the host hands over are errors, which nobody reads.
  (core module $libc
    (memory (export "memory") 4)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
  (core instance $libc (instantiate $libc))
  (core func $open (canon lower (func $store "open")
    (memory $libc "memory") (realloc (func $libc "realloc"))))
  (core func $set (canon lower (func $store "[method]bucket.set")
    (memory $libc "memory") (realloc (func $libc "realloc"))))
  (core module $m
    (import "libc" "memory" (memory 4))
    (import "host" "open" (func $open (param i32 i32 i32)))
    (import "host" "set" (func $set (param i32 i32 i32 i32 i32 i32)))
    ;; The key begins with the number, in eight letters.
    (func $name (param $number i32)
      (local $at i32)
      (loop $letters
        (i32.store8 (i32.add (i32.const 8192) (local.get $at))
          (i32.add (i32.const 0x61) (i32.and (local.get $number) (i32.const 15))))
        (local.set $number (i32.shr_u (local.get $number) (i32.const 4)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $letters (i32.lt_u (local.get $at) (i32.const 8)))))
    (func (export "attack") (param $kind i32) (result i32)
      (local $number i32) (local $key i32) (local $value i32)
      (memory.fill (i32.const 8192) (i32.const 0x78) (i32.const 4096))
      (local.set $key (i32.const 8))
      (if (i32.eq (local.get $kind) (i32.const 0x6b)) (then (local.set $key (i32.const 4096))))
      (if (i32.eq (local.get $kind) (i32.const 0x76)) (then (local.set $value (i32.const 65536))))
      (call $open (i32.const 0) (i32.const 0) (i32.const 16))
      (if (i32.load8_u (i32.const 16)) (then unreachable))
      (loop $ever
        (call $name (local.get $number))
        (local.set $number (i32.add (local.get $number) (i32.const 1)))
        (call $set (i32.load (i32.const 20)) (i32.const 8192) (local.get $key)
          (i32.const 65536) (local.get $value) (i32.const 32))
        (br $ever))
      unreachable))
  (core instance $i (instantiate $m
    (with "libc" (instance $libc))
    (with "host" (instance (export "open" (func $open)) (export "set" (func $set))))))
  (func (export "attack") (param "number" u32) (result u32) (canon lift (core func $i "attack"))))
