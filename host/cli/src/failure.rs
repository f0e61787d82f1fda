//! How a command fails: one line for people, perhaps a backtrace of the guest, and an exit code.

use crate::output::{one_line, printable, to_stderr};
use std::fmt;
use std::path::Path;

/// Exit code for bad usage and bad input.
pub(crate) const USAGE: u8 = 2;

/// What the system keeps of a guest's exit code. A failure stays one.
pub(crate) fn exit_code(code: i32) -> u8 {
    // Truncated: the lowest byte is what is kept.
    let kept = (code & 0xff) as u8;
    kept.max(u8::from(code != 0))
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    line: String,
    detail: Option<String>,
    code: u8,
}

impl Failure {
    /// Bad usage or bad input: exit code 2. `line` names the thing and the way out.
    pub(crate) fn usage(line: impl fmt::Display) -> Self {
        Self::new(USAGE, line)
    }

    /// A failure with an exit code of its own.
    pub(crate) fn new(code: u8, line: impl fmt::Display) -> Self {
        Self {
            line: one_line(&line.to_string()),
            detail: None,
            code,
        }
    }

    /// Puts `path` in front of the line.
    pub(crate) fn at(mut self, path: &Path) -> Self {
        self.line = one_line(&format!("{}: {}", path.display(), self.line));
        self
    }

    /// Text that follows the line, such as a guest's backtrace.
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The process's exit code.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// Writes it to standard error. A closed standard error is ignored.
    pub(crate) fn report(&self) {
        let mut text = format!("hart: {}\n", self.line);
        if let Some(detail) = &self.detail {
            text.push_str(&printable(detail.trim_end_matches('\n')));
            text.push('\n');
        }
        to_stderr(&text);
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts a failure that becomes a success because its lowest byte is zero.
    #[test]
    fn exit_codes_keep_failures() {
        let codes = [0, 1, 7, 255, 256, 257, 512, -1, -256, i32::MIN, i32::MAX];
        assert_eq!(
            codes.map(exit_code),
            [0, 1, 7, 255, 1, 1, 1, 255, 1, 1, 255]
        );
    }

    /// Hunts guest-made text that breaks out of its line or drives the terminal.
    #[test]
    fn a_failure_is_one_printable_line() {
        let failure = Failure::usage("no\n  such\u{1b}[2J\r\n\u{202e}thing");
        assert_eq!(failure.to_string(), "no such\\u{1b}[2J \\u{202e}thing");
        assert_eq!(failure.code(), 2);
        assert_eq!(failure.at(Path::new("a\nb")).to_string().lines().count(), 1);
    }
}
