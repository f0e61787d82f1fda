//! Bytes that are not what they should be.

use crate::support::*;
use hart_host::{Cache, CallError, LoadError, Preemption};

const ADD: &str = r#"(component
    (core module $m (func (export "f") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
    (core instance $i (instantiate $m))
    (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "f"))))"#;

/// Fault: bad input that is reported as something else, with several lines, or with a panic.
#[test]
fn everything_else_is_named() {
    let host = host();
    let binary = wat::parse_str(ADD).unwrap();
    let compiled = host.precompile(ADD.as_bytes()).unwrap();
    let check = |bytes: &[u8], expected: fn(&LoadError) -> bool| {
        let error = host.load(bytes).unwrap_err();
        assert!(expected(&error), "{error:?}");
        assert!(!error.to_string().contains('\n'), "{error}");
    };
    check(b"", |e| matches!(e, LoadError::Empty));
    check(b" \n\t", |e| matches!(e, LoadError::Empty));
    check(b"\0as", |e| matches!(e, LoadError::Truncated));
    check(&binary[..8 + 3], |e| matches!(e, LoadError::Truncated));
    check(&binary[..binary.len() / 2], |e| {
        matches!(e, LoadError::Truncated)
    });
    check(b"MZ\x90\0 something else", |e| {
        matches!(e, LoadError::NotWasm)
    });
    check("hello".as_bytes(), |e| matches!(e, LoadError::NotWasm));
    check(b"(component", |e| matches!(e, LoadError::Invalid(_)));
    check(b"(component (func (export \"f\")))", |e| {
        matches!(e, LoadError::Invalid(_))
    });
    check(b"(module)", |e| matches!(e, LoadError::CoreModule));
    check(&wat::parse_str("(module)").unwrap(), |e| {
        matches!(e, LoadError::CoreModule)
    });
    check(&compiled, |e| matches!(e, LoadError::Precompiled));
    check(
        br#"(component (import "wasi:cli/stdout@0.3.0-rc-2025-09-16" (instance (export "f" (func)))))"#,
        |e| matches!(e, LoadError::Wasi03(what) if what == "wasi:cli/stdout@0.3.0-rc-2025-09-16"),
    );
    check(
        br#"(component (import "acme:things/stuff@1.0.0" (instance (export "f" (func)))))"#,
        |e| matches!(e, LoadError::MissingImport { name, .. } if name == "acme:things/stuff@1.0.0"),
    );
    check(
        br#"(component (core module $m (table 1000000 funcref)) (core instance (instantiate $m)))"#,
        |e| matches!(e, LoadError::TooBig(_)),
    );
    // Limits of the parser are not those of the pool.
    let doubled: String = (1..25)
        .map(|level| {
            format!(
                "(type $t{level} (tuple $t{below} $t{below}))",
                below = level - 1
            )
        })
        .collect();
    let doubled = format!("(component (type $t0 (tuple u8 u8)) {doubled})");
    check(
        doubled.as_bytes(),
        |e| matches!(e, LoadError::Invalid(said) if said.contains("limit of 1000000")),
    );
    let missing = host.load_file("/no/such/file.wasm").unwrap_err();
    assert!(
        matches!(&missing, LoadError::Read { .. })
            && missing.to_string().contains("/no/such/file.wasm")
    );
    assert!(matches!(host.load_file("/"), Err(LoadError::Read { .. })));
}

/// Fault: random bytes that get past the checks, with and without a valid beginning.
#[test]
fn random_bytes_never_panic() {
    let host = host();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..2000_usize {
        let mut bytes: Vec<u8> = (0..round % 100)
            .map(|_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                (random >> 32) as u8
            })
            .collect();
        if round % 2 == 0 {
            bytes.splice(0..0, *b"\0asm\x0d\0\x01\0");
        }
        let _ = host.load(&bytes);
    }
}

/// Fault: a corrupted component that panics the loader, or that loads and then breaks the host.
#[test]
fn flipped_bits_never_panic() {
    let host = host();
    let lab_binary = wat::parse_bytes(include_bytes!("lab.wat"))
        .unwrap()
        .into_owned();
    let add_binary = wat::parse_str(ADD).unwrap();
    let every_bit_of_the_small_one = (0..add_binary.len() * 8).map(|bit| (&add_binary, bit));
    let some_of_the_big_one = (0..lab_binary.len() * 8)
        .step_by(41)
        .map(|bit| (&lab_binary, bit));
    let mut loaded = 0;
    for (binary, bit) in every_bit_of_the_small_one.chain(some_of_the_big_one) {
        let mut bytes = binary.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        match host.load(&bytes) {
            Ok(component) if binary.len() == add_binary.len() => {
                loaded += 1;
                // It may do anything but break the host.
                if let Ok(run) = host.invoke(&component, "add(1, 2)") {
                    let _ = run
                        .limits(
                            hart_host::Limits::new().timeout(std::time::Duration::from_millis(200)),
                        )
                        .start()
                        .unwrap()
                        .wait();
                }
            }
            Ok(_) => loaded += 1,
            Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
        }
    }
    assert!(
        loaded > 0,
        "no flip was harmless: the test does not test what it should"
    );
    assert_nothing_left(&host);
}

