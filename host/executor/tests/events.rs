//! Trace events: a subscriber writes down what a worker does.
#![cfg(all(feature = "tracing", not(any(loom, shuttle))))]

mod common;

use common::{Wakers, on_machine, until_asleep};
use hart_executor::Worker;
use std::{
    collections::BTreeMap,
    fmt::Debug,
    future::{pending, poll_fn},
    sync::{Arc, Mutex},
    task::Poll,
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Line>>>);

/// An event's target, message and fields.
#[derive(Clone, Debug, Default)]
struct Line {
    target: String,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }
}

impl Log {
    /// The events since the last call: `what`, with its field `field`.
    fn take(&self, field: &str) -> Vec<String> {
        let lines = std::mem::take(&mut *self.0.lock().unwrap());
        let told = lines.iter().map(|line| {
            let what = &line.fields["message"];
            let field = line.fields.get(field).map_or("", |value| value);
            format!("{} {what} {field}", line.target)
        });
        told.collect()
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line {
            target: event.metadata().target().into(),
            ..Line::default()
        };
        event.record(&mut line);
        self.0.lock().unwrap().push(line);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Hunts: something that a worker does and nobody is told of.
#[test]
fn a_subscriber_is_told_what_a_worker_does() {
    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), || {
        let (executor, machine) = on_machine(1);
        let mut worker = Worker::new(&executor).unwrap();
        let wakers = Wakers::default();
        let theirs = wakers.clone();
        let mut polls = 0;
        let task = executor.spawn(poll_fn(move |cx| {
            polls += 1;
            match polls {
                1 => cx.waker().wake_by_ref(),
                2 => theirs.keep(cx),
                _ => return Poll::Ready(()),
            }
            Poll::Pending
        }));
        assert_eq!(worker.tick().polled, 2);
        let told = log.take("result");
        let expected = [
            "hart::worker steal ",
            "hart::task poll \"woken\"",
            "hart::task poll \"pending\"",
            "hart::worker tick ",
        ];
        assert_eq!(told, expected);

        // A worker that sleeps, is woken with a task, and goes on.
        until_asleep(&mut worker);
        wakers.take().pop().unwrap().wake();
        worker.run(task).unwrap().unwrap();
        let told = log.take("result");
        let expected = [
            "hart::worker sleep ",
            "hart::task wake ",
            "hart::worker wake ",
            "hart::worker steal ",
            "hart::task poll \"ready\"",
            "hart::worker tick ",
        ];
        assert_eq!(told, expected);

        // Cancelled before it is polled, and in its poll; a pass of `run`.
        executor.spawn(async {}).cancel();
        let other = Arc::new(Mutex::new(None::<hart_executor::TaskRef>));
        let its = other.clone();
        let this = executor.spawn(poll_fn(move |_| {
            its.lock().unwrap().as_ref().unwrap().cancel();
            Poll::<()>::Pending
        }));
        *other.lock().unwrap() = Some(this.task());
        let theirs = executor.clone();
        machine.on_park(move |_| theirs.close());
        assert!(worker.run(pending::<()>()).is_err());
        let told = log.take("result");
        let expected = [
            "hart::worker steal ",
            "hart::task poll \"skipped\"",
            "hart::task poll \"cancelled\"",
            "hart::worker tick ",
            "hart::worker sleep ",
            "hart::worker wake ",
        ];
        assert_eq!(told, expected);
    });
}

/// Hunts: fields that name another task or worker, or count wrongly.
#[test]
fn events_say_who_and_how_many() {
    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), || {
        let (executor, _machine) = on_machine(2);
        let mut workers = [(); 2].map(|()| Worker::new(&executor).unwrap());
        let tasks: Vec<_> = (0..3).map(|_| executor.spawn(async {})).collect();
        workers[1].tick();
        let lines = std::mem::take(&mut *log.0.lock().unwrap());
        let field = |message: &str, field: &str| -> Vec<String> {
            let of = lines
                .iter()
                .filter(|line| line.fields["message"] == message);
            of.map(|line| line.fields[field].clone()).collect()
        };
        assert_eq!(field("steal", "tasks"), ["3"]);
        assert_eq!(field("tick", "polled"), ["3"]);
        assert_eq!(field("tick", "worker"), ["1"]);
        let ids: Vec<_> = tasks.iter().map(|task| task.id().to_string()).collect();
        assert_eq!(field("poll", "task"), ids);
        assert_eq!(field("poll", "worker"), ["1"; 3]);
    });
}
