//! The trace format of Chrome, as JSON.

use std::fmt::Write as _;
use std::io;

/// Writes the trace format of Chrome, which Perfetto and `chrome://tracing` open: a row per thread,
/// slices, instants and arrows.
///
/// Times are nanoseconds here and microseconds in the file. All text is escaped. What a viewer needs of
/// the order: the slices of a row do not overlap, and both ends of an arrow lie in slices that were
/// written before it.
///
/// # Examples
///
/// ```
/// use hart_host::TraceWriter;
///
/// let mut trace = TraceWriter::new(Vec::new(), "machine");
/// trace.row(0, "worker 0");
/// trace.slice(0, "poll", "task 7", 1_500, 2_500, &[("group", "g")]);
/// trace.instant(0, "fault", "stall", 2_000);
/// trace.arrow(1, "wake", (0, 1_600), (0, 2_400));
/// let text = String::from_utf8(trace.finish()?).unwrap();
/// assert!(text.starts_with("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a trace is whole, and known to be written, after `finish`"]
pub struct TraceWriter<W> {
    to: W,
    /// The event that is being put together, before it is written whole.
    event: String,
    /// The first error; nothing is written after it.
    error: Option<io::Error>,
}

/// The one process that a trace is of.
const PROCESS: u32 = 1;

impl<W: io::Write> TraceWriter<W> {
    /// Begins a trace of the process called `process`. Errors show at [`finish`](Self::finish).
    pub fn new(to: W, process: &str) -> Self {
        let mut this = Self {
            to,
            event: String::from("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n"),
            error: None,
        };
        this.metadata("process_name", 0);
        this.quoted(process);
        this.event.push_str("}}");
        this.write();
        this
    }

    fn write(&mut self) {
        if self.error.is_none() {
            self.error = self.to.write_all(self.event.as_bytes()).err();
        }
        // Between two events; the last one has none behind it.
        self.event.clear();
        self.event.push_str(",\n");
    }

    fn quoted(&mut self, text: &str) {
        self.event.push('"');
        escape_json(text, &mut self.event);
        self.event.push('"');
    }

    fn time(&mut self, nanoseconds: u64) {
        let (whole, part) = (nanoseconds / 1_000, nanoseconds % 1_000);
        let _ = write!(self.event, "{whole}.{part:03}");
    }

    fn metadata(&mut self, what: &str, thread: u32) {
        let _ = write!(
            self.event,
            "{{\"ph\":\"M\",\"pid\":{PROCESS},\"tid\":{thread},\"name\":\"{what}\",\"args\":{{\"name\":"
        );
    }

    /// Thread 0 is what viewers call idle.
    fn thread(row: u32) -> u32 {
        row.saturating_add(1)
    }

    /// Names a row. Rows are shown in the order of their numbers.
    pub fn row(&mut self, row: u32, name: &str) {
        let thread = Self::thread(row);
        self.metadata("thread_name", thread);
        self.quoted(name);
        self.event.push_str("}}");
        self.write();
        let _ = write!(
            self.event,
            "{{\"ph\":\"M\",\"pid\":{PROCESS},\"tid\":{thread},\"name\":\"thread_sort_index\",\"args\":{{\"sort_index\":{row}}}}}"
        );
        self.write();
    }

    fn begin(&mut self, phase: char, row: u32, category: &str, name: &str, at: u64) {
        let thread = Self::thread(row);
        let _ = write!(
            self.event,
            "{{\"ph\":\"{phase}\",\"pid\":{PROCESS},\"tid\":{thread},\"cat\":"
        );
        self.quoted(category);
        self.event.push_str(",\"name\":");
        self.quoted(name);
        self.event.push_str(",\"ts\":");
        self.time(at);
    }

    /// Something that goes on from one time to another. It takes a nanosecond at least: viewers do not
    /// bind arrows to less.
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
        self.event.push_str(",\"dur\":");
        self.time(to.saturating_sub(from).max(1));
        self.args(args);
    }

    /// Says something of no row and of no time, which viewers pass over.
    pub fn about(&mut self, what: &str, args: &[(&str, &str)]) {
        let _ = write!(
            self.event,
            "{{\"ph\":\"M\",\"pid\":{PROCESS},\"tid\":0,\"name\":"
        );
        self.quoted(what);
        self.args(args);
    }

    /// Ends an event.
    fn args(&mut self, args: &[(&str, &str)]) {
        self.event.push_str(",\"args\":{");
        for (at, (key, value)) in args.iter().enumerate() {
            self.event.push_str(if at == 0 { "" } else { "," });
            self.quoted(key);
            self.event.push(':');
            self.quoted(value);
        }
        self.event.push_str("}}");
        self.write();
    }

    /// Something that happens at a time.
    pub fn instant(&mut self, row: u32, category: &str, name: &str, at: u64) {
        self.begin('i', row, category, name, at);
        self.event.push_str(",\"s\":\"t\"}");
        self.write();
    }

    /// An arrow from a row and a time to another; `id` is its own.
    pub fn arrow(&mut self, id: u64, name: &str, from: (u32, u64), to: (u32, u64)) {
        self.begin('s', from.0, "arrow", name, from.1);
        let _ = write!(self.event, ",\"id\":{id}}}");
        self.write();
        self.begin('f', to.0, "arrow", name, to.1);
        let _ = write!(self.event, ",\"bp\":\"e\",\"id\":{id}}}");
        self.write();
    }

    /// Ends the trace; gives back what it was written to, flushed.
    ///
    /// # Errors
    ///
    /// The first one of any write.
    pub fn finish(mut self) -> io::Result<W> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.to.write_all(b"\n]}\n")?;
        self.to.flush()?;
        Ok(self.to)
    }
}

/// Escapes text for a JSON string that may stand inside of HTML.
pub fn escape_json(text: &str, into: &mut String) {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts a disk that is full and a trace that counts as written.
    #[test]
    fn the_first_error_is_told() {
        let mut few = [0_u8; 120];
        let mut trace = TraceWriter::new(&mut few[..], "machine");
        for at in 0..10 {
            trace.instant(0, "fault", "stall", at);
        }
        assert!(trace.finish().is_err());
    }
}
