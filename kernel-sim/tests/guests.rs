//! Real guests on the machine.

use hart_host::http::{Method, uri::PathAndQuery};
use hart_sim::{
    Config, End, Fault, Faults, Guest, GuestOutcome, Rate, Request, Requests, Schedule, Seeds,
};
use std::time::Duration;

fn guest(name: &str) -> Guest {
    let file = hart_build::guest(name);
    Guest::new(&std::fs::read(file).unwrap())
        .unwrap()
        .name(name)
}

#[track_caller]
fn sound(run: GuestOutcome) -> hart_host::Outcome {
    if let Some(failure) = run.machine.failure {
        panic!("{failure}");
    }
    run.result.unwrap()
}

/// Runs one of `guests` for each of 200 seeds under heavy faults; how many ended well, and how many did not.
fn under_heavy_faults(guests: &[Guest]) -> (u32, u32) {
    let seeds = Seeds::new(0..200).faults(Faults::heavy());
    let (mut well, mut ill) = (0, 0);
    for seed in 0..200 {
        let guest = &guests[seed as usize % guests.len()];
        let run = guest.run(&seeds.config(seed)).unwrap();
        if let Some(failure) = run.machine.failure {
            panic!("seed {seed}: {failure}");
        }
        match run.result {
            Ok(_) => well += 1,
            Err(_) => ill += 1,
        }
    }
    (well, ill)
}

// Hunts whatever the oracles see, where everything happens to guests that can: they are cancelled, closed,
// trapped, refused a slot, and their harts stall, leave and come back.
#[test]
fn guests_under_heavy_faults() {
    let guests = [
        guest("tree").arg("5"),
        guest("pipeline").arg("3").arg("500"),
        guest("sleeper").arg("3").arg("5"),
        guest("hello"),
    ];
    let (well, ill) = under_heavy_faults(&guests);
    assert!(well > 20 && ill > 20, "{well} ended well, {ill} did not");
}

