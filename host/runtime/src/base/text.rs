//! Text that came from a guest, made safe to show.

use std::fmt;

/// The longest text that is kept of a trap or a message, in bytes.
pub(crate) const MAX_TEXT: usize = 4096;
/// The longest name that is kept, in bytes.
pub(crate) const MAX_NAME: usize = 64;

/// One line of `text`: control characters (escape sequences and line breaks among them) and the
/// characters that change the direction of text are escaped, and at most 4096 bytes are kept.
pub(crate) fn line(text: &str) -> String {
    clean(text, MAX_TEXT, false)
}

/// Like [`line`], with line breaks kept.
pub(crate) fn lines(text: &str) -> String {
    clean(text, MAX_TEXT, true)
}

/// A name: one line of at most 64 bytes.
pub(crate) fn name(text: &str) -> String {
    clean(text, MAX_NAME, false)
}

/// What `shown` says, as [`lines`] would keep it. Only that much of it is ever made.
pub(crate) fn lines_of(shown: &impl fmt::Display) -> String {
    struct Bounded(String);
    impl fmt::Write for Bounded {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            // Enough for `clean` to see that something is missing.
            let room = (MAX_TEXT + 1).saturating_sub(self.0.len());
            let end = text.floor_char_boundary(room.min(text.len()));
            self.0.push_str(&text[..end]);
            if end < text.len() {
                Err(fmt::Error)
            } else {
                Ok(())
            }
        }
    }
    let mut bounded = Bounded(String::new());
    // An error says that there was more.
    let _ = fmt::write(&mut bounded, format_args!("{shown}"));
    lines(&bounded.0)
}

fn clean(text: &str, max: usize, breaks: bool) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    for c in text.chars() {
        let start = out.len();
        match c {
            '\n' if breaks => out.push(c),
            c if c.is_control() || changes_direction(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
        if out.len() > max {
            out.truncate(start);
            // Room for the mark was not reserved: the bound is about memory, not about columns.
            out.push('…');
            break;
        }
    }
    out
}

fn changes_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    // Fault: a guest's name or panic message that moves the cursor, clears the screen or forges a
    // second line of a log.
    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(line("a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(lines("a\nb\r"), "a\nb\\r");
        assert_eq!(line("a\u{202e}b"), "a\\u{202e}b");
    }

    // Fault: a display of gigabytes that is made whole before it is cut.
    #[test]
    fn what_is_not_kept_is_not_made() {
        struct Endless(std::cell::Cell<usize>);
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    self.0.set(self.0.get() + 1);
                    f.write_str("0123456789é\n")?;
                }
            }
        }
        let endless = Endless(std::cell::Cell::new(0));
        assert!(lines_of(&endless).len() <= MAX_TEXT + '…'.len_utf8());
        assert!(endless.0.get() < MAX_TEXT);
        assert_eq!(lines_of(&"a\nb"), "a\nb");
    }

    // Fault: a megabyte of name in every line of a trace.
    #[test]
    fn long_text_is_cut_at_a_character() {
        let text = "é".repeat(100);
        let cut = name(&text);
        assert!(cut.len() <= MAX_NAME + '…'.len_utf8());
        assert!(cut.ends_with('…'));
    }
}
