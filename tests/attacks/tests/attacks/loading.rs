//! Components that are expensive to load.

use hart_attacks::{Ground, MIB, Memory, alone};
use std::fmt::Write as _;

/// What loading one of them may take.
const ALLOWED: u64 = 1024 * MIB;

/// Loads on another thread while the victim works.
fn load(bytes: &[u8]) {
    load_all(&[bytes.to_vec()]);
}

/// The same, one after the other.
fn load_all(all: &[Vec<u8>]) {
    let ground = Ground::new(|builder| builder);
    let alone = ground.alone();
    let memory = Memory::watch(ALLOWED);
    std::thread::scope(|scope| {
        let loads = scope.spawn(|| {
            for bytes in all {
                // Refused or not, it ends.
                let loaded = ground.host.loader().core_modules(true).load(bytes);
                let said = format!("{:?}", loaded.map(drop));
                println!("{}", said.chars().take(200).collect::<String>());
            }
        });
        ground.assert_served(alone);
        loads.join().unwrap();
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

/// A section of a module, with so many things in it as it says, and with these bytes.
fn section(id: u8, count: u32, bytes: &[u8]) -> Vec<u8> {
    let number = |mut number: usize| {
        let mut digits = Vec::new();
        while number >= 128 {
            digits.push(u8::try_from(number % 128).unwrap() | 128);
            number /= 128;
        }
        digits.push(u8::try_from(number).unwrap());
        digits
    };
    let count = number(count as usize);
    let length = number(count.len() + bytes.len());
    [&[id][..], &length, &count, bytes].concat()
}

fn module(sections: &[Vec<u8>]) -> Vec<u8> {
    [&b"\0asm\x01\0\0\0"[..], &sections.concat()].concat()
}

/// Fault: a module that says it has more than it has, in any of its sections, and is believed.
#[test]
fn modules_that_lie_about_counts() {
    alone(|| {
        let lies = (1..=13).flat_map(|id| {
            [1_000_000, u32::MAX].map(|count| module(&[section(id, count, &[0; 4])]))
        });
        load_all(&lies.collect::<Vec<_>>());
    });
}

/// Fault: a module that takes far more to become a component than its bytes: by its types, its imports, its exports, or
/// the functions that are lifted.
#[test]
fn modules_with_very_many_parts() {
    alone(|| {
        let types = section(1, 1_000_000, &b"\x60\0\0".repeat(1_000_000));
        let import = b"\x16wasi_snapshot_preview1\x0bsched_yield\0\0";
        let imports = section(2, 300_000, &import.repeat(300_000));
        let result = section(1, 1, b"\x60\0\x01\x7f");
        let mut exports = Vec::new();
        for number in 0..300_000 {
            exports.extend(b"\x08");
            exports.extend(format!("_{number:07}").as_bytes());
            exports.extend(b"\x02\0");
        }
        let memory = section(5, 1, b"\0\x01");
        let functions = |count: usize, name: usize| {
            let mut text = format!("(module (func $f (param{}))", " i64".repeat(16));
            for number in 0..count {
                write!(text, "(export \"{number:0name$}\" (func $f))").unwrap();
            }
            (text + ")").into_bytes()
        };
        load_all(&[
            module(&[types]),
            module(&[result, imports]),
            module(&[memory, section(7, 300_000, &exports)]),
            functions(200_000, 8),
            functions(20_000, 1_000),
            functions(1_000, 256),
        ]);
    });
}
