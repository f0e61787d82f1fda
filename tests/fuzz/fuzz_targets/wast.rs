//! Runs a script as `hart wast` does.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| hart_cli::fuzzing::wast(text));
