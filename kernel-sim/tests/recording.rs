//! What is recorded of a machine is done again on others: by every task, to its end.

use hart_sim::{Change, Config, Recording, Workload, run};

/// Hunts a task that waits for a wake that never comes again, one that is started by nobody, and time that is lost on the
/// way: whatever the recording is of, and however many harts replay it.
#[test]
fn every_workload_is_replayed_to_its_end() {
    for seed in 0..150 {
        let mut config = Config::new(seed);
        config.harts = 1 + seed as usize % 5;
        config.keep_trace = true;
        let workload = Workload::draw(seed);
        let trace = run(&config, |sim| workload.start(sim)).chrome_trace();
        let Ok(recording) = Recording::read(trace.as_bytes()) else {
            // Everything was cancelled before it began.
            assert!(!trace.contains("\"cat\":\"poll\""), "seed {seed}");
            continue;
        };
        for harts in [1, 3] {
            config.harts = harts;
            let replay = recording.replay(&config, &Change::default());
            let machine = replay.machine;
            assert!(
                machine.failure.is_none(),
                "seed {seed}: {:?}",
                machine.failure
            );
            assert_eq!(machine.stats.tasks, recording.tasks() as u64, "seed {seed}");
            let busy = machine.stats.total().busy;
            assert!(
                busy >= recording.busy(),
                "seed {seed}: {busy} of {}",
                recording.busy()
            );
        }
    }
}

/// Hunts a replay whose order follows from something else than who woke whom: a chain of wakes, and one task that waits for
/// something outside.
#[test]
fn tasks_wait_for_those_that_woke_them() {
    let poll = |task: u32, hart: u32, from: u32, dur: u32| {
        format!(
            r#"{{"ph":"X","tid":{hart},"cat":"poll","name":"t{task}","ts":{from}.000,"dur":{dur}.000,"args":{{"task":"{task}","run":"1","waited":"0 ns"}}}},"#
        )
    };
    let arrow = |id: u32, from: (u32, u32), to: (u32, u32)| {
        [("s", from), ("f", to)].map(|(phase, (hart, at))| {
            format!(r#"{{"ph":"{phase}","tid":{hart},"cat":"arrow","name":"wake","ts":{at}.000,"id":{id}}},"#)
        })
    };
    let mut lines = vec![r#"{"traceEvents":["#.to_owned()];
    // 1 starts 2 after 100 µs, and 2 wakes 1 when it has computed 300 µs; 1 then computes 50 µs, and 500 µs later 10 more.
    lines.extend([
        poll(1, 1, 0, 200),
        poll(2, 2, 100, 400),
        poll(1, 1, 400, 50),
        poll(1, 1, 950, 10),
    ]);
    // Queued when it was polled: the arrows say where.
    lines.extend(arrow(1, (1, 100), (2, 100)));
    lines.extend(arrow(2, (2, 400), (1, 400)));
    let text = lines.join("\n").trim_end_matches(',').to_owned() + "\n]}\n";
    let recording = Recording::read(text.as_bytes()).unwrap();
    let mut config = Config::new(0);
    config.schedule = hart_sim::Schedule::Time;
    let takes = |harts: usize| {
        let mut config = config.clone();
        config.harts = harts;
        recording
            .replay(&config, &Change::default())
            .machine
            .makespan
    };
    // The whole chain, and not much more: 100 + 300 + 50 + 500 + 10 µs.
    let (one, two) = (takes(1), takes(2));
    assert!((960_000..1_100_000).contains(&two), "{two}");
    // One core computes 660 µs, and waits for 500: it computes meanwhile, 100 µs of `t2`.
    assert!(one > two && one < 1_300_000, "{one}");
}
