//! What hooks and subscribers are told.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use futures::executor::block_on;
use hart_host::{Event, Host, HostBuilder, LimitKind, Limits, RunError, TaskEnd};
use tracing::field::{Field, Visit};
use tracing::{Metadata, Subscriber, span};

use crate::live::PLUGIN;
use crate::support::*;

/// What a hook was told, one line for each event.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn on(&self, builder: HostBuilder) -> HostBuilder {
        let told = self.clone();
        builder.on(move |event| {
            let line = line(event);
            told.0.lock().unwrap().push(line);
        })
    }

    /// What was told since the last time.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn count(&self, what: &str) -> usize {
        let told = self.0.lock().unwrap();
        told.iter().filter(|line| line.contains(what)).count()
    }
}

fn line(event: &Event<'_>) -> String {
    let of = |task: &hart_host::TaskInfo<'_>| format!("{}/{}", task.run.name, task.depth);
    match event {
        Event::RunStarted(run) => format!("start {} {}", run.name, run.tenant.unwrap_or("-")),
        Event::RunEnded { run, stats, .. } => {
            assert_eq!((run.id, stats.tenant.as_deref()), (stats.id, run.tenant));
            format!("end {} {}", run.name, stats.tasks)
        }
        Event::TaskStarted(task) => format!("task {}", of(task)),
        Event::TaskEnded { task, end, .. } => format!("ended {} {end:?}", of(task)),
        Event::Preempted(task) => format!("preempted {}", of(task)),
        Event::LimitReached { task, limit, .. } => format!("limit {} {}", of(task), limit.limit),
        Event::InstanceMade(task) => format!("made {}", of(task)),
        Event::InstanceReused(task) => format!("reused {}", of(task)),
        Event::Replaced { name, .. } => format!("replaced {name}"),
        other => panic!("what is {other:?}?"),
    }
}

/// Hunts events that are not told, are told twice, or come after whoever waits was told.
#[test]
pub fn hooks_are_told_what_happens() {
    let told = Told::default();
    let host = told.on(builder().workers(1)).build().unwrap();
    let lab = lab(&host);
    let tenant = host.tenant().name("acme").build().unwrap();

    let script = Script::default().option(b'u', 0);
    let script = script.spawn(&say(b'x')).join(0).spawn(&say(b'y')).join(1);
    let start = run(&host, &lab, &script).name("warm").tenant(&tenant);
    start.start().unwrap().wait().unwrap();
    let mut lines = told.take();
    // Where others keep the machine busy.
    lines.retain(|line| !line.starts_with("preempted"));
    assert_eq!(
        lines,
        [
            "start warm acme",
            "task warm/0",
            "made warm/0",
            "task warm/1",
            "made warm/1",
            "ended warm/1 Returned",
            "task warm/1",
            "reused warm/1",
            "ended warm/1 Returned",
            "ended warm/0 Returned",
            "end warm 3",
        ]
    );

    let start = run(&host, &lab, &spawn(&trap()).join(0)).name("trap");
    start.start().unwrap().wait().unwrap();
    let lines = told.take();
    let trapped = |line: &&String| line.starts_with("ended trap/1 Trapped(");
    assert_eq!(lines.iter().filter(trapped).count(), 1, "{lines:?}");

    let start = run(&host, &lab, &spin()).name("cut");
    let cut = start.start().unwrap();
    eventually("it runs", || told.count("made cut/0") == 1);
    cut.cancel();
    let _ = cut.wait();
    let lines = told.take();
    let last = lines.last_chunk::<2>().unwrap();
    assert_eq!(last, &["ended cut/0 Cancelled", "end cut 1"]);
}

