;; Hunts state that leaks from one instance into another, or is lost between two calls of one.

(component definition $counter
  (core module $m
    (global $count (mut i32) (i32.const 0))
    (func (export "next") (result i32)
      (global.set $count (i32.add (global.get $count) (i32.const 1)))
      (global.get $count)))
  (core instance $i (instantiate $m))
  (func $next (result u32) (canon lift (core func $i "next")))
  (export "next" (func $next))
  (instance $nested (export "next" (func $next)))
  (export "hart:test/counter" (instance $nested)))

(component instance $a $counter)
(component instance $b $counter)
(assert_return (invoke $a "next") (u32.const 1))
(assert_return (invoke $a "next") (u32.const 2))
(assert_return (invoke $b "next") (u32.const 1))
;; Without a name: the last instance.
(assert_return (invoke "next") (u32.const 2))
;; A function in an exported instance.
(assert_return (invoke "hart:test/counter#next") (u32.const 3))
(assert_return (invoke $a "next") (u32.const 3))

;; A component that imports what another one exports calls that very instance.
(register "counter" $a)
(component $user
  (import "counter" (instance $counter (export "next" (func (result u32)))))
  (core func $next (canon lower (func $counter "next")))
  (core module $m
    (import "counter" "next" (func $next (result i32)))
    (func (export "two") (result i32)
      (drop (call $next))
      (call $next)))
  (core instance $i (instantiate $m
    (with "counter" (instance (export "next" (func $next))))))
  (func (export "two") (result u32) (canon lift (core func $i "two"))))
(assert_return (invoke "two") (u32.const 5))
(assert_return (invoke $a "next") (u32.const 6))
(assert_return (invoke $b "next") (u32.const 4))

;; A core module that one exports and another instantiates: code is shared, memory is not.
(component $library
  (core module (export "code")
    (global $count (mut i32) (i32.const 0))
    (func (export "next") (result i32)
      (global.set $count (i32.add (global.get $count) (i32.const 1)))
      (global.get $count))))
(component definition $with-code
  (import "library" (instance $library
    (export "code" (core module (export "next" (func (result i32)))))))
  (alias export $library "code" (core module $code))
  (core instance $i (instantiate $code))
  (func (export "next") (result u32) (canon lift (core func $i "next"))))
(component instance $c $with-code)
(component instance $d $with-code)
(assert_return (invoke $c "next") (u32.const 1))
(assert_return (invoke $c "next") (u32.const 2))
(assert_return (invoke $d "next") (u32.const 1))
