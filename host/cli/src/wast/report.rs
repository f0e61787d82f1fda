//! What is said of a script.

use super::script::Verdict;
use crate::output::{to_stderr, to_stdout};

/// Exit code where a script failed.
pub(super) const FAILED: u8 = 1;

/// Tells what came of a script.
pub(super) fn report(shown: &str, verdict: &Verdict, under: &str) -> u8 {
    let count = verdict.directives;
    if verdict.failures.is_empty() {
        to_stdout(&format!("{shown}: ok, {count} directives{under}\n"));
        return 0;
    }
    for failure in &verdict.failures {
        to_stderr(&format!("{failure}\n"));
    }
    let failures = verdict.failures.len();
    to_stdout(&format!(
        "{shown}: FAILED, {failures} of {count} directives{under}\n"
    ));
    FAILED
}
