//! What is wrong with a configuration file, all of it at once.

use crate::output::one_line;
use std::path::Path;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// All that was found in a text.
pub(super) struct Problems<'a> {
    text: &'a str,
    found: Vec<Problem>,
}

impl Problem {
    /// As it is told: `FILE:LINE: what; the way out`.
    pub(crate) fn show(&self, file: &Path) -> String {
        one_line(&format!("{}:{}: {}", file.display(), self.line, self.text))
    }
}

impl<'a> Problems<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let found = Vec::new();
        Self { text, found }
    }

    /// The line of the byte `at`; the first is 1.
    pub(super) fn line(&self, at: usize) -> usize {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    /// Notes what is wrong at the byte `at`.
    pub(super) fn add(&mut self, at: usize, text: impl Into<String>) {
        let line = self.line(at);
        let text = text.into();
        self.found.push(Problem { line, text });
    }

    /// All of them, in the order of the text.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|problem| problem.line);
        self.found.dedup();
        self.found
    }
}
