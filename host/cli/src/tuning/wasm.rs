//! The keys of `-W` that are about code: proposals on and off, stacks. Its limits are in `limits`.

use super::settings::Tuning;
use crate::keys::{Group, Key, always, required};
use crate::units::{size, switch};
use hart_host::HostBuilder;
use hart_host::wasmtime::Config;

const SEPARATE: &str = "use -W max-memory, which counts what all instances hold";
const IMPORTS: &str =
    "compose the guest with a component that provides its imports, with `wac plug`";

const EXPERIMENT: &str = "it is an experiment in wasmtime 48";
const ASYNC: &str = "of component-model async there is what WASI 0.3 needs";

/// A switch of wasmtime's.
macro_rules! switch {
    ($name:literal, $default:literal, $help:literal, $set:ident) => {
        Key {
            name: $name,
            value: "",
            default: $default.to_owned(),
            help: $help,
            set: |tuning, value| tuning.switch(value, Config::$set),
        }
    };
}

/// The proposals that `all-proposals` sets.
const ALL: [fn(&mut Config, bool) -> &mut Config; 15] = [
    Config::wasm_simd,
    Config::wasm_relaxed_simd,
    Config::wasm_bulk_memory,
    Config::wasm_multi_value,
    Config::wasm_tail_call,
    Config::wasm_multi_memory,
    Config::wasm_memory64,
    Config::wasm_wide_arithmetic,
    Config::wasm_extended_const,
    Config::wasm_reference_types,
    Config::wasm_function_references,
    Config::wasm_gc,
    Config::wasm_exceptions,
    Config::wasm_component_model_map,
    Config::wasm_component_model_fixed_length_lists,
];

/// Those keys.
pub(crate) fn group() -> Group<Tuning> {
    Group {
        flag: "-W",
        title: "-W KEY[=y|n][,KEY..]: WebAssembly's proposals, and how code behaves.",
        keys: vec![
            Key {
                name: "max-wasm-stack",
                value: "SIZE",
                default: "512KiB".into(),
                help: "Stack that a guest's code may use; one that needs more traps.",
                set: |tuning, value| match usize::try_from(size(required(value)?)?) {
                    Ok(bytes) if HostBuilder::WASM_STACK.contains(&bytes) => {
                        tuning.wasm_stack = Some(bytes);
                        Ok(())
                    }
                    _ => Err("a guest may have 4KiB to 1GiB of stack".into()),
                },
            },
            Key {
                name: "epoch-interruption",
                value: "",
                default: "y".into(),
                help: "Guests are preempted: --preempt says how.",
                set: |_, value| always(value, true, "use --preempt none or --preempt fuel"),
            },
            Key {
                name: "unknown-exports-allow",
                value: "",
                default: "y".into(),
                help: "A program may have exports that nobody knows: always.",
                set: |_, value| {
                    always(
                        value,
                        true,
                        "a guest may export what it likes; leave it out",
                    )
                },
            },
            Key {
                name: "component-model",
                value: "",
                default: "y".into(),
                help: "Components, which every guest is, or becomes.",
                set: |_, value| always(value, true, "every guest is a component; leave it out"),
            },
            Key {
                name: "component-model-async",
                value: "",
                default: "y".into(),
                help: "Functions that wait, as in WASI 0.3: for components that use them.",
                set: |_, value| {
                    always(
                        value,
                        true,
                        "a component that does not use it pays nothing for it; leave it out",
                    )
                },
            },
            Key {
                name: "all-proposals",
                value: "",
                default: "none is set".into(),
                help: "All proposals that have a key here and whose code is not experimental; keys after it win.",
                set: |tuning, value| {
                    let on = switch(value)?;
                    tuning.set(move |config| {
                        for set in ALL {
                            set(config, on);
                        }
                    });
                    Ok(())
                },
            },
            switch!(
                "nan-canonicalization",
                "n",
                "NaNs are the same on every machine.",
                cranelift_nan_canonicalization
            ),
            switch!(
                "bulk-memory",
                "y",
                "Bulk operations on memories and tables.",
                wasm_bulk_memory
            ),
            switch!(
                "multi-memory",
                "y",
                "More than one memory in a module.",
                wasm_multi_memory
            ),
            switch!(
                "multi-value",
                "y",
                "Functions and blocks with several results.",
                wasm_multi_value
            ),
            switch!(
                "reference-types",
                "y",
                "References to functions and host values.",
                wasm_reference_types
            ),
            switch!(
                "simd",
                "y",
                "Vectors of 128 bits; relaxed-simd=n goes with simd=n.",
                wasm_simd
            ),
            switch!(
                "relaxed-simd",
                "y",
                "Vector operations that differ between machines.",
                wasm_relaxed_simd
            ),
            switch!(
                "relaxed-simd-deterministic",
                "n",
                "Those operations compute the same on every machine.",
                relaxed_simd_deterministic
            ),
            switch!(
                "tail-call",
                "y",
                "Calls that take the caller's place.",
                wasm_tail_call
            ),
            switch!(
                "memory64",
                "y",
                "Memories with 64-bit addresses.",
                wasm_memory64
            ),
            switch!(
                "function-references",
                "y",
                "References to functions of a type.",
                wasm_function_references
            ),
            switch!("gc", "y", "Structs and arrays that are collected.", wasm_gc),
            switch!(
                "wide-arithmetic",
                "n",
                "Additions and multiplications of 128 bits.",
                wasm_wide_arithmetic
            ),
            switch!(
                "extended-const",
                "y",
                "Arithmetic in constants.",
                wasm_extended_const
            ),
            switch!("exceptions", "y", "Exceptions.", wasm_exceptions),
            switch!(
                "component-model-map",
                "n",
                "Maps.",
                wasm_component_model_map
            ),
            switch!(
                "component-model-fixed-length-lists",
                "n",
                "Lists of a fixed length.",
                wasm_component_model_fixed_length_lists
            ),
        ],
        refused: &[
            (
                "async-stack-size",
                "use -W max-wasm-stack; host functions have 1.5 MiB more",
            ),
            (
                "async-stack-zeroing",
                "no guest can read what another left on a stack",
            ),
            ("unknown-imports-trap", IMPORTS),
            ("unknown-imports-default", IMPORTS),
            ("wmemcheck", "build the guest with a sanitizer"),
            ("max-instances", SEPARATE),
            ("max-tables", SEPARATE),
            ("max-memories", SEPARATE),
            (
                "trap-on-grow-failure",
                "use -W max-memory, which ends the task and names the limit",
            ),
            (
                "threads",
                "a component's tasks run on every core: see `hart new`",
            ),
            (
                "shared-memory",
                "a guest that waits for it could not be preempted; tasks share by messages",
            ),
            (
                "shared-everything-threads",
                "a component's tasks run on every core: see `hart new`",
            ),
            (
                "component-model-threading",
                "a component's tasks run on every core: see `hart new`",
            ),
            ("component-model-more-async-builtins", ASYNC),
            ("component-model-async-stackful", ASYNC),
            ("component-model-error-context", ASYNC),
            ("component-model-memory64", EXPERIMENT),
            ("component-model-implements", EXPERIMENT),
            ("branch-hinting", EXPERIMENT),
            ("gc-support", "use -W gc=n"),
            (
                "component-model-gc",
                "wasmtime 48 has no code for it that runs",
            ),
            (
                "stack-switching",
                "a guest that switches stacks could not be preempted",
            ),
            (
                "custom-page-sizes",
                "its pools count memory in pages of 64 KiB",
            ),
            (
                "concurrency-support",
                "it is on for components that use component-model async, and off for all others",
            ),
        ],
    }
}
