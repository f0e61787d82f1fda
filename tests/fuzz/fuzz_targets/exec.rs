//! Compares what a guest sees of `hart:exec` with what a simple model allows.
//!
//! An input is a list of steps for one guest, two bytes each. For each task the model keeps a set of possible outcomes, because
//! a cancelled task may have ended before. What the guest reports must be in the set, and narrows it.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use hart_host::{Cache, Component, Host, Limits, Preemption, RunError, wasmtime::component::Val};
use libfuzzer_sys::fuzz_target;

/// The guest of hart-host's own tests: it does what a script says.
const LAB: &[u8] = include_bytes!("../../../host/runtime/tests/host/lab.wat");
/// A run that takes longer than this hangs.
const HANG: Duration = Duration::from_secs(15);
/// Handles that one script may have: each needs a digit.
const TASKS: usize = 9;
/// How deep spawns nest: children, and what `Leaves` leaves behind.
const DEPTH: u32 = 2;

/// Where scripts are run.
struct Ground {
    host: Host,
    lab: Component,
    slots: u32,
}

/// Both ways to preempt, with room for all tasks and with hardly any.
static GROUNDS: LazyLock<Vec<Ground>> = LazyLock::new(|| {
    let slice = Duration::from_millis(1);
    let modes = [
        Preemption::Epoch { slice },
        Preemption::Fuel { slice: 10_000 },
    ];
    let grounds = modes
        .iter()
        .flat_map(|mode| [100, 4].map(|slots| (*mode, slots)));
    grounds
        .map(|(mode, slots)| {
            let host = Host::builder()
                .workers(2)
                .instances(slots)
                .preemption(mode)
                .cache(Cache::Off)
                .limits(Limits::new().timeout(HANG).depth(DEPTH))
                .build()
                .expect("a host");
            let lab = host.load(LAB).expect("it loads");
            Ground { host, lab, slots }
        })
        .collect()
});

/// What a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Says,
    Fails,
    Traps,
    Yields,
    Sleeps,
    /// Leaves a task behind that spins.
    Leaves,
    /// Never ends by itself.
    Spins,
}

const KINDS: [Kind; 7] = [
    Kind::Says,
    Kind::Fails,
    Kind::Traps,
    Kind::Yields,
    Kind::Sleeps,
    Kind::Leaves,
    Kind::Spins,
];

impl Kind {
    fn script(self) -> Vec<u8> {
        match self {
            Self::Says => b"Ax".to_vec(),
            Self::Fails => b"F".to_vec(),
            Self::Traps => b"T".to_vec(),
            Self::Yields => b"YYYAx".to_vec(),
            Self::Sleeps => b"Z\x01Ax".to_vec(),
            Self::Leaves => b"S\x01\x00LAx".to_vec(),
            Self::Spins => b"L".to_vec(),
        }
    }

    /// What its joiner is told if nothing happens to it.
    fn natural(self) -> Option<&'static str> {
        match self {
            Self::Says | Self::Yields | Self::Sleeps | Self::Leaves => Some("k(x)"),
            Self::Fails => Some("f"),
            Self::Traps => Some("t"),
            Self::Spins => None,
        }
    }
}

/// What happens, in the guest's order.
#[derive(Clone, Copy, Debug)]
enum Event {
    Spawned {
        kind: Kind,
        timed: bool,
    },
    Refused,
    Cancelled(usize),
    Closed,
    /// The guest says what came of a task.
    Joined(usize),
    /// It says whether the task has ended.
    Finished(usize),
    /// It says which of the first so many tasks has ended.
    Any(usize),
    /// It says that its wait for a pollable is over.
    Polled,
    /// It says on how many workers it may run.
    Parallelism,
}

/// The script and what happens in it. No wait in it lasts forever.
struct Plan {
    /// So many tasks that never end leave room in the pool for one more: the root has a slot too, and a child is
    /// admitted where `DEPTH` slots are free.
    spare: usize,
    script: Vec<u8>,
    events: Vec<Event>,
    handles: Vec<Handle>,
    closed: bool,
    /// Later spawns have a timeout.
    timed: bool,
}

struct Handle {
    kind: Kind,
    /// It was cancelled or closed, or it has a timeout. What it leaves behind ends with it, in the queue for slots too.
    killed: bool,
    dropped: bool,
}

