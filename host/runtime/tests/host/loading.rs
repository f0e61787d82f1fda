//! Components that would take very long to compile, or very much memory; what is told before that, and who ends it.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::*;
use hart_host::{Cache, Host, LoadError, Loader, Tier};

/// A guard against hanging, far above what anything here takes.
const LONG: Duration = Duration::from_secs(100);

/// A number as WebAssembly writes it.
fn number(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        bytes.push(low | if number > 0 { 0x80 } else { 0 });
        if number == 0 {
            return bytes;
        }
    }
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&number(bytes.len()), bytes].concat()
}

fn section(id: u8, bytes: &[u8]) -> Vec<u8> {
    [&[id], &*sized(bytes)].concat()
}

/// A component with a module of so many functions that take a parameter, each with this code, and after that what the
/// component of this text has.
fn component(functions: usize, code: &[u8], after: &str) -> Vec<u8> {
    let body = sized(&[&[0], code, &[0x0b]].concat());
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    module.extend(section(1, &[1, 0x60, 1, 0x7f, 0]));
    module.extend(section(
        3,
        &[number(functions), vec![0; functions]].concat(),
    ));
    module.extend(section(
        10,
        &[number(functions), body.repeat(functions)].concat(),
    ));
    let after = wat::parse_str(after).unwrap();
    [&after[..8], &section(1, &module), &after[8..]].concat()
}

/// A loop that may go on once more.
const LOOP: &[u8] = &[0x03, 0x40, 0x20, 0, 0x0d, 0, 0x0b];

/// Takes minutes to compile, in functions that take some tenths of a second each.
fn endless(after: &str) -> Vec<u8> {
    component(2_000, &LOOP.repeat(1_500), after)
}

fn nested(depth: usize) -> Vec<u8> {
    let header = b"\0asm\x0d\0\x01\0";
    (0..depth).fold(header.to_vec(), |inner, _| {
        [&header[..], &section(4, &inner)].concat()
    })
}

fn doubled(times: usize, first: &str) -> String {
    let mut text = format!("(component (component $c0 {first})");
    for level in 1..times {
        let below = level - 1;
        text += &format!(
            "(component $c{level} (alias outer 1 $c{below} (component $p))
                (instance (instantiate $p)) (instance (instantiate $p)))"
        );
    }
    text + &format!("(instance (instantiate $c{})))", times - 1)
}

fn function(locals: usize, code: &str) -> Vec<u8> {
    let locals = "(local i32)".repeat(locals);
    format!("(component (core module (func (param i32) {locals} {code})))").into_bytes()
}

/// Fault: small inputs for which the compiler takes gigabytes or minutes: what is instantiated doubles, or is nested, or
/// one function has too much of what costs more than its share. Alone, because the process's peak is looked at.
#[test]
fn what_would_take_too_much_is_refused_before() {
    passes_alone("loading::hostile_inputs");
}