// The same for guests that wait with component-model async, whose joins are many in one store: joins that are lost with
// the task, wakes of an event loop that is frozen, stores that are dropped in the middle of it.
#[test]
fn async_guests_under_heavy_faults() {
    let directory = std::env::temp_dir().join(format!("hart-sim-words-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    for number in 0..12 {
        let text = format!("{number} words\n").repeat(200 * (number + 1));
        std::fs::write(directory.join(format!("{number}.txt")), text).unwrap();
    }
    let words = guest("wordcount-async").dir(&directory, "/d").arg("/d");
    for guest in [
        guest("pipeline-async").arg("3").arg("300"),
        guest("tree-async").arg("4"),
        words,
    ] {
        let (well, ill) = under_heavy_faults(&[guest]);
        assert!(well > 10 && ill > 10, "{well} ended well, {ill} did not");
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

// The same for services: clients leave at bad moments, and what they send comes late; instances are used again.
#[test]
fn services_under_heavy_faults() {
    let millisecond = Duration::from_millis(1);
    let get = |path: &'static str| Request::new(Method::GET, PathAndQuery::from_static(path));
    let requests = Requests::new()
        .random(
            Rate::new(3, millisecond),
            Duration::ZERO,
            4 * millisecond,
            get("/work/100"),
        )
        .random(
            Rate::new(2, millisecond),
            millisecond,
            4 * millisecond,
            get("/big/50000"),
        )
        .at(
            millisecond,
            get("/echo")
                .body(3_000)
                .body_rate(Rate::new(1_000, millisecond)),
        )
        .at(
            millisecond,
            get("/big/90000").read_rate(Rate::new(10_000, millisecond)),
        )
        .at(millisecond, get("/spin/9").leaves(millisecond));
    let seeds = Seeds::new(0..100).faults(Faults::heavy());
    for name in ["http-lab", "hello-http-async"] {
        let service = guest(name).serves(requests.clone());
        let mut ends = [0; 3];
        for seed in 0..100 {
            let run = service.run(&seeds.config(seed)).unwrap();
            if let Some(failure) = run.machine.failure {
                panic!("{name}, seed {seed}: {failure}");
            }
            for exchange in run.exchanges {
                ends[match exchange.end {
                    End::Answered => 0,
                    End::Left => 1,
                    _ => 2,
                }] += 1;
            }
        }
        assert!(ends.iter().all(|count| *count > 100), "{name}: {ends:?}");
    }
}

// Hunts faults that change what a guest computes, which only time should be changed by.
#[test]
fn guests_hold_up_under_harmless_faults() {
    let faults = "stall,slow,late,spurious,offline,jump".parse().unwrap();
    let seeds = Seeds::new(0..40).faults(faults);
    seeds.check(&guest("tree").arg("6"));
    seeds.check(&guest("sleeper").arg("2").arg("9"));
    seeds.check(&guest("futures").arg("50").arg("2"));
    let mut outputs = (0..10).map(|seed| {
        let pipeline = guest("pipeline").arg("3").arg("300");
        sound(pipeline.run(&seeds.config(seed)).unwrap()).stdout
    });
    let first = outputs.next().unwrap();
    assert!(outputs.all(|output| output == first));
}

// Hunts a sleep in real time, and a virtual clock that stands still: ten tasks sleep for an hour each, all at
// the same time.
#[test]
fn sleeps_take_the_machines_time() {
    const HOUR: u64 = 3_600_000_000_000;
    let sleeper = guest("sleeper").arg("3600000").arg("10");
    let run = sleeper.run(&Config::new(3)).unwrap();
    let makespan = run.machine.makespan;
    assert_eq!(sound(run).stdout, b"slept\n");
    assert!(
        (HOUR..HOUR + HOUR / 100).contains(&makespan),
        "{makespan} ns"
    );
}

// Hunts a wait that takes work for every future that waits: in-guest futures that sleep and are woken take work in
// proportion to how many they are. A list that all of them are in would take sixteen times as much for four times as
// many.
#[test]
fn in_guest_futures_scale() {
    let busy = |count: &str| {
        let mut config = Config::new(1);
        config.harts = 1;
        let run = guest("futures").arg(count).arg("4000").run(&config);
        let run = run.unwrap();
        let busy = run.machine.stats.harts[0].busy;
        assert!(sound(run).stdout.starts_with(count.as_bytes()));
        busy
    };
    let (some, many) = (busy("1000"), busy("4000"));
    assert!((some * 3..some * 6).contains(&many), "{some} and {many}");
}

// Hunts time that fuel does not take: twice the work takes about twice as long, and two harts half of it.
#[test]
fn fuel_takes_time() {
    let makespan = |numbers: &str, harts| {
        let mut config = Config::new(1);
        config.harts = harts;
        config.schedule = Schedule::Time;
        let pipeline = guest("pipeline").arg("5").arg(numbers);
        pipeline.run(&config).unwrap().machine.makespan
    };
    let (once, twice) = (makespan("1000", 1), makespan("2000", 1));
    assert!(
        (once * 18 / 10..once * 25 / 10).contains(&twice),
        "{once} and {twice}"
    );
    let halved = makespan("2000", 2);
    assert!(
        (twice / 2..twice * 7 / 10).contains(&halved),
        "{twice} and {halved}"
    );
}

// Hunts whatever makes two runs of a seed differ, in one process: output, statistics and every event.
#[test]
fn a_seed_does_the_same_every_time() {
    let mut drawn = 0;
    for seed in 0..20 {
        let mut config = Seeds::new(0..20).faults(Faults::heavy()).config(seed);
        config.keep_trace = true;
        let pipeline = guest("pipeline").arg("3").arg("300");
        let runs = [(); 2].map(|()| pipeline.run(&config).unwrap());
        assert_eq!(runs[0].machine.stats, runs[1].machine.stats);
        assert_eq!(runs[0].machine.trace, runs[1].machine.trace);
        let told = |run: &GuestOutcome| match &run.result {
            Ok(outcome) => String::from_utf8(outcome.stdout.clone()).unwrap(),
            Err(error) => error.to_string(),
        };
        assert_eq!(told(&runs[0]), told(&runs[1]));
        // The picture is well formed, and polls are in it.
        let trace: serde_json::Value =
            serde_json::from_str(&runs[0].machine.chrome_trace()).unwrap();
        let polls = trace["traceEvents"].as_array().unwrap().iter();
        drawn += polls.filter(|event| event["cat"] == "poll").count();
    }
    assert!(drawn > 100, "{drawn} polls were drawn");
}

// Hunts directories that are written to, and runs that do not say what they depend on.
#[test]
fn directories_are_read_only_and_named() {
    let directory = std::env::temp_dir().join(format!("hart-sim-read-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("a.txt"), "one two\nthree\n").unwrap();
    let words = guest("wordcount").dir(&directory, "/d").arg("/d");
    let run = words.run(&Config::new(1)).unwrap();
    assert!(
        run.depends_on[0].contains("hart-sim-read-"),
        "{:?}",
        run.depends_on
    );
    let output = String::from_utf8(sound(run).stdout).unwrap();
    assert!(output.contains("txt"), "{output}");
    let counter = guest("counter").dir(&directory, "/d").arg("/d/n");
    assert_eq!(
        counter
            .run(&Config::new(1))
            .unwrap()
            .result
            .unwrap()
            .exit_code,
        1
    );
    assert!(!directory.join("n").exists());
    std::fs::remove_dir_all(&directory).unwrap();
}

/// Grows its memory by a page as often as it can be called, and tells how often it was refused.
const GROWER: &str = r#"(component
    (core module $m
        (memory 1)
        (func (export "f") (param $left i32) (result i32)
            (local $refused i32)
            (loop $again
                (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1))
                    (then (local.set $refused (i32.add (local.get $refused) (i32.const 1)))))
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br_if $again (local.get $left)))
            (local.get $refused)))
    (core instance $i (instantiate $m))
    (func (export "refusals") (param "times" u32) (result u32) (canon lift (core func $i "f"))))"#;

// Hunts memory that only futures are refused: a guest's growth fails, it is told so and goes on; where its
// first memory is refused, it ends and nothing is left.
#[test]
fn guests_are_refused_memory() {
    let grower = Guest::new(GROWER.as_bytes())
        .unwrap()
        .invoke("refusals(400)");
    let refusals = |faults: Faults, seed| {
        let mut config = Config::new(seed);
        config.faults = faults;
        let run = grower.run(&config).unwrap();
        assert!(run.machine.failure.is_none(), "{:?}", run.machine.failure);
        run.result.ok().map(|ended| ended.to_wave().unwrap())
    };
    let alloc = Faults::of([Fault::Alloc]);
    let seen: Vec<_> = (0..20).map(|seed| refusals(alloc, seed)).collect();
    assert!(
        seen.iter().flatten().any(|refused| refused != "0"),
        "{seen:?}"
    );
    assert_eq!(refusals(Faults::none(), 0).unwrap(), "0");
    let tree = guest("tree").arg("6");
    let seeds = Seeds::new(0..30).faults(alloc);
    let ill = (0..30).filter(|&seed| {
        let run = tree.run(&seeds.config(seed)).unwrap();
        assert!(run.machine.failure.is_none(), "{:?}", run.machine.failure);
        run.result.is_err() || run.result.is_ok_and(|ended| ended.exit_code != 0)
    });
    assert!(ill.count() > 5);
}
