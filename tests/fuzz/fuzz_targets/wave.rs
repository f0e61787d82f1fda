//! Reads the text of a call and makes it: the result, printed and read again, is the same.
#![no_main]

use std::sync::LazyLock;

use hart_host::{Cache, Component, Host};
use libfuzzer_sys::fuzz_target;

/// Each function returns the list that it gets; there is one for each kind of value.
const KINDS: [(&str, &str); 16] = [
    ("bools", "bool"),
    ("bytes", "u8"),
    ("shorts", "s16"),
    ("words", "u32"),
    ("longs", "s64"),
    ("singles", "f32"),
    ("doubles", "f64"),
    ("chars", "char"),
    ("strings", "string"),
    ("lists", "(list (list string))"),
    ("tuples", "(tuple u8 (option string) char)"),
    ("options", "(option (option u32))"),
    ("results", "(result (list u8) (error string))"),
    ("records", "$record"),
    ("variants", "$variant"),
    ("flag-sets", "$flags"),
];

static GROUND: LazyLock<(Host, Component)> = LazyLock::new(|| {
    let mut text = String::from(
        r#"(component
        (type $record' (record (field "a" u8) (field "b-c" (list string)) (field "d" (option bool))))
        (export $record "a-record" (type $record'))
        (type $enum' (enum "one" "two" "none" "inf"))
        (export $enum "a-enum" (type $enum'))
        (type $variant' (variant (case "a") (case "b" $enum) (case "some" $record)))
        (export $variant "a-variant" (type $variant'))
        (type $flags' (flags "a" "b-c" "true"))
        (export $flags "a-flags" (type $flags'))
        (core module $m
            (memory (export "memory") 1)
            (global $next (mut i32) (i32.const 1024))
            (func (export "realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                (global.set $next (i32.add (local.get $at) (local.get $size)))
                (drop (memory.grow (i32.div_u (local.get $size) (i32.const 65536))))
                (local.get $at))
            (func (export "same") (param i32 i32) (result i32)
                (i32.store (i32.const 16) (local.get 0))
                (i32.store (i32.const 20) (local.get 1))
                (i32.const 16)))
        (core instance $i (instantiate $m))"#,
    );
    for (name, kind) in KINDS {
        text += &format!(
            r#"(func (export "{name}") (param "it" (list {kind})) (result (list {kind}))
                (canon lift (core func $i "same") (memory $i "memory") (realloc (func $i "realloc"))))"#
        );
    }
    let host = Host::builder().workers(1).instances(4).cache(Cache::Off);
    let host = host.build().expect("a host");
    let component = host.load((text + ")").as_bytes()).expect("it loads");
    (host, component)
});

/// What the call returns; `None` if it cannot be made.
fn call(text: &str) -> Option<String> {
    let (host, component) = &*GROUND;
    let run = host
        .invoke(component, text)
        .ok()?
        .start()
        .expect("it starts");
    Some(
        run.wait()
            .ok()?
            .to_wave()
            .expect("what was read can be written"),
    )
}

fuzz_target!(|text: &str| {
    let Some(said) = call(text) else {
        // Refused, or larger than its memory.
        return;
    };
    // Not where a comment stands before it.
    let name = text.split('(').next().unwrap_or_default().trim();
    if !KINDS.iter().any(|(known, _)| *known == name) {
        return;
    }
    let again = call(&format!("{name}({said})"));
    assert_eq!(again.as_deref(), Some(&*said), "{name}");
});