/// Fault: native code of another mode that is run, or refused without a word about the mode.
#[test]
fn compiled_code_must_fit_the_host() {
    let epoch = host();
    let fuel = builder().preemption(Preemption::fuel()).build().unwrap();
    let none = builder().preemption(Preemption::None).build().unwrap();
    let compiled = epoch.precompile(ADD.as_bytes()).unwrap();
    // SAFETY: the bytes come from `precompile` just now.
    let component = unsafe { epoch.load_precompiled(&compiled) }.unwrap();
    let outcome = epoch
        .invoke(&component, "add(40, 2)")
        .unwrap()
        .start()
        .unwrap()
        .wait()
        .unwrap();
    assert_eq!(outcome.to_wave().unwrap(), "42");
    for other in [&fuel, &none] {
        // SAFETY: as above; it is refused before it is used.
        let error = unsafe { other.load_precompiled(&compiled) }.unwrap_err();
        assert!(
            matches!(error, LoadError::PreemptionMismatch { host } if host == other.preemption().mode()),
            "{error:?}"
        );
    }
    // SAFETY: not compiled code at all, which is refused.
    let error = unsafe { epoch.load_precompiled(ADD.as_bytes()) }.unwrap_err();
    assert!(matches!(error, LoadError::NotPrecompiled), "{error:?}");
    // A version that no wasmtime has: its own mark is in the first kilobytes.
    let mut other_version = compiled.clone();
    let at = other_version
        .windows(2)
        .position(|pair| pair == b"48")
        .expect("the version");
    other_version[at..at + 2].copy_from_slice(b"47");
    // SAFETY: refused, because of its version.
    let error = unsafe { epoch.load_precompiled(&other_version) }.unwrap_err();
    assert!(matches!(error, LoadError::Incompatible(_)), "{error:?}");
}

/// Fault: calls that panic, or that are misread.
#[test]
fn calls_in_wave_are_checked() {
    let host = host();
    let component = host.load(ADD.as_bytes()).unwrap();
    let refused = |wave: &str| host.invoke(&component, wave).map(|_| ()).unwrap_err();
    for wave in [
        "",
        "add(",
        "add(1,",
        "add 1 2",
        "(1)",
        "add(1, 2) add(3, 4)",
    ] {
        assert!(matches!(refused(wave), CallError::Syntax(_)), "{wave}");
    }
    for wave in [
        "add",
        "add()",
        "add(1)",
        "add(1, 2, 3)",
        "add(1, \"x\")",
        "add(1, -2)",
        "add(1, 99999999999)",
    ] {
        let error = refused(wave);
        assert!(
            matches!(error, CallError::Arguments(_) | CallError::Syntax(_)),
            "{wave}: {error:?}"
        );
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    assert!(
        matches!(refused("sub(1, 2)"), CallError::NoExport { exports, .. } if exports == ["add"])
    );
    assert_eq!(component.exports(), ["add"]);
    assert!(!component.is_command() && !component.has_entry());
    assert!(lab(&host).has_entry());
}

/// Fault: names of megabytes, which every frame of a backtrace would copy; a program that is refused for its names, as
/// what C++ compilers make was.
#[test]
fn endless_names_are_dropped() {
    let host = host();
    let backtrace = |name: String| {
        let text = format!(
            r#"(component
                (core module $m (func ${name} unreachable) (export "f" (func ${name})))
                (core instance $i (instantiate $m))
                (func (export "f") (canon lift (core func $i "f"))))"#
        );
        let component = host.load(&wat::parse_str(text).unwrap()).unwrap();
        let run = host.invoke(&component, "f()").unwrap();
        match run.start().unwrap().wait() {
            Err(hart_host::RunError::Trapped { backtrace, .. }) => backtrace,
            other => panic!("{other:?}"),
        }
    };
    assert!(backtrace("f".repeat(500)).contains("fffff"));
    let without = backtrace("f".repeat(17_000));
    assert!(
        !without.contains("fffff") && without.contains("wasm function 0"),
        "{without}"
    );
}

/// Fault: native code out of a directory that others may write to.
#[test]
fn a_cache_that_others_may_write_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = std::env::temp_dir().join(format!("hart-open-cache-{}", std::process::id()));
    for (mode, used) in [
        (0o777, false),
        (0o755, false),
        (0o710, false),
        (0o700, true),
    ] {
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(mode)).unwrap();
        let cache = Cache::Directory(directory.clone());
        let host = builder().cache(cache).build().unwrap();
        lab(&host);
        drop(host);
        let kept = std::fs::read_dir(&directory).unwrap().count() > 0;
        assert_eq!(kept, used, "{mode:o}");
        let now = std::fs::metadata(&directory).unwrap().permissions().mode();
        assert_eq!(now & 0o777, mode);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}