#[test]
#[ignore = "started by another test"]
fn hostile_inputs() {
    let host = host();
    let many = |count: usize| {
        (0..count)
            .map(|n| format!("(import \"f{n}\" (func))"))
            .collect()
    };
    let imports: String = many(30_000);
    let values = "i32 ".repeat(1_000);
    let calls = "call $f ".repeat(100_000);
    let gets = "local.get 0 ".repeat(1_000);
    let drops = "drop ".repeat(1_000);
    let all: String = (1..8_000)
        .map(|n| format!("local.get {n} local.set 0 "))
        .collect();
    // A byte at either end of a memory, an element at the end of a table: compiled code has all of what is between them.
    let images = (0..16).map(|n| format!(
        r#"(memory 256) (data (memory {n}) (i32.const 0) "a") (data (memory {n}) (i32.const 16777000) "z")"#
    ));
    let images: String = images.collect();
    let images = format!("(core module {images})").repeat(10);
    let ends: String = (0..64)
        .map(|n| format!("(table 100000 funcref) (elem (table {n}) (i32.const 99999) func $f)"))
        .collect();
    let ends = format!("(core module (func $f) {ends})").repeat(60);
    let filled = "(table 100000 funcref (ref.func $f))".repeat(64);
    let filled = format!("(core module (func $f) {filled})").repeat(60);
    let inputs: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "memories",
            format!("(component {images})").into(),
            "begin with 2559 MiB",
        ),
        (
            "tables with an end",
            format!("(component {ends})").into(),
            "384000000 elements",
        ),
        (
            "tables that are full",
            format!("(component {filled})").into(),
            "384000000 elements",
        ),
        (
            "doubled",
            doubled(31, "(core module $m) (core instance (instantiate $m))").into(),
            "as often as they are instantiated",
        ),
        (
            "doubled, empty",
            doubled(40, "").into(),
            "as often as they are instantiated",
        ),
        ("nested", nested(3_000), "nested more than"),
        (
            "imports",
            format!("(component {imports})").into(),
            "imports, and 20000 are the most",
        ),
        (
            "loops",
            function(0, &"(loop (br_if 0 (local.get 0)))".repeat(30_000)),
            "30000 loops",
        ),
        (
            "branches",
            function(0, &"(block (br_if 0 (local.get 0)))".repeat(200_000)),
            "200000 conditional branches",
        ),
        (
            "conditions",
            function(0, &"(if (local.get 0) (then nop))".repeat(200_000)),
            "split it",
        ),
        (
            "locals",
            function(
                8_000,
                &(all + &"(loop (br_if 0 (local.get 0)))".repeat(4_000)),
            ),
            "8000 locals",
        ),
        (
            "values",
            format!(
                "(component (core module (type $t (func (param {values}) (result {values})))
            (func $f (type $t) {gets} {drops} {gets}) (func (param i32) {gets} {calls} {drops})))"
            )
            .into(),
            "split",
        ),
        (
            "blocks",
            function(0, &("block ".repeat(5_000) + &"end ".repeat(5_000))),
            "its text is nested",
        ),
    ];
    let mut inputs = inputs;
    // A type in a type in a type, in three bytes each.
    let types = [vec![1], [0x42, 1, 1].repeat(100_000), vec![0x42, 0]].concat();
    let types = [b"\0asm\x0d\0\x01\0", &*section(7, &types)].concat();
    inputs.push(("types", types, "within other types"));
    for (name, bytes, words) in inputs {
        match host.load(&bytes) {
            Err(LoadError::TooComplex(said)) => assert!(said.contains(words), "{name}: {said}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    let long = [b"(component)".to_vec(), vec![b' '; 40 << 20]].concat();
    assert!(
        matches!(host.load(&long), Err(LoadError::TooComplex(said)) if said.contains("text of"))
    );
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.unwrap().trim().trim_end_matches(" kB").parse::<u64>();
    assert!(peak.unwrap() < 700 << 10, "{status}");
}

/// Fault: bounds that refuse what compilers make: an interpreter's loop, a large dispatch, thousands of functions; or
/// that no setting raises.
#[test]
pub fn what_compilers_make_is_loaded() {
    let host = host();
    let dispatch = format!(
        "{} (br_table {} (local.get 0)) {}",
        "block ".repeat(1_500),
        (0..1_500).map(|n| format!("{n} ")).collect::<String>(),
        "end nop ".repeat(1_500)
    );
    let text = function(300, &dispatch);
    host.load(&text).unwrap();
    let code = [LOOP.repeat(300), [0x20, 0, 0x1a].repeat(3_000)].concat();
    let large = component(20, &code, "(component)");
    host.load(&large).unwrap();
    host.load(&nested(20)).unwrap();
    // As deep as can be read: whatever wasmtime says of it, the process goes on.
    let types = [vec![1], [0x42, 1, 1].repeat(490), vec![0x42, 0]].concat();
    let types = [b"\0asm\x0d\0\x01\0", &*section(7, &types)].concat();
    let loaded = host.load(&types);
    assert!(
        !matches!(loaded, Err(LoadError::TooComplex(_))),
        "{loaded:?}"
    );
    host.load(doubled(6, "").as_bytes()).unwrap();
    // Data at the beginning and constants far away, and a large table of functions.
    let spread = br#"(component (core module
        (memory 256) (data (i32.const 0) "a") (data (i32.const 16777000) "z")
        (func $f) (table 100000 funcref) (elem (i32.const 99999) func $f)))"#;
    host.load(spread).unwrap();
    let low = host.loader().max_memory(1 << 20);
    let refused = low.load(&large).unwrap_err();
    assert!(
        matches!(&refused, LoadError::TooComplex(said) if said.contains("max_memory")),
        "{refused}"
    );
    const { assert!(Loader::MAX_MEMORY > 1 << 20) };
}

