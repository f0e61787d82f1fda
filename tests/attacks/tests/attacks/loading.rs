//! Components that are expensive to load.

use hart_attacks::{Ground, MIB, Memory, alone};
use std::fmt::Write as _;

/// What loading one of them may take.
const ALLOWED: u64 = 1024 * MIB;

/// Loads on another thread while the victim works.
fn load(bytes: &[u8]) {
    let ground = Ground::new(|builder| builder);
    let alone = ground.alone();
    let memory = Memory::watch(ALLOWED);
    std::thread::scope(|scope| {
        let loads = scope.spawn(|| ground.host.load(bytes).map(drop));
        ground.assert_served(alone);
        // Refused or not, it ends.
        let said = loads.join().unwrap();
        println!("{said:?}");
    });
    memory.assert_bounded();
}

/// Fault: nested components, each of which instantiates the one before it twice.
#[test]
fn components_that_double() {
    alone(|| {
        let mut text = String::from(
            r#"(component (component $c0 (core module $m (func (export "f"))) (core instance (instantiate $m)))"#,
        );
        for level in 1..=30 {
            let below = level - 1;
            write!(
                text,
                "(component $c{level} (alias outer 1 $c{below} (component $p))
                    (instance (instantiate $p)) (instance (instantiate $p)))"
            )
            .unwrap();
        }
        load((text + "(instance (instantiate $c30)))").as_bytes());
    });
}

/// Fault: components nested so deep that they overflow the stack, or so many that each is validated anew.
#[test]
fn components_that_nest() {
    alone(|| {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        for _ in 0..20_000 {
            let mut outer = b"\0asm\x0d\0\x01\0\x04".to_vec();
            let mut length = bytes.len();
            while length >= 128 {
                outer.push(u8::try_from(length % 128).unwrap() | 128);
                length /= 128;
            }
            outer.push(u8::try_from(length).unwrap());
            outer.append(&mut bytes);
            bytes = outer;
        }
        load(&bytes);
    });
}

/// A component of one module with one function.
fn function(body: &str) -> String {
    format!("(component (core module (func {body})))")
}

/// Fault: a function whose compilation takes time and memory in proportion to its locals times its loops.
#[test]
fn a_function_with_very_many_locals() {
    alone(|| {
        let locals = " i64".repeat(50_000);
        let mut body = format!("(local{locals})") + &"(loop ".repeat(1_000);
        for local in 1..50_000 {
            write!(body, "(local.set {local} (local.get {}))", local - 1).unwrap();
        }
        body += &"(br_if 0 (i32.const 0)))".repeat(1_000);
        load(function(&body).as_bytes());
    });
}

/// Fault: the same for its blocks.
#[test]
fn a_function_with_very_many_blocks() {
    alone(|| {
        let body = "(block (br_if 0 (i32.const 0)))".repeat(700_000);
        load(function(&body).as_bytes());
    });
}
