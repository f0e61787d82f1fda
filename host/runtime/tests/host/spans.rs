//! What a tracer is told.

use std::sync::{Arc, Mutex};

use hart_host::http::HeaderMap;
use hart_host::{Limits, Span, SpanEnd, SpanNote, SpanOf, Tracer};

use crate::support::*;

/// What was told, one line for each call, and what is to panic.
#[derive(Clone, Default)]
struct Told {
    lines: Arc<Mutex<Vec<String>>>,
    panics: Option<&'static str>,
    /// The depths of the task and those above it.
    path: String,
}

impl Told {
    fn says(&self, what: &str, line: &str) {
        let mut lines = self.lines.lock().unwrap();
        lines.push(format!("{}{line}", self.path));
        drop(lines);
        assert_ne!(self.panics, Some(what), "as planned");
    }

    fn below(&self, of: &SpanOf<'_>) -> Option<Arc<dyn Span>> {
        let SpanOf::Task {
            run_name, depth, ..
        } = of
        else {
            panic!("{of:?}");
        };
        self.says("begin", &format!("begin {run_name} {depth}"));
        let path = format!("{}{depth}/", self.path);
        Some(Arc::new(Self {
            path,
            ..self.clone()
        }))
    }
}

impl Tracer for Told {
    fn start(&self, of: &SpanOf<'_>) -> Option<Arc<dyn Span>> {
        self.below(of)
    }
}

impl Span for Told {
    fn child(self: Arc<Self>, of: &SpanOf<'_>) -> Option<Arc<dyn Span>> {
        self.below(of)
    }

    fn inject(&self, _headers: &mut HeaderMap) {
        panic!("nothing is sent");
    }

    fn note(&self, note: &SpanNote<'_>) {
        match note {
            // Where others keep the machine busy.
            SpanNote::Preempted => {}
            note => self.says("note", &format!("{note:?}")),
        }
    }

    fn end(&self, end: &SpanEnd<'_>) {
        let tasks = end.stats.map_or(0, |stats| stats().tasks);
        self.says("end", &format!("{} {:?} {tasks}", end.how, end.error));
    }
}

fn followed(panics: Option<&'static str>) -> Vec<String> {
    let told = Told {
        panics,
        ..Told::default()
    };
    let host = builder().workers(1).tracer(told.clone()).build().unwrap();
    let lab = lab(&host);
    let script = spawn(&say(b'x')).join(0).spawn(&trap()).join(1);
    // One more is refused.
    let limits = Limits::new().tasks(2);
    let script = script.spawn(&spin()).spawn(&spin());
    let start = run(&host, &lab, &script).name("run").limits(limits);
    start.start().unwrap().wait().unwrap();
    host.close();
    let mut lines = std::mem::take(&mut *told.lines.lock().unwrap());
    // The one that spins may be ended before it starts.
    lines.retain(|line| line != "0/1/Started");
    lines
}

/// Hunts spans that are not below what began them, ends that are missing or are told twice, and refusals that are not told.
#[test]
pub fn a_tracer_follows_tasks() {
    let lines = followed(None);
    let all: Vec<_> = lines.iter().map(String::as_str).collect();
    let [
        "begin run 0",
        "0/Started",
        "0/begin run 1",
        "0/1/returned None 0",
        "0/begin run 1",
        trapped,
        "0/begin run 1",
        refused,
        rest @ ..,
    ] = &all[..]
    else {
        panic!("{lines:#?}");
    };
    assert!(
        trapped.starts_with("0/1/trapped Some(") && trapped.ends_with(" 0"),
        "{trapped}"
    );
    assert!(refused.starts_with("0/LimitReached("), "{refused}");
    let mut rest = rest.to_vec();
    rest.sort();
    assert_eq!(rest, ["0/1/cancelled None 0", "0/returned None 4"]);
}

/// Hunts a run that a tracer's panic ends.
#[test]
fn a_tracer_that_panics_ends_nothing() {
    for panics in ["begin", "note", "end"] {
        let lines = followed(Some(panics));
        assert!(!lines.is_empty(), "{panics}");
    }
}
