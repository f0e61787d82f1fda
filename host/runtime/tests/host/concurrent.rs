//! Components that use component-model async: on an engine of their own, under the same promises.

use crate::support::*;
use hart_host::{Component, Host, LoadError, Outcome, Preemption, RunError};
use wasmtime::component::Val;

/// A command of WASI 0.3, with two functions to invoke.
const COMMAND: &[u8] = include_bytes!("concurrent/command.wat");

const ADD: &[u8] = br#"(component
    (core module $m (func (export "f") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
    (core instance $i (instantiate $m))
    (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "f"))))"#;

fn invoke(host: &Host, component: &Component, wave: &str) -> Result<Outcome, RunError> {
    host.invoke(component, wave)
        .unwrap()
        .start()
        .unwrap()
        .wait()
}

/// Fault: a host that runs only one kind of component, or slows the others down by running them on the engine
/// for async ones.
#[test]
fn both_kinds_run_in_one_host() {
    for mode in MODES {
        let host = builder().preemption(mode).build().unwrap();
        let setting = |name: &str| {
            let found = host
                .settings()
                .into_iter()
                .find(|setting| setting.name == name);
            found.map(|setting| setting.value)
        };
        let add = host.load(ADD).unwrap();
        assert_eq!(setting("component-model-async").as_deref(), Some("off"));
        assert_eq!(setting("async-instances"), None);
        assert_eq!(host.pool().instances, 100);

        let command = host.load(COMMAND).unwrap();
        assert_eq!(setting("component-model-async").as_deref(), Some("on"));
        assert_eq!(setting("async-instances").as_deref(), Some("100"));
        assert_eq!(host.pool().instances, 200);
        let engine = |component: &Component| component.as_wasmtime().engine().clone();
        assert!(wasmtime::Engine::same(&engine(&add), host.engine()));
        assert!(!wasmtime::Engine::same(&engine(&command), host.engine()));
        let again = host.load(COMMAND).unwrap();
        assert!(wasmtime::Engine::same(&engine(&command), &engine(&again)));
        let later = host.load(ADD).unwrap();
        assert!(wasmtime::Engine::same(&engine(&later), host.engine()));

        assert!(command.is_command() && !add.is_command());
        for _ in 0..20 {
            let ended = host.command(&command).start().unwrap().wait().unwrap();
            assert_eq!(ended.exit_code, 0);
            let three = invoke(&host, &add, "add(1, 2)").unwrap();
            assert_eq!(three.results, [Val::U32(3)]);
            let later = invoke(&host, &command, "later(21)").unwrap();
            assert_eq!(later.results, [Val::U32(42)]);
            let now = invoke(&host, &command, "now(4)").unwrap();
            assert_eq!(now.results, [Val::U32(8)]);
        }
        assert_nothing_left(&host);
    }
}

/// Fault: compiled code of an async component that is taken for that of another kind, and refused.
#[test]
fn compiled_code_finds_its_engine() {
    let host = host();
    let compiled = host.precompile(COMMAND).unwrap();
    let plain = host.precompile(ADD).unwrap();
    let other = builder().build().unwrap();
    // SAFETY: both were compiled by `precompile` just now.
    let command = unsafe { other.load_precompiled(&compiled) }.unwrap();
    // SAFETY: as before.
    let add = unsafe { other.load_precompiled(&plain) }.unwrap();
    assert_eq!(
        invoke(&other, &command, "later(2)").unwrap().results,
        [Val::U32(4)]
    );
    assert_eq!(
        invoke(&other, &add, "add(1, 1)").unwrap().results,
        [Val::U32(2)]
    );
    let fuel = builder().preemption(Preemption::fuel()).build().unwrap();
    // SAFETY: as before.
    let refused = unsafe { fuel.load_precompiled(&compiled) }.unwrap_err();
    assert!(
        matches!(refused, LoadError::PreemptionMismatch { .. }),
        "{refused:?}"
    );
}

/// Race: a close against the load that makes the second engine, whose queue would then never be closed.
#[test]
fn a_closed_host_makes_no_second_engine() {
    for _ in 0..20 {
        let host = host();
        std::thread::scope(|scope| {
            let loading = scope.spawn(|| {
                let command = host.load(COMMAND)?;
                let run = host.command(&command).start();
                Ok(run.map(|run| run.wait()))
            });
            host.close();
            match loading.join().unwrap() {
                Err(LoadError::Closed)
                | Ok(Err(RunError::Closed) | Ok(Err(RunError::Closed) | Ok(_))) => {}
                other => panic!("{other:?}"),
            }
        });
        assert!(matches!(host.load(COMMAND), Err(LoadError::Closed)));
        assert_nothing_left(&host);
    }
}
