//! What becomes a line, and what is counted for one that has not ended.

use std::sync::{Arc, Mutex};

use super::{LINE, Lines};
use crate::base::sync::lock;
use crate::quota::account::Account;
use crate::quota::account::payer::Payer;
use crate::quota::limits::Limits;
use crate::sched::core::Core;
use crate::wasi::stdio::Sink;
use crate::wasi::stdio::queue::Refused;

struct Bed {
    account: Arc<Account>,
    lines: Lines,
    written: Arc<Mutex<Vec<u8>>>,
    _core: Arc<Core>,
}

impl Bed {
    fn new(memory: u64) -> Self {
        let core = Core::new(1, None, None, None, None);
        let account = core.account(Limits::new().memory(memory), None);
        let written = Arc::default();
        let sink = Sink::Capture(Arc::clone(&written));
        Self {
            lines: Lines::new(&sink, &Payer::new(&account), "> ".into()),
            account,
            written,
            _core: core,
        }
    }

    fn put(&self, text: &str) -> Result<(), Refused> {
        self.lines.put(text.as_bytes())
    }

    /// What was written since.
    fn written(&self) -> String {
        String::from_utf8(std::mem::take(&mut lock(&self.written))).unwrap()
    }
}

/// Fault: a piece of a line that is written by itself, a prefix that is missing or too much.
#[test]
fn whole_lines_are_written() {
    let bed = Bed::new(1 << 20);
    for (text, written) in [
        ("one\n", "> one\n"),
        ("two\n\nthr", "> two\n> \n"),
        ("", ""),
        ("ee", ""),
        ("\n", "> three\n"),
        ("\r\nx\n", "> \r\n> x\n"),
    ] {
        bed.put(text).unwrap();
        assert_eq!(bed.written(), written, "{text:?}");
    }
    assert_eq!(bed.lines.adds_to(b"a\nb\nc"), 4);
    bed.put("the end").unwrap();
    bed.lines.end();
    bed.lines.end();
    assert_eq!(bed.written(), "> the end\n");
    bed.put("the very end").unwrap();
    let Bed { lines, written, .. } = bed;
    drop(lines);
    assert_eq!(*lock(&written), b"> the very end\n");
}

/// Fault: what is kept of a line counts for nobody, is not given back, or has no bound.
#[test]
fn what_is_kept_of_a_line_is_counted() {
    let bed = Bed::new(1 << 20);
    for _ in 0..100 {
        bed.put("0123456789").unwrap();
    }
    assert!(bed.account.memory() >= 1_000, "{}", bed.account.memory());
    bed.put("\n").unwrap();
    assert_eq!(bed.account.memory(), 0);
    assert_eq!(bed.written().len(), 2 + 1_000 + 1);
    // Never ended: cut, and what is kept is no more than a line.
    let part = "x".repeat(1_000);
    for _ in 0..100 {
        bed.put(&part).unwrap();
        assert!(bed.account.memory() <= LINE as u64 + 3);
    }
    bed.lines.end();
    assert_eq!(bed.account.memory(), 0);
    let lines: Vec<String> = bed.written().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line.len() <= 2 + LINE));
    assert_eq!(lines.concat().len(), 100_000 + 2 * 2);
}

/// Fault: a line that is kept although a limit forbids it.
#[test]
fn a_line_that_has_no_room_is_refused() {
    let bed = Bed::new(1_000);
    bed.put("begun ").unwrap();
    let refused = bed.put(&"x".repeat(2_000));
    assert!(matches!(refused, Err(Refused::Limit(_))));
    bed.lines.end();
    assert_eq!(bed.written(), "> begun \n");
    assert_eq!(bed.account.memory(), 0);
}
