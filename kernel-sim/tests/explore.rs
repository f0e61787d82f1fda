//! Many seeds of executor workloads: the promises hold, whatever goes wrong and whoever goes first.

use hart_sim::{Case, Faults, Stats, Template, shrink};

/// Runs the seeds; what all of them did.
fn explore(faults: Faults, seeds: std::ops::Range<u64>) -> Vec<Stats> {
    let mut template = Template::default();
    template.faults = faults;
    let run = |seed| {
        let case = template.case(seed);
        let outcome = case.run();
        if let Some(failure) = &outcome.failure {
            let (smaller, shown) = shrink(&case, failure, 200);
            panic!(
                "seed {seed}: {failure}\nreplay: {}\nsmaller: {shown}\nreplay: {}",
                case.command(),
                smaller.command()
            );
        }
        outcome.stats
    };
    seeds.map(run).collect()
}

fn polls(stats: &[Stats]) -> u64 {
    stats.iter().map(|stats| stats.total().polls).sum()
}

// Hunts whatever the oracles see; the counts see to it that something was explored.
#[test]
fn seeds_without_faults() {
    let stats = explore(Faults::none(), 0..1_000);
    assert!(polls(&stats) > 100_000);
    assert!(stats.iter().map(|stats| stats.preemptions).sum::<u64>() > 1_000);
}

#[test]
fn seeds_with_light_faults() {
    assert!(polls(&explore(Faults::light(), 1_000..2_000)) > 50_000);
}

#[test]
fn seeds_with_heavy_faults() {
    assert!(polls(&explore(Faults::heavy(), 2_000..4_000)) > 50_000);
}

// Hunts anything that reaches a run from outside its seed: addresses, hash seeds, earlier runs.
#[test]
fn a_seed_does_the_same_every_time() {
    let mut template = Template::default();
    template.faults = Faults::heavy();
    let once: Vec<_> = (0..50)
        .map(|seed| template.case(seed).run().stats)
        .collect();
    for (seed, stats) in (0..).zip(&once).collect::<Vec<_>>().into_iter().rev() {
        assert_eq!(template.case(seed).run().stats, *stats);
    }
    let hashes: std::collections::HashSet<_> = once.iter().map(|stats| stats.hash).collect();
    assert_eq!(hashes.len(), once.len());
}

// Hunts a replay command that does not say everything.
#[test]
fn a_case_is_what_its_command_says() {
    let mut template = Template::default();
    template.faults = Faults::heavy();
    for seed in 0..50 {
        let case = template.case(seed);
        let mut said = Template::default();
        let text = case.to_string();
        let mut words = text.split(' ');
        while let (Some(option), Some(value)) = (words.next(), words.next()) {
            match option {
                "--seed" => assert_eq!(value, seed.to_string()),
                "--harts" => said.harts = value.parse().ok(),
                "--schedule" => said.schedule = value.parse().ok(),
                "--faults" => said.faults = value.parse().unwrap(),
                "--workload" => said.workload = value.parse().ok(),
                other => panic!("{other} in {text}"),
            }
        }
        let said: Case = said.case(seed);
        assert_eq!(said, case);
    }
}
