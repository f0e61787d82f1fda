//! What the compiler says about functions that cannot be tasks.

#![allow(missing_docs, reason = "tests")]

#[test]
fn misuse_is_explained() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
