//! Nothing. If cargo builds a test, it uses the features of the tests, and so the same dependencies.
#![no_main]

libfuzzer_sys::fuzz_target!(|_data: &[u8]| {});