/// Fault: native code out of a directory that a link leads to, which others may have placed; out of a file that others may
/// write, or in a place that a link in the path leads to later on.
#[test]
fn a_cache_is_where_it_was_found_to_be() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    let base = std::env::temp_dir().join(format!("hart-linked-cache-{}", std::process::id()));
    let path = |name: &str| base.join(name);
    let made = |name: &str| {
        let path = path(name);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    };
    let entries = |name: &str| std::fs::read_dir(path(name)).unwrap().count();
    let host = |name: &str| {
        let cache = Cache::Directory(path(name));
        builder().cache(cache).build().unwrap()
    };
    made("own");
    made("other");
    symlink(path("own"), path("link")).unwrap();
    std::fs::write(path("file"), "").unwrap();
    for name in ["link", "link/", "link/.", "file"] {
        lab(&host(name));
        assert_eq!(entries("own"), 0, "{name}");
    }
    // A link on the way there is followed once.
    made("own/cache");
    symlink(path("own"), path("way")).unwrap();
    let there = host("way/cache");
    std::fs::remove_file(path("way")).unwrap();
    made("other/cache");
    symlink(path("other"), path("way")).unwrap();
    lab(&there);
    assert_eq!((entries("own/cache"), entries("other/cache")), (1, 0));

    let mut files = std::fs::read_dir(path("own/cache")).unwrap();
    let entry = files.next().unwrap().unwrap().path();
    let mode = |mode| {
        std::fs::set_permissions(&entry, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o622);
    lab(&there);
    let now = std::fs::metadata(&entry).unwrap().permissions().mode();
    assert_eq!(now & 0o777, 0o600, "it was made anew");
    std::fs::remove_dir_all(&base).unwrap();
}

/// Fault: what the loader knows of a component and compiled code does not say: how many stacks and slots it takes,
/// whether it has a heap, what its bookkeeping takes; code for another kind of pool that is told to be of another
/// version.
#[test]
fn compiled_code_says_what_it_needs() {
    let leaf = |name: &str| {
        format!(
            r#"(component ${name} (core module $m (memory 1) (func (export "f")))
                (core instance $i (instantiate $m))
                (func (export "f") (canon lift (core func $i "f"))))"#
        )
    };
    let instances = "(instance (instantiate $c))".repeat(40);
    let globals = "(global i64 (i64.const 0))".repeat(20_000);
    let async_type = "(type (func async))";
    let text = format!(
        r#"(component {async_type} {} {instances}
            (core module $g {globals} (type (struct)) (func (export "f")))
            (core instance $g (instantiate $g))
            (func (export "f") (canon lift (core func $g "f"))))"#,
        leaf("c")
    );
    for profile in [hart_host::Profile::Fast, hart_host::Profile::Dense] {
        let host = builder().profile(profile).build().unwrap();
        let code = host.precompile(text.as_bytes()).unwrap();
        assert!(hart_host::Host::is_precompiled(&code));
        // SAFETY: compiled just now.
        let precompiled = unsafe { host.load_precompiled(&code) }.unwrap();
        let loaded = host.load(text.as_bytes()).unwrap();
        let memory = |component: &hart_host::Component| {
            let run = host.invoke(component, "f()").unwrap().start().unwrap();
            run.wait().unwrap().stats.peak_memory
        };
        let in_use = |component: &hart_host::Component| {
            let (tell, told) = std::sync::mpsc::channel();
            let its = host.clone();
            let run = host.drive(component, move |_, _| {
                let _ = tell.send(its.pool().in_use);
                Box::pin(async { Ok(Vec::new()) })
            });
            let run = run.start().unwrap();
            let in_use = told.recv().unwrap();
            run.wait().unwrap();
            in_use
        };
        assert!(in_use(&loaded) > 20, "{}", in_use(&loaded));
        assert_eq!(in_use(&precompiled), in_use(&loaded));
        assert!(memory(&loaded) > 20_000 * 16);
        assert_eq!(memory(&precompiled), memory(&loaded));
        let other = match profile {
            hart_host::Profile::Fast => hart_host::Profile::Dense,
            _ => hart_host::Profile::Fast,
        };
        let other = builder().profile(other).build().unwrap();
        // SAFETY: as above; it is refused before it is used.
        let error = unsafe { other.load_precompiled(&code) }.unwrap_err();
        assert!(
            matches!(&error, LoadError::Incompatible(said) if said.contains("profile")),
            "{error:?}"
        );
    }
}