/// Hunts limits that nobody is told of: those that end a task, and those that refuse a spawn.
#[test]
fn hooks_are_told_of_limits() {
    let told = Told::default();
    let host = told.on(builder()).build().unwrap();
    let lab = lab(&host);
    let limits = Limits::new().tasks(1).memory(4 << 20);
    let script = spawn(&say(b'x')).grow_forever();
    let start = run(&host, &lab, &script).name("greedy").limits(limits);
    let error = start.start().unwrap().wait().unwrap_err();
    assert!(matches!(error, RunError::OutOfMemory(_)), "{error}");
    let (tasks, memory) = (LimitKind::Tasks, LimitKind::Memory);
    let lines = told.take();
    let limits: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("limit"))
        .collect();
    assert_eq!(
        limits,
        [
            &format!("limit greedy/0 {tasks}"),
            &format!("limit greedy/0 {memory}")
        ]
    );
}

/// Hunts preemptions that are told of a guest that has its core, and none of one that does not.
#[test]
fn hooks_are_told_of_preemptions() {
    for mode in MODES {
        let told = Told::default();
        let host = told
            .on(builder().workers(1).preemption(mode))
            .build()
            .unwrap();
        let lab = lab(&host);
        let spin = || run(&host, &lab, &spin()).name("spin").start().unwrap();
        let runs = [spin(), spin()];
        eventually("they take turns", || told.count("preempted spin/0") > 5);
        runs.iter().for_each(hart_host::Run::cancel);
        let stats: Vec<_> = runs.iter().map(hart_host::Run::canceller).collect();
        for run in runs {
            let _ = run.wait();
        }
        let counted: u64 = stats.iter().map(|run| run.stats().preemptions).sum();
        // The last one of each is told of if it was not ended in there.
        let told = told.count("preempted spin/0") as u64;
        assert!(
            told <= counted && told + 2 >= counted,
            "{told} of {counted}"
        );
    }
}

#[test]
fn hooks_are_told_of_a_new_version() {
    let told = Told::default();
    let host = told.on(builder()).build().unwrap();
    let component = host.load(PLUGIN.as_bytes()).unwrap();
    let plugins = host
        .replicas(&component, 1..=1)
        .instance(|each| each.name("plugin"));
    let plugins = block_on(plugins.start()).unwrap();
    block_on(plugins.replace(&component)).unwrap();
    assert_eq!(told.count("replaced plugin"), 1);
    assert_eq!(told.count("start plugin"), 2);
}

/// Hunts a hook that is called under a lock.
#[test]
fn a_hook_may_use_the_host() {
    let (host, told) = (Arc::new(Mutex::new(None::<Host>)), Told::default());
    let uses = host.clone();
    let builder = told.on(builder()).on(move |event| {
        let host = uses.lock().unwrap().clone();
        let Some(host) = host else { return };
        let _ = (host.stats(), host.groups(), host.settings(), host.pool());
        if let Event::TaskStarted(task) = event
            && (task.run.name, task.depth) == ("outer", 0)
        {
            let lab = lab(&host);
            let inner = run(&host, &lab, &say(b'x')).name("inner").waits(true);
            inner.start().unwrap().detach();
        }
    });
    let built = builder.build().unwrap();
    *host.lock().unwrap() = Some(built.clone());
    let lab = lab(&built);
    let script = spawn(&trap()).spawn(&fail()).join(0).join(1).spin();
    let outer = run(&built, &lab, &script).name("outer").start().unwrap();
    eventually("both have failed", || told.count("ended outer/1") == 2);
    outer.cancel();
    assert!(matches!(outer.wait(), Err(RunError::Cancelled)));
    eventually("the inner one ends", || told.count("end inner") == 1);
    *host.lock().unwrap() = None;
    eventually("nothing is left", || built.stats().live_runs == 0);
    assert_nothing_left(&built);
}

