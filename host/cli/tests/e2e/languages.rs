//! What guests in other languages than Rust are made of. `tests/others/run` builds and runs such guests.

use crate::support::{Running, Scratch, command, hart, root};
use std::ffi::OsStr;
use std::path::Path;
use wit_component::{StringEncoding, embed_component_metadata, metadata};
use wit_parser::{Resolve, WorldId};

/// The world that `hart wit` writes, read from where it was written.
fn world(scratch: &Scratch) -> (Resolve, WorldId) {
    let wit = scratch.path().join("wit");
    hart([OsStr::new("wit"), wit.as_os_str()]).exits(0);
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_dir(&wit)
        .expect("all that it refers to is there");
    let world = resolve.select_world(&[package], Some("command"));
    (resolve, world.expect("a world for commands"))
}

/// The bytes that the C library puts into a component, as its assembler text has them.
fn section_of_the_c_library() -> Vec<u8> {
    let text = std::fs::read_to_string(root().join("guest/c/hart.c")).expect("a source");
    let mut bytes = Vec::new();
    for line in text.lines() {
        let Some(quoted) = line.trim().strip_prefix(r#"".ascii \""#) else {
            continue;
        };
        let mut rest = quoted
            .strip_suffix(r#"\"\n""#)
            .expect("the end of the string");
        while let Some(first) = rest.chars().next() {
            let (byte, length) = match rest.strip_prefix(r"\\") {
                Some(octal) => (u8::from_str_radix(&octal[..3], 8).expect("a byte"), 5),
                None => (u8::try_from(first).expect("plain text"), 1),
            };
            bytes.push(byte);
            rest = &rest[length..];
        }
    }
    bytes
}

/// Hunts a library whose contract is another one than the host's.
#[test]
fn the_c_library_has_the_contract() {
    let scratch = Scratch::new();
    let (resolve, world) = world(&scratch);
    let expected = metadata::encode(&resolve, world, StringEncoding::UTF8, None).unwrap();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("component-type");
    std::fs::write(&path, &expected).unwrap();
    assert!(
        section_of_the_c_library() == expected,
        "write the bytes of {} into guest/c/hart.c",
        path.display()
    );
}

/// Hunts a module that says which component it is to be, and does not become that.
#[test]
fn a_module_with_a_world_is_that_component() {
    let scratch = Scratch::new();
    let (resolve, world) = world(&scratch);
    let text = r#"(module
        (import "hart:exec/tasks@0.1.0" "parallelism" (func $workers (result i32)))
        (import "hart:exec/tasks@0.1.0" "exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "hart:exec/entry@0.1.0#run") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "wasi:cli/run@0.2.0#run") (result i32)
            (call $exit (i32.add (call $workers) (i32.const 40)))
            unreachable))"#;
    let mut module = wat::parse_str(text).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let file = scratch.write("module.wasm", &module);
    let options = ["--workers", "2", "--stats=json"].map(OsStr::new);
    let ended = hart(options.into_iter().chain([file.as_os_str()])).exits(42);
    // It may spawn, so its pool is not that of a program that cannot.
    assert!(
        ended.stats()["pool"]["instances"].as_u64() > Some(100),
        "{ended:#?}"
    );

    // What it lacks is told, and so is a world that nobody can read.
    let without = text.replace("wasi:cli/run@0.2.0#run", "other");
    let mut module = wat::parse_str(without).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let file = scratch.write("without.wasm", &module);
    let refused = hart([&file]).exits(2);
    assert!(
        refused.stderr.contains("wasi:cli/run@0.2.0"),
        "{refused:#?}"
    );
    let large = vec![b'a'; (1 << 18) + 1];
    let mut module = wat::parse_str("(module)").unwrap();
    wasm_section(&mut module, "component-type:large", &large);
    let file = scratch.write("large.wasm", &module);
    let refused = hart([&file]).exits(2);
    assert!(
        refused.stderr.contains("262144 are the most"),
        "{refused:#?}"
    );
}

/// Appends a custom section.
fn wasm_section(module: &mut Vec<u8>, name: &str, content: &[u8]) {
    let number = |mut value: usize| {
        let mut bytes = Vec::new();
        loop {
            let low = (value & 0x7f) as u8;
            value >>= 7;
            bytes.push(low | if value > 0 { 0x80 } else { 0 });
            if value == 0 {
                return bytes;
            }
        }
    };
    let body = [&number(name.len()), name.as_bytes(), content].concat();
    module.push(0);
    module.extend(number(body.len()));
    module.extend(body);
}

fn hart_in(directory: &Path, arguments: &[&str], code: i32) -> crate::support::Finished {
    let mut command = command();
    command.current_dir(directory).args(arguments);
    Running::start(&mut command, &[]).wait().exits(code)
}

/// Hunts a project that lacks a part, or one that is written over something.
#[test]
pub(crate) fn projects_in_other_languages_have_their_parts() {
    let scratch = Scratch::new();
    for (lang, files) in [
        (
            "python",
            &["app.py", "hart.py", "Makefile", "requirements.txt"][..],
        ),
        (
            "javascript",
            &["app.js", "hart.js", "build.mjs", "package.json"],
        ),
        ("c", &["app.c", "hart.h", "hart.c", "Makefile"]),
    ] {
        let name = format!("my-{lang}");
        let said = hart_in(scratch.path(), &["new", "--lang", lang, &name], 0).stdout;
        assert!(said.contains(&format!("hart {name}.wasm")), "{said}");
        let project = scratch.path().join(&name);
        for file in files.iter().chain(&["README.md", ".gitignore"]) {
            let text = std::fs::read_to_string(project.join(file)).expect(file);
            // A library is as it is.
            let is_filled = !text.contains("{name}") && !text.contains("{lower}");
            assert!(is_filled || file.starts_with("hart."), "{file}");
        }
        assert_eq!(project.join("wit/deps/cli/run.wit").exists(), lang != "c");
        let again = hart_in(scratch.path(), &["new", "--lang", lang, &name], 2);
        assert!(again.stderr.contains("exists already"), "{again:#?}");
    }
    hart_in(scratch.path(), &["new", "--lang", "js", "short"], 0);
    let refused = hart_in(scratch.path(), &["new", "--lang", "c", "--async", "x"], 2);
    assert!(
        refused.stderr.contains("--async is for projects in Rust"),
        "{refused:#?}"
    );
    assert!(!scratch.path().join("x").exists());
}

/// Hunts a contract that is not what the host has, and a file that is lost.
#[test]
pub(crate) fn the_contract_is_printed_and_written() {
    let scratch = Scratch::new();
    let printed = hart(["wit"]).exits(0).stdout;
    let own = std::fs::read_to_string(root().join("wit/tasks.wit")).unwrap();
    assert!(printed.contains(&own), "{printed}");
    hart_in(scratch.path(), &["wit", "here"], 0);
    // Again is no change.
    hart_in(scratch.path(), &["wit", "here"], 0);
    scratch.write("here/command.wit", "package mine:own;");
    let refused = hart_in(scratch.path(), &["wit", "here"], 2);
    assert!(refused.stderr.contains("here/command.wit"), "{refused:#?}");
    let kept = std::fs::read_to_string(scratch.path().join("here/command.wit")).unwrap();
    assert_eq!(kept, "package mine:own;");
}