/// How nice each thread of that name is.
fn niceness(name: &str) -> Vec<i32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let lines = tasks
        .flatten()
        .map(|task| std::fs::read_to_string(task.path().join("stat")));
    lines
        .flatten()
        .filter_map(|line| {
            let (number_and_name, rest) = line.rsplit_once(')')?;
            let nice = rest.split_whitespace().nth(16)?;
            let is_it = number_and_name.contains(name);
            is_it.then(|| nice.parse().unwrap())
        })
        .collect()
}

/// Threads that compile.
fn compiling() -> usize {
    niceness("hart-compile").len()
}

/// Fault: a load that nobody can end, or that is ended for its caller alone and goes on compiling for minutes. In a
/// process of its own, whose threads are counted.
#[test]
pub fn a_load_can_be_ended() {
    passes_alone("loading::ended_loads");
}

#[test]
#[ignore = "started by another test"]
fn ended_loads() {
    let host = host();
    let endless = endless("(component)");
    // Baseline code of it is there in some seconds.
    let loader = host.loader().tier(Tier::Optimized);
    let loader = loader.timeout(Duration::from_secs(8));
    let error = loader.load(&endless).unwrap_err();
    assert!(matches!(error, LoadError::TimedOut(_)), "{error:?}");
    eventually("the compiler gives up", || compiling() == 0);

    let loader = host.loader().timeout(LONG);
    let canceller = loader.canceller();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            eventually("it is compiled", || compiling() > 0);
            canceller.cancel();
        });
        let error = loader.precompile(&endless).unwrap_err();
        assert!(matches!(error, LoadError::Cancelled), "{error:?}");
    });
    eventually("the compiler gives up", || compiling() == 0);
    // The host is as good as new.
    lab(&host);
    assert!(matches!(
        loader.load(b"(component)"),
        Err(LoadError::Cancelled)
    ));
}

/// Fault: a load that stops the executor that awaits it, and one that says nothing of what is wrong.
#[test]
fn loads_can_be_awaited() {
    let host = host();
    let served = AtomicBool::new(false);
    let large = component(400, &[0x20, 0, 0x1a].repeat(150), "(component)");
    let load = host.load_async(large);
    let serve = async { served.store(true, Ordering::SeqCst) };
    let (loaded, ()) = futures::executor::block_on(async {
        let mut load = pin!(load);
        // It is not there at the first look, and others have their turn.
        assert!(futures::poll!(load.as_mut()).is_pending());
        futures::join!(load, serve)
    });
    loaded.unwrap();
    assert!(served.load(Ordering::SeqCst));
    let refused = futures::executor::block_on(host.load_async(b"no component"));
    assert!(
        matches!(refused, Err(LoadError::NotWasm | LoadError::Invalid(_))),
        "{refused:?}"
    );
    let loader = host.loader();
    loader.canceller().cancel();
    let refused = futures::executor::block_on(loader.load_async(b"(component)"));
    assert!(matches!(refused, Err(LoadError::Cancelled)), "{refused:?}");
}

/// Fault: a load in the background that takes the cores from those who are served meanwhile. In a process of its own.
#[test]
pub fn a_load_in_the_background_goes_behind_all_else() {
    passes_alone("loading::loaded_in_the_background");
}

#[test]
#[ignore = "started by another test"]
fn loaded_in_the_background() {
    let host = host();
    let many = component(4_000, &[0x20, 0, 0x1a].repeat(300), "(component)");
    let half = std::thread::available_parallelism()
        .unwrap()
        .get()
        .div_ceil(2);
    for (background, nice) in [(true, 19), (false, 0)] {
        let loader = host.loader().background(background);
        let canceller = loader.canceller();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                eventually("it is compiled", || compiling() > 0);
                let is_lowered = |nices: &[i32]| nices.iter().all(|found| *found == nice);
                eventually("its threads have their priority", || {
                    is_lowered(&niceness("hart-compile"))
                });
                let threads = compiling();
                let others = niceness("hart-background");
                canceller.cancel();
                assert!(is_lowered(&others) && others.len() == usize::from(background));
                assert!(!background || threads <= half, "{threads}");
            });
            let error = loader.load(&many).unwrap_err();
            assert!(matches!(error, LoadError::Cancelled), "{error:?}");
        });
        eventually("the compiler gives up", || compiling() == 0);
    }
}