impl Handle {
    /// It takes a slot forever, or what it leaves behind does.
    fn stays(&self) -> bool {
        matches!(self.kind, Kind::Leaves | Kind::Spins) && !self.killed
    }
}

impl Plan {
    fn new(slots: u32) -> Self {
        Self {
            spare: usize::try_from(slots - 1 - DEPTH).expect("a small pool"),
            script: Vec::new(),
            events: Vec::new(),
            handles: Vec::new(),
            closed: false,
            timed: false,
        }
    }

    /// The task ends, by itself or by what happened before this step. By itself only if it gets a slot: children get
    /// theirs in the order of their spawns, so those before it may have taken too many.
    fn ends(&self, index: usize) -> bool {
        let handle = &self.handles[index];
        let before = self.handles[..index].iter();
        let stay = before.filter(|handle| handle.stays()).count();
        handle.killed || handle.kind.natural().is_some() && stay <= self.spare
    }

    /// Adds a step, if it can be done.
    fn step(&mut self, step: u8, argument: u8) {
        let index = usize::from(argument) % TASKS;
        let byte = u8::try_from(index).expect("a digit");
        let has_room = self.handles.len() < TASKS;
        let handle = self.handles.get(index);
        let named = handle.is_some_and(|handle| !handle.dropped);
        match step % 12 {
            0..3 if has_room => self.spawn(KINDS[usize::from(argument) % KINDS.len()]),
            3 | 4 if named && self.ends(index) => self.add(&[b'J', byte], Event::Joined(index)),
            5 if named => {
                self.handles[index].killed = true;
                self.add(&[b'X', byte], Event::Cancelled(index));
            }
            6 if named => {
                self.handles[index].dropped = true;
                self.script.extend_from_slice(&[b'D', byte]);
            }
            7 if named => self.add(&[b'I', byte], Event::Finished(index)),
            8 if named => {
                let mut first = self.handles[..=index].iter();
                let all_named = first.all(|handle| !handle.dropped);
                if all_named && (0..=index).any(|index| self.ends(index)) {
                    self.add(&[b'W', byte + 1], Event::Any(index + 1));
                }
            }
            9 if named && self.ends(index) => {
                self.handles[index].dropped = true;
                self.add(&[b'p', byte], Event::Polled);
            }
            10 => match argument % 8 {
                0 => {
                    self.closed = true;
                    let handles = self.handles.iter_mut();
                    handles.for_each(|handle| handle.killed = true);
                    self.add(b"C", Event::Closed);
                }
                1 => {
                    self.timed = true;
                    self.script.extend_from_slice(b"Ot");
                    self.script.extend_from_slice(&2_000_000_u64.to_le_bytes());
                }
                2 => self.add(b"H", Event::Parallelism),
                _ => self.script.push(b'Y'),
            },
            11 => self.script.extend_from_slice(&[b'Z', argument % 2]),
            _ => {}
        }
    }

    fn add(&mut self, step: &[u8], event: Event) {
        self.script.extend_from_slice(step);
        self.events.push(event);
    }

    fn spawn(&mut self, kind: Kind) {
        let child = kind.script();
        let length = u16::try_from(child.len()).expect("a short script");
        self.script.push(b'S');
        self.script.extend_from_slice(&length.to_le_bytes());
        self.script.extend_from_slice(&child);
        if self.closed {
            self.events.push(Event::Refused);
            return;
        }
        let timed = self.timed;
        self.events.push(Event::Spawned { kind, timed });
        self.handles.push(Handle {
            kind,
            killed: timed,
            dropped: false,
        });
    }
}

/// A task, as the model knows it.
struct Task {
    /// What a join may say. None: it would wait forever.
    outcomes: Vec<&'static str>,
    /// It was seen to have ended, so its outcome stays.
    ended: bool,
    joined: bool,
}

impl Task {
    fn may_become(&mut self, outcome: &'static str) {
        if !self.ended && !self.outcomes.contains(&outcome) {
            self.outcomes.push(outcome);
        }
    }
}

#[derive(Default)]
struct Model {
    tasks: Vec<Task>,
}

