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

/// Fault: names of megabytes, which every frame of a backtrace would copy.
#[test]
fn endless_names_are_refused() {
    let host = host();
    let component = |name: String| {
        let text = format!("(component (core module (func ${name} unreachable)))");
        host.load(&wat::parse_str(text).unwrap())
    };
    assert!(component("f".repeat(16_000)).is_ok());
    let error = component("f".repeat(17_000)).unwrap_err().to_string();
    assert!(
        error.contains("17000 bytes") && error.contains("strip"),
        "{error}"
    );
}

/// Fault: native code out of a directory that others may write to.
#[test]
#[cfg(unix)]
fn a_cache_that_others_may_write_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = std::env::temp_dir().join(format!("hart-open-cache-{}", std::process::id()));
    for (mode, used) in [(0o777, false), (0o700, true)] {
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
#[cfg(unix)]
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