/// Hunts a run that suffers from a hook, and a hook that is called again and again.
#[test]
fn a_hook_that_panics_is_not_called_again() {
    let (calls, told) = (Arc::new(AtomicUsize::new(0)), Told::default());
    let counts = calls.clone();
    let panics = builder().on(move |event| {
        if matches!(
            event,
            Event::TaskEnded {
                end: TaskEnd::Returned,
                ..
            }
        ) {
            counts.fetch_add(1, Ordering::SeqCst);
            panic!("in a hook, on purpose");
        }
    });
    let host = told.on(panics).build().unwrap();
    let lab = lab(&host);
    for _ in 0..3 {
        assert_eq!(output(&host, &lab, &spawn(&say(b'x')).join(0)), "k(x)");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    // The others are.
    assert_eq!(told.count("ended"), 6);
    assert_nothing_left(&host);
}

/// Hunts a hook that holds up more than the thread that it is called on.
#[test]
fn a_hook_that_blocks_holds_up_one_worker() {
    let (hold, held) = channel::<()>();
    let (enter, entered) = channel();
    let (held, enter) = (Mutex::new(held), Mutex::new(enter));
    let host = builder().workers(2).on(move |event| {
        if matches!(event, Event::TaskStarted(task) if task.run.name == "held") {
            enter.lock().unwrap().send(()).unwrap();
            let _ = held.lock().unwrap().recv();
        }
    });
    let host = host.build().unwrap();
    let lab = lab(&host);
    let first = run(&host, &lab, &say(b'x')).name("held").start().unwrap();
    entered.recv_timeout(HANG).unwrap();
    for _ in 0..20 {
        assert_eq!(output(&host, &lab, &tree(3)), output(&host, &lab, &tree(3)));
    }
    assert!(!first.is_finished());
    drop(hold);
    assert_eq!(said(first.wait()).unwrap(), "x");
    assert_nothing_left(&host);
}

// === spans ===

thread_local! {
    /// The spans that this thread is in.
    static INSIDE: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Fields>>>);

#[derive(Clone, Debug, Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "hart::guest"
    }
    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        let mut fields = Fields::default();
        span.record(&mut fields);
        let mut spans = self.0.lock().unwrap();
        spans.push(fields);
        span::Id::from_u64(spans.len() as u64)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {}
    fn enter(&self, id: &span::Id) {
        INSIDE.with_borrow_mut(|inside| inside.push(id.into_u64()));
    }
    fn exit(&self, _: &span::Id) {
        INSIDE.with_borrow_mut(|inside| inside.pop());
    }
}

#[test]
fn what_guests_do_is_in_a_span() {
    passes_alone("events::by_a_subscriber");
}

/// Hunts a host call of which a subscriber cannot tell whose it is. The subscriber is that of the whole process.
#[test]
#[ignore = "run by the test above"]
fn by_a_subscriber() {
    let spans = Spans::default();
    tracing::subscriber::set_global_default(spans.clone()).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = seen.clone();
    let host = builder().imports(move |linker| {
        let sees = sees.clone();
        let mut environment = linker.instance("wasi:cli/environment@0.2.12")?;
        environment.func_wrap("get-environment", move |store, ()| {
            let inside = INSIDE.with_borrow(|inside| inside.last().copied());
            let state = store.data();
            let own = (state.run_id(), state.task_id(), state.depth());
            sees.lock().unwrap().push((inside, own));
            Ok((Vec::<(String, String)>::new(),))
        })
    });
    let host = host.build().unwrap();
    let lab = lab(&host);
    let tenant = host.tenant().name("acme").build().unwrap();
    let script = spawn(&sleep(5).count_environment())
        .count_environment()
        .join(0);
    let start = run(&host, &lab, &script).name("named").tenant(&tenant);
    start.start().unwrap().wait().unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    let spans = spans.0.lock().unwrap();
    for (span, (run, task, depth)) in &*seen {
        let span = span.expect("it is in a span");
        let fields = &spans[usize::try_from(span).unwrap() - 1].0;
        let field = |name| fields[name].trim_matches('"').to_owned();
        assert_eq!(field("tenant"), "acme");
        assert_eq!(field("run_name"), "named");
        let numbers = [run.to_string(), task.to_string(), depth.to_string()];
        assert_eq!([field("run"), field("task"), field("depth")], numbers);
    }
}