impl Model {
    /// Follows what the guest said at one event; what it said afterwards.
    fn follow<'a>(&mut self, event: Event, said: &'a str) -> Result<&'a str, String> {
        let after = |word: &str| {
            said.strip_prefix(word)
                .ok_or_else(|| format!("not {word}: {said}"))
        };
        let digit = || {
            let digit = said.chars().next().and_then(|letter| letter.to_digit(10));
            digit.map_or_else(
                || Err(format!("no digit: {said}")),
                |digit| Ok(digit as usize),
            )
        };
        match event {
            Event::Spawned { kind, timed } => {
                let natural = kind.natural().into_iter();
                let outcomes = natural.chain(timed.then_some("T")).collect();
                let (ended, joined) = (false, false);
                self.tasks.push(Task {
                    outcomes,
                    ended,
                    joined,
                });
                Ok(said)
            }
            Event::Refused => after("C"),
            Event::Cancelled(index) => {
                self.tasks[index].may_become("c");
                Ok(said)
            }
            Event::Closed => {
                self.tasks.iter_mut().for_each(|task| task.may_become("C"));
                Ok(said)
            }
            Event::Joined(index) => {
                let task = &mut self.tasks[index];
                if task.joined {
                    return after("a");
                }
                let outcome = task
                    .outcomes
                    .iter()
                    .find(|outcome| said.starts_with(**outcome));
                let outcome = outcome.ok_or_else(|| format!("{:?}: {said}", task.outcomes))?;
                (task.joined, task.ended) = (true, true);
                Ok(&said[outcome.len()..])
            }
            Event::Finished(index) => {
                let task = &mut self.tasks[index];
                match digit()? {
                    0 if !task.ended => {}
                    1 if !task.outcomes.is_empty() => task.ended = true,
                    _ => return Err(format!("ended: {}: {said}", task.ended)),
                }
                Ok(&said[1..])
            }
            Event::Any(count) => {
                let index = digit()?;
                let task = self.tasks[..count].get_mut(index);
                let task = task.filter(|task| !task.outcomes.is_empty());
                task.ok_or_else(|| format!("one that goes on: {said}"))?
                    .ended = true;
                Ok(&said[1..])
            }
            Event::Polled => after("p"),
            Event::Parallelism => after("1").or_else(|_| after("2")),
        }
    }

    fn follow_all(&mut self, events: &[Event], said: &str) -> Result<(), String> {
        let mut rest = said;
        for event in events {
            let followed = self.follow(*event, rest);
            rest = followed.map_err(|error| format!("{event:?}: {error}"))?;
        }
        after_all(rest)
    }
}

fn after_all(rest: &str) -> Result<(), String> {
    if rest.is_empty() {
        Ok(())
    } else {
        Err(format!("more was said: {rest}"))
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&[ground, cancels], steps)) = data.split_first_chunk() else {
        return;
    };
    let Ground { host, lab, slots } = &GROUNDS[usize::from(ground) % GROUNDS.len()];
    let mut plan = Plan::new(*slots);
    for step in steps.chunks_exact(2).take(60) {
        plan.step(step[0], step[1]);
    }
    let script = plan.script.iter().map(|byte| Val::U8(*byte)).collect();
    let run = host.call(lab, "script", vec![Val::List(script)]);
    let run = run.start().expect("it starts");
    if cancels % 8 == 1 {
        std::thread::sleep(Duration::from_micros(u64::from(cancels) * 4));
        run.cancel();
    }
    let shown = || String::from_utf8_lossy(&plan.script).into_owned();
    match run.wait() {
        Ok(outcome) => {
            let [Val::List(bytes)] = &outcome.results[..] else {
                panic!("a list: {:?}", outcome.results)
            };
            let bytes = bytes.iter().map(|byte| match byte {
                Val::U8(byte) => *byte,
                other => panic!("a byte: {other:?}"),
            });
            let said = String::from_utf8(bytes.collect()).expect("text");
            let followed = Model::default().follow_all(&plan.events, &said);
            assert!(followed.is_ok(), "{followed:?}: {:?} said {said}", shown());
        }
        Err(RunError::Cancelled) if cancels % 8 == 1 => {}
        Err(error) => panic!("{error}: {:?}", shown()),
    }
    let stats = host.stats();
    assert_eq!(
        (
            stats.live_guests,
            stats.live_runs,
            stats.queued_spawns,
            stats.pool.in_use
        ),
        (0, 0, 0, 0),
        "{stats:?}"
    );
});
