//! Writes the trace format of Chrome, which Perfetto and `chrome://tracing` open: a row per thread, slices,
//! instants and arrows.
//!
//! Times are nanoseconds here and microseconds in the file. All text is escaped.

use std::fmt::Write;

/// A trace that is being written.
///
/// # Examples
///
/// ```
/// use hart_sim::chrome::Writer;
///
/// let mut trace = Writer::new("machine");
/// trace.row(0, "hart 0");
/// trace.slice(0, "poll", "task 7", 1_500, 2_500, &[("group", "g")]);
/// trace.instant(0, "fault", "stall", 2_000);
/// trace.arrow(1, "wake", (0, 1_600), (0, 2_400));
/// assert!(trace.finish().starts_with("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n"));
/// ```
#[derive(Debug)]
#[must_use = "the trace is what `finish` returns"]
pub struct Writer {
    text: String,
}

/// Escapes text for a JSON string that may stand inside of HTML.
pub fn escape(text: &str, into: &mut String) {
    for char in text.chars() {
        match char {
            '"' => into.push_str("\\\""),
            '\\' => into.push_str("\\\\"),
            // A `<` could end the script that the string is in.
            '\u{0}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '<'
            | '>'
            | '&'
            | '\u{2028}'
            | '\u{2029}' => {
                let _ = write!(into, "\\u{:04x}", u32::from(char));
            }
            _ => into.push(char),
        }
    }
}

impl Writer {
    /// Begins a trace of the process called `process`.
    pub fn new(process: &str) -> Self {
        let text = String::from("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
        let mut this = Self { text };
        this.name("process_name", 0, process);
        this
    }

    fn quoted(&mut self, text: &str) {
        self.text.push('"');
        escape(text, &mut self.text);
        self.text.push('"');
    }

    fn time(&mut self, nanoseconds: u64) {
        let (whole, part) = (nanoseconds / 1_000, nanoseconds % 1_000);
        let _ = write!(self.text, "{whole}.{part:03}");
    }

    fn name(&mut self, what: &str, row: u32, name: &str) {
        let _ = write!(
            self.text,
            "{{\"ph\":\"M\",\"pid\":1,\"tid\":{row},\"name\":\"{what}\",\"args\":{{\"name\":"
        );
        self.quoted(name);
        self.text.push_str("}},\n");
    }

    /// Names a row.
    pub fn row(&mut self, row: u32, name: &str) {
        self.name("thread_name", row, name);
    }

    fn begin(&mut self, phase: char, row: u32, category: &str, name: &str, at: u64) {
        let _ = write!(
            self.text,
            "{{\"ph\":\"{phase}\",\"pid\":1,\"tid\":{row},\"cat\":"
        );
        self.quoted(category);
        self.text.push_str(",\"name\":");
        self.quoted(name);
        self.text.push_str(",\"ts\":");
        self.time(at);
    }

    /// Something that goes on from one time to another.
    pub fn slice(
        &mut self,
        row: u32,
        category: &str,
        name: &str,
        from: u64,
        to: u64,
        args: &[(&str, &str)],
    ) {
        self.begin('X', row, category, name, from);
        self.text.push_str(",\"dur\":");
        self.time(to.saturating_sub(from));
        self.text.push_str(",\"args\":{");
        for (at, (key, value)) in args.iter().enumerate() {
            self.text.push_str(if at == 0 { "" } else { "," });
            self.quoted(key);
            self.text.push(':');
            self.quoted(value);
        }
        self.text.push_str("}},\n");
    }

    /// Something that happens at a time.
    pub fn instant(&mut self, row: u32, category: &str, name: &str, at: u64) {
        self.begin('i', row, category, name, at);
        self.text.push_str(",\"s\":\"t\"},\n");
    }

    /// An arrow from a row and a time to another; `id` is its own.
    pub fn arrow(&mut self, id: u64, name: &str, from: (u32, u64), to: (u32, u64)) {
        self.begin('s', from.0, name, name, from.1);
        let _ = writeln!(self.text, ",\"id\":{id}}},");
        self.begin('f', to.0, name, name, to.1);
        let _ = writeln!(self.text, ",\"bp\":\"e\",\"id\":{id}}},");
    }

    /// The whole file.
    pub fn finish(mut self) -> String {
        // The last line's comma.
        self.text.truncate(self.text.len() - 2);
        self.text.push_str("\n]}\n");
        self.text
    }
}
