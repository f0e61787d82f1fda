//! Settings of the embedder's own for wasmtime, before hart's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::*;
use hart_host::{BuildError, LoadError, Preemption, RunError};

const SIMD: &[u8] = br#"
    (component
        (core module $m (func (export "f") (result i32)
            (i32x4.extract_lane 0 (v128.const i32x4 7 0 0 0))))
        (core instance $i (instantiate $m))
        (func (export "f") (result u32) (canon lift (core func $i "f"))))
"#;

/// Fault: settings that are lost, on the one engine or on the other.
#[test]
pub fn the_embedders_settings_hold_on_both_engines() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counts = calls.clone();
    let host = builder().config(move |config| {
        counts.fetch_add(1, Ordering::Relaxed);
        config.wasm_simd(false).wasm_relaxed_simd(false);
    });
    let host = host.build().unwrap();
    let refused = host.load(SIMD).map(drop);
    assert!(matches!(refused, Err(LoadError::Invalid(_))), "{refused:?}");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    host.load(b"(component (core func (canon waitable-set.new)))")
        .unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    let simd = self::host().load(SIMD);
    assert!(simd.is_ok());
}

/// Fault: guests that cannot be preempted, or overflow the host's stack, because the embedder has said so.
#[test]
fn harts_settings_win() {
    for mode in MODES {
        let host = builder().preemption(mode).config(move |config| {
            let epochs = matches!(mode, Preemption::Epoch { .. });
            config.epoch_interruption(!epochs).consume_fuel(epochs);
            config.concurrency_support(true).shared_memory(true);
            config.async_stack_size(4 << 20).max_wasm_stack(4 << 20);
        });
        let host = host.build().unwrap();
        let lab = lab(&host);
        let spins = run(&host, &lab, &spin()).start().unwrap();
        eventually("it spins", || host.pool().stacks == 1);
        spins.cancel();
        assert!(matches!(spins.wait(), Err(RunError::Cancelled)));
        let deep = run(&host, &lab, &recurse()).start().unwrap().wait();
        assert!(deep.unwrap_err().to_string().contains("stack"));
        assert_nothing_left(&host);
    }
}

/// Fault: a host that runs nothing, and says so only when something is loaded.
#[test]
fn what_cannot_both_hold_is_refused() {
    let host = builder().config(|config| {
        config.wasm_component_model(false);
    });
    let refused = host.build().map(drop);
    assert!(matches!(refused, Err(BuildError::Config(_))), "{refused:?}");
    assert!(refused.unwrap_err().to_string().contains("hart's"));
}