/// Fault: an import that nobody provides, told after all was compiled; one that is provided, called missing.
#[test]
fn a_missing_import_is_told_first() {
    let host = Host::builder()
        .workers(1)
        .cache(Cache::Off)
        .build()
        .unwrap();
    let missing = |imports: &str| {
        let bytes = endless(&format!("(component {imports})"));
        match host.loader().timeout(LONG).load(&bytes) {
            Err(LoadError::MissingImport { name, detail, .. }) => (name, detail),
            other => panic!("{other:?}"),
        }
    };
    let (name, _) = missing(r#"(import "acme:a/b@1.0.0" (instance (export "f" (func))))"#);
    assert_eq!(name, "acme:a/b@1.0.0");
    // After what is not an import, and of a wrong type.
    let (name, _) = missing(
        r#"(component $c) (instance $i (instantiate $c)) (export "i" (instance $i))
           (import "late" (func))"#,
    );
    assert_eq!(name, "late");
    let (name, detail) = missing(
        r#"(import "wasi:cli/environment@0.2.0" (instance
            (export "get-arguments" (func (result u8)))))"#,
    );
    assert!(
        name == "wasi:cli/environment@0.2.0" && !detail.is_empty(),
        "{name}: {detail}"
    );
    // Nothing is missing from one with as much code, but not as much work.
    let bytes = component(
        400,
        &[0x20, 0, 0x1a].repeat(150),
        r#"(component (import "wasi:cli/environment@0.2.0" (instance
            (export "get-arguments" (func (result (list string)))))))"#,
    );
    assert!(bytes.len() > 150 << 10);
    host.load(&bytes).unwrap();
}

/// Fault: text that wasmtime takes and hart does not: references to core items in the older form.
#[test]
fn text_is_as_wasmtime_reads_it() {
    let host = host();
    let text = r#"(component
        (core module $m
            (memory (export "mem") 1)
            (func (export "r") (param i32 i32 i32 i32) (result i32) (i32.const 0))
            (func (export "f") (param i32 i32)))
        (core instance $i (instantiate $m))
        (alias core export $i "f" (core func $f))
        (func (export "f") (param "s" string)
            (canon lift (core func $f) (memory $i "mem") (realloc (func $i "r")))))"#;
    host.load(text.as_bytes()).unwrap();
    let error = host.load(b"(component\n  (func))").unwrap_err();
    assert!(error.to_string().contains("(2:"), "{error}");
}

/// Fault: a core module that is loaded without being asked for, or not at all; one whose functions are lost where it is
/// compiled ahead of time; one that takes more memory than loading may.
#[test]
pub fn core_modules_are_loaded_where_they_are_allowed() {
    let text = br#"(module (func (export "add_one") (param i64) (result i64)
        (i64.add (local.get 0) (i64.const 1))))"#;
    let host = host();
    assert!(matches!(host.load(text), Err(LoadError::CoreModule)));
    let loader = host.loader().core_modules(true);
    let code = loader.precompile(text).unwrap();
    // SAFETY: made by this host just now.
    let compiled = unsafe { host.load_precompiled(&code) }.unwrap();
    for component in [loader.load(text).unwrap(), compiled] {
        assert_eq!(component.exports(), ["add_one"]);
        let run = host.invoke(&component, "add_one(41)").unwrap();
        let outcome = run.start().unwrap().wait().unwrap();
        assert_eq!(outcome.to_wave().unwrap(), "42");
    }
    let large = wat::parse_str(format!(
        "(module (memory 99) (data \"{}\"))",
        "x".repeat(1 << 20)
    ));
    let large = large.unwrap();
    let loader = host.loader().core_modules(true);
    loader.load(&large).unwrap();
    let refused = loader.max_memory(2 << 20).load(&large);
    assert!(matches!(refused, Err(LoadError::TooComplex(why)) if why.contains("core module")));
    let unusable = br#"(module (import "env" "f" (func)))"#;
    let refused = host.loader().core_modules(true).load(unusable);
    assert!(matches!(refused, Err(LoadError::UnusableModule(why)) if why.contains("`env` `f`")));
}
