;; The beginning of every guest here: its imports, a memory, and a core module, whose functions follow. The body exports
;; `attack` (takes a number and returns one) and `child`, which a spawned task runs (takes entry and input, returns a
;; pointer).
;;
;; Memory: 0 to 32767 belongs to the body. After it come the last few values that the host handed over.
(component
  (import "count" (func $count (param "thread" u32)))
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $p))
    (export "pollable" (type $pollable (eq $p)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
  (import "wasi:io/error@0.2.0" (instance $error
    (export "error" (type (sub resource)))))
  (alias export $error "error" (type $io-error))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "input-stream" (type $input-stream (sub resource)))
    (export "output-stream" (type $output-stream (sub resource)))
    (alias outer 1 $io-error (type $e))
    (export "error" (type $error (eq $e)))
    (type $stream-error' (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $stream-error')))
    (alias outer 1 $pollable (type $p))
    (export "pollable" (type $pollable (eq $p)))
    (export "[method]input-stream.subscribe" (func (param "self" (borrow $input-stream)) (result (own $pollable))))
    (export "[method]output-stream.blocking-write-and-flush" (func (param "self" (borrow $output-stream))
      (param "contents" (list u8)) (result (result (error $stream-error)))))))
  (alias export $streams "input-stream" (type $input-stream))
  (alias export $streams "output-stream" (type $output-stream))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $output-stream (type $s))
    (export "output-stream" (type $output-stream (eq $s)))
    (export "get-stdout" (func (result (own $output-stream))))))
  (import "wasi:cli/stderr@0.2.0" (instance $stderr
    (alias outer 1 $output-stream (type $s))
    (export "output-stream" (type $output-stream (eq $s)))
    (export "get-stderr" (func (result (own $output-stream))))))
  (import "wasi:filesystem/types@0.2.0" (instance $files
    (alias outer 1 $input-stream (type $s))
    (export "input-stream" (type $input-stream (eq $s)))
    (export "descriptor" (type $descriptor (sub resource)))
    (export "directory-entry-stream" (type $entries (sub resource)))
    (type $path-flags' (flags "symlink-follow"))
    (export "path-flags" (type $path-flags (eq $path-flags')))
    (type $open-flags' (flags "create" "directory" "exclusive" "truncate"))
    (export "open-flags" (type $open-flags (eq $open-flags')))
    (type $descriptor-flags' (flags "read" "write" "file-integrity-sync" "data-integrity-sync"
      "requested-write-sync" "mutate-directory"))
    (export "descriptor-flags" (type $descriptor-flags (eq $descriptor-flags')))
    (type $error-code' (enum "access" "would-block" "already" "bad-descriptor" "busy" "deadlock" "quota" "exist"
      "file-too-large" "illegal-byte-sequence" "in-progress" "interrupted" "invalid" "io" "is-directory" "loop"
      "too-many-links" "message-size" "name-too-long" "no-device" "no-entry" "no-lock" "insufficient-memory"
      "insufficient-space" "not-directory" "not-empty" "not-recoverable" "unsupported" "no-tty" "no-such-device"
      "overflow" "not-permitted" "pipe" "read-only" "invalid-seek" "text-file-busy" "cross-device"))
    (export "error-code" (type $error-code (eq $error-code')))
    (export "[method]descriptor.open-at" (func (param "self" (borrow $descriptor)) (param "path-flags" $path-flags)
      (param "path" string) (param "open-flags" $open-flags) (param "flags" $descriptor-flags)
      (result (result (own $descriptor) (error $error-code)))))
    (export "[method]descriptor.read" (func (param "self" (borrow $descriptor)) (param "length" u64)
      (param "offset" u64) (result (result (tuple (list u8) bool) (error $error-code)))))
    (export "[method]descriptor.read-via-stream" (func (param "self" (borrow $descriptor)) (param "offset" u64)
      (result (result (own $input-stream) (error $error-code)))))
    (export "[method]descriptor.read-directory" (func (param "self" (borrow $descriptor))
      (result (result (own $entries) (error $error-code)))))))
  (alias export $files "descriptor" (type $descriptor))
  (alias export $files "directory-entry-stream" (type $entries))
  (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
    (alias outer 1 $descriptor (type $d))
    (export "descriptor" (type $descriptor (eq $d)))
    (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))
  (import "wasi:sockets/network@0.2.0" (instance $network
    (export "network" (type $network (sub resource)))
    (type $error-code' (enum "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory" "timeout"
      "concurrency-conflict" "not-in-progress" "would-block" "invalid-state" "new-socket-limit"
      "address-not-bindable" "address-in-use" "remote-unreachable" "connection-refused" "connection-reset"
      "connection-aborted" "datagram-too-large" "name-unresolvable" "temporary-resolver-failure"
      "permanent-resolver-failure"))
    (export "error-code" (type (eq $error-code')))))
  (alias export $network "network" (type $network))
  (alias export $network "error-code" (type $network-error))
  (import "wasi:sockets/instance-network@0.2.0" (instance $instance-network
    (alias outer 1 $network (type $n))
    (export "network" (type $network (eq $n)))
    (export "instance-network" (func (result (own $network))))))
  (import "wasi:sockets/ip-name-lookup@0.2.0" (instance $lookup
    (alias outer 1 $network (type $n))
    (export "network" (type $network (eq $n)))
    (alias outer 1 $network-error (type $e))
    (export "error-code" (type $error-code (eq $e)))
    (export "resolve-address-stream" (type $addresses (sub resource)))
    (export "resolve-addresses" (func (param "network" (borrow $network)) (param "name" string)
      (result (result (own $addresses) (error $error-code)))))))
  (alias export $lookup "resolve-address-stream" (type $addresses))
  (import "hart:exec/tasks@0.1.0" (instance $tasks
    (export "task-options" (type $options (sub resource)))
    (export "task" (type $task (sub resource)))
    (type $spawn-error' (variant
      (case "closed") (case "no-entry") (case "limit" string) (case "denied" string) (case "other" string)))
    (export "spawn-error" (type $spawn-error (eq $spawn-error')))
    (type $join-error' (variant
      (case "failed" (list u8)) (case "trapped" string) (case "cancelled") (case "closed")
      (case "out-of-fuel") (case "out-of-memory") (case "timed-out") (case "already-joined")
      (case "other" string)))
    (export "join-error" (type $join-error (eq $join-error')))
    (export "spawn" (func (param "entry" string) (param "input" (list u8))
      (param "options" (option (borrow $options))) (result (result (own $task) (error $spawn-error)))))
    (export "yield" (func))
    (export "wait-any" (func (param "tasks" (list (borrow $task))) (result u32)))
    (export "[constructor]task-options" (func (result (own $options))))
    (export "[method]task-options.set-name" (func (param "self" (borrow $options)) (param "name" string)))
    (export "[method]task.join" (func (param "self" (borrow $task))
      (result (result (list u8) (error $join-error)))))
    (export "[method]task.cancel" (func (param "self" (borrow $task))))))
  (alias export $tasks "task" (type $task))
  (alias export $tasks "task-options" (type $options))

  (core module $libc
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 32768))
    (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
      (local $at i32)
      ;; Large values get their own pages.
      (if (i32.gt_u (local.get $size) (i32.const 4096)) (then
        (local.set $at (memory.grow (i32.add (i32.div_u (local.get $size) (i32.const 65536)) (i32.const 1))))
        (if (i32.eq (local.get $at) (i32.const -1)) (then unreachable))
        (return (i32.mul (local.get $at) (i32.const 65536)))))
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (if (i32.gt_u (local.get $at) (i32.const 57344)) (then (local.set $at (i32.const 32768))))
      (global.set $next (i32.add (local.get $at) (local.get $size)))
      (local.get $at)))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))

  (core func $count (canon lower (func $count)))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $drop-pollable (canon resource.drop $pollable))
  (core func $subscribe-duration (canon lower (func $clock "subscribe-duration")))
  (core func $subscribe-stream (canon lower (func $streams "[method]input-stream.subscribe")))
  (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory $memory)))
  (core func $get-stdout (canon lower (func $stdout "get-stdout")))
  (core func $get-stderr (canon lower (func $stderr "get-stderr")))
  (core func $open-at (canon lower (func $files "[method]descriptor.open-at") (memory $memory)))
  (core func $read (canon lower (func $files "[method]descriptor.read") (memory $memory) (realloc $realloc)))
  (core func $read-via-stream (canon lower (func $files "[method]descriptor.read-via-stream") (memory $memory)))
  (core func $read-directory (canon lower (func $files "[method]descriptor.read-directory") (memory $memory)))
  (core func $drop-descriptor (canon resource.drop $descriptor))
  (core func $drop-entries (canon resource.drop $entries))
  (core func $get-directories (canon lower (func $preopens "get-directories") (memory $memory) (realloc $realloc)))
  (core func $instance-network (canon lower (func $instance-network "instance-network")))
  (core func $resolve (canon lower (func $lookup "resolve-addresses") (memory $memory)))
  (core func $spawn (canon lower (func $tasks "spawn") (memory $memory) (realloc $realloc)))
  (core func $yield (canon lower (func $tasks "yield")))
  (core func $wait-any (canon lower (func $tasks "wait-any") (memory $memory)))
  (core func $options (canon lower (func $tasks "[constructor]task-options")))
  (core func $set-name (canon lower (func $tasks "[method]task-options.set-name") (memory $memory)))
  (core func $set-name-utf16 (canon lower (func $tasks "[method]task-options.set-name") (memory $memory)
    string-encoding=utf16))
  (core func $join (canon lower (func $tasks "[method]task.join") (memory $memory) (realloc $realloc)))
  (core func $cancel (canon lower (func $tasks "[method]task.cancel")))
  (core func $drop-task (canon resource.drop $task))

  (core module $guest
    (import "libc" "memory" (memory 1))
    (import "host" "count" (func $count (param i32)))
    (import "host" "block" (func $block (param i32)))
    (import "host" "drop-pollable" (func $drop-pollable (param i32)))
    (import "host" "subscribe-duration" (func $subscribe-duration (param i64) (result i32)))
    (import "host" "subscribe-stream" (func $subscribe-stream (param i32) (result i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "host" "get-stdout" (func $get-stdout (result i32)))
    (import "host" "get-stderr" (func $get-stderr (result i32)))
    (import "host" "open-at" (func $open-at (param i32 i32 i32 i32 i32 i32 i32)))
    (import "host" "read" (func $read (param i32 i64 i64 i32)))
    (import "host" "read-via-stream" (func $read-via-stream (param i32 i64 i32)))
    (import "host" "read-directory" (func $read-directory (param i32 i32)))
    (import "host" "drop-descriptor" (func $drop-descriptor (param i32)))
    (import "host" "drop-entries" (func $drop-entries (param i32)))
    (import "host" "get-directories" (func $get-directories (param i32)))
    (import "host" "instance-network" (func $instance-network (result i32)))
    (import "host" "resolve" (func $resolve (param i32 i32 i32 i32)))
    (import "host" "spawn" (func $spawn (param i32 i32 i32 i32 i32 i32 i32)))
    (import "host" "yield" (func $yield))
    (import "host" "wait-any" (func $wait-any (param i32 i32) (result i32)))
    (import "host" "options" (func $options (result i32)))
    (import "host" "set-name" (func $set-name (param i32 i32 i32)))
    (import "host" "set-name-utf16" (func $set-name-utf16 (param i32 i32 i32)))
    (import "host" "join" (func $join (param i32 i32)))
    (import "host" "cancel" (func $cancel (param i32)))
    (import "host" "drop-task" (func $drop-task (param i32)))

    ;; Waits this many milliseconds.
    (func $sleep (param $milliseconds i64)
      (local $pollable i32)
      (local.set $pollable
        (call $subscribe-duration (i64.mul (local.get $milliseconds) (i64.const 1000000))))
      (call $block (local.get $pollable))
      (call $drop-pollable (local.get $pollable)))
    ;; Waits forever.
    (func $rest (loop $ever (call $sleep (i64.const 3600000)) (br $ever)))
    ;; Spawns a task with this much input, from 512 on; returns its handle, or 0 if it was refused.
    (func $start (param $size i32) (result i32)
      (call $spawn (i32.const 0) (i32.const 0) (i32.const 512) (local.get $size)
        (i32.const 0) (i32.const 0) (i32.const 16))
      (select (i32.const 0) (i32.load (i32.const 20)) (i32.load8_u (i32.const 16))))
    ;; The same with one byte.
    (func $task (param $kind i32) (result i32)
      (i32.store8 (i32.const 512) (local.get $kind))
      (call $start (i32.const 1)))
    ;; A task's result: this many bytes from here.
    (func $give (param $at i32) (param $size i32) (result i32)
      (i32.store8 (i32.const 32) (i32.const 0))
      (i32.store (i32.const 36) (local.get $at))
      (i32.store (i32.const 40) (local.get $size))
      (i32.const 32))
    ;; The granted directory.
    (func $directory (result i32)
      (call $get-directories (i32.const 16))
      (i32.load (i32.load (i32.const 16))))
    ;; Opens one of its files to read; the name, of one byte, is at 1024. Returns the handle, or 0.
    (func $open (param $directory i32) (result i32)
      (call $open-at (local.get $directory) (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 1)
        (i32.const 16))
      (select (i32.const 0) (i32.load (i32.const 20)) (i32.load8_u (i32.const 16))))
    (data (i32.const 1024) "f")
