//! Text for standard output and standard error, without what a terminal would obey.

use crate::writer;
use std::io::Write;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long a reader of standard error may take for a text of ours. Guessed.
const READER: Duration = Duration::from_secs(2);

/// Writes `text` to standard error in one call. Without a reader it is lost, and hart goes on. It comes after the lines of
/// the log.
pub(crate) fn to_stderr(text: &str) {
    if writer::takes(text) {
        return;
    }
    let (done, is_done) = mpsc::channel();
    let bytes = text.as_bytes().to_vec();
    let write = move || {
        let _ = std::io::stderr().lock().write_all(&bytes);
        let _ = done.send(());
    };
    // A thread waits for the reader. It ends with the process at the latest.
    match thread::Builder::new().spawn(write) {
        Ok(_) => drop(is_done.recv_timeout(READER)),
        Err(_) => drop(std::io::stderr().lock().write_all(text.as_bytes())),
    }
}

/// Writes `text` to standard output. A reader that went away (`hart .. | head`) is no error.
pub(crate) fn to_stdout(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

/// `text` without characters that a terminal obeys: our lines contain names and messages of guests.
/// Line breaks and tabs stay.
pub(crate) fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => clean.push(c),
            // Also the marks that change the direction of the text after them.
            c if c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                clean.extend(c.escape_default());
            }
            c => clean.push(c),
        }
    }
    clean
}

/// [`printable`], with every run of white space that holds a line break made one blank.
pub(crate) fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    printable(&lines.join(" ")).replace('\t', " ")
}
