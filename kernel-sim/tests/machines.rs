//! Many seeds of several machines that take jobs from one stream: the promises hold, whatever goes wrong between them.

use hart_sim::Faults;
use hart_sim::machines::{Fault, Stats, Template};

fn template(faults: Faults<Fault>) -> Template {
    Template {
        faults,
        ..Template::default()
    }
}

/// Runs the seeds; what all of them did.
fn explore(faults: Faults<Fault>, seeds: std::ops::Range<u64>) -> Vec<Stats> {
    let template = template(faults);
    let run = |seed| {
        let case = template.case(seed);
        let outcome = case.run();
        if let Some(failure) = &outcome.failure {
            let (smaller, shown) = case.shrink(failure, 200);
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

fn sum(stats: &[Stats], of: impl Fn(&Stats) -> u64) -> u64 {
    stats.iter().map(of).sum()
}

// Hunts a job that runs twice though nothing goes wrong; the counts see to it that something was explored.
#[test]
fn seeds_without_faults() {
    let stats = explore(Faults::none(), 0..300);
    assert!(sum(&stats, |stats| stats.runs) > 2_000);
}

#[test]
fn seeds_with_light_faults() {
    assert!(sum(&explore(Faults::light(), 300..600), |stats| stats.runs) > 2_000);
}

// Hunts a job that two machines run at once though its lease holds, and one that is given up for want of room.
#[test]
fn seeds_whose_leases_hold() {
    explore(Faults::of([Fault::Drift, Fault::Full]), 0..200);
    let stops = [Fault::Drift, Fault::Restart, Fault::Drain, Fault::Full];
    explore(Faults::of(stops), 200..400);
    // Nobody gives up a job that was only given back.
    explore(Faults::of([Fault::Drain]), 400..600);
}

// Hunts lost jobs, second results and cancelled jobs that run on.
#[test]
fn a_thousand_seeds_with_heavy_faults() {
    let stats = explore(Faults::heavy(), 0..1_000);
    for (what, least, count) in [
        ("runs", 10_000, sum(&stats, |stats| stats.runs)),
        ("done", 5_000, sum(&stats, |stats| stats.done)),
        ("failed", 1_000, sum(&stats, |stats| stats.failed)),
        ("cancelled", 1_000, sum(&stats, |stats| stats.cancelled)),
    ] {
        assert!(count > least, "{count} {what}");
    }
}

// Hunts anything that reaches a run from outside its seed: addresses, hash seeds, earlier runs.
#[test]
fn a_seed_does_the_same_every_time() {
    let template = template(Faults::heavy());
    let text = |seed| {
        let log = template.case(seed).run_with_log().log;
        log.iter()
            .fold(String::new(), |text, record| format!("{text}{record}\n"))
    };
    let once: Vec<_> = (0..20).map(text).collect();
    for (seed, log) in (0..).zip(&once).collect::<Vec<_>>().into_iter().rev() {
        assert_eq!(text(seed), *log);
    }
    let others: std::collections::HashSet<_> = once.iter().collect();
    assert_eq!(others.len(), once.len());
}

// Hunts a replay command that does not say everything.
#[test]
fn a_case_is_what_its_command_says() {
    let template = template(Faults::heavy());
    for seed in 0..20 {
        let case = template.case(seed);
        let mut said = Template::default();
        let text = case.to_string();
        let mut words = text.split(' ');
        while let (Some(option), Some(value)) = (words.next(), words.next()) {
            match option {
                "--seed" => assert_eq!(value, seed.to_string()),
                "--machines" => said.machines = value.parse().ok(),
                "--slots" => said.slots = value.parse().ok(),
                "--jobs" => said.jobs = value.parse().ok(),
                "--faults" => said.faults = value.parse().unwrap(),
                other => panic!("{other} in {text}"),
            }
        }
        assert_eq!(said.case(seed), case);
    }
}

/// Mistakes are planted in workers, and must be found within 200 seeds.
mod planted {
    use super::*;
    use hart_sim::machines::{Oracle, Planted};

    #[track_caller]
    fn is_found(planted: Planted, faults: Faults<Fault>, by: &[Oracle]) {
        let template = template(faults);
        for seed in 0..200 {
            let case = template.case(seed);
            let Some(failure) = case.run_planted(planted).failure else {
                continue;
            };
            println!("{planted:?}: seed {seed}: {failure}");
            assert!(by.contains(&failure.oracle), "{failure}");
            let sound = case.run().failure;
            assert!(sound.is_none(), "found without the mistake: {sound:?}");
            return;
        }
        panic!("{planted:?} was not found in 200 seeds");
    }

    #[test]
    fn an_end_that_is_told_before_the_result_is_stored() {
        is_found(Planted::AckBeforeStore, Faults::heavy(), &[Oracle::NotLost]);
    }

    #[test]
    fn a_result_beside_another() {
        is_found(Planted::AnyResult, Faults::heavy(), &[Oracle::OneResult]);
    }

    #[test]
    fn a_lease_that_is_not_extended() {
        is_found(Planted::NoLease, Faults::none(), &[Oracle::RunsAlone]);
    }

    #[test]
    fn a_redelivery_without_a_look() {
        is_found(
            Planted::BlindRedelivery,
            Faults::heavy(),
            &[Oracle::NotAgain],
        );
    }

    #[test]
    fn a_job_that_is_begun_while_it_runs() {
        is_found(Planted::RunsTwice, Faults::heavy(), &[Oracle::RunsOnce]);
    }

    #[test]
    fn a_job_without_room() {
        is_found(
            Planted::NoRoom,
            Faults::heavy(),
            &[Oracle::Room, Oracle::RunsOnce],
        );
    }

    #[test]
    fn a_run_that_nobody_looks_after() {
        is_found(
            Planted::NoLook,
            Faults::of([Fault::Loss]),
            &[Oracle::EndsEverywhere],
        );
    }

    #[test]
    fn a_dead_letter_before_its_result() {
        is_found(Planted::DeadFirst, Faults::heavy(), &[Oracle::DeadLetter]);
    }

    #[test]
    fn a_submitter_who_is_told_another_result() {
        is_found(Planted::OwnReply, Faults::heavy(), &[Oracle::Reply]);
    }

    #[test]
    fn a_stop_that_counts() {
        is_found(
            Planted::ReturnsCount,
            Faults::of([Fault::Drain]),
            &[Oracle::TrueResult],
        );
    }

    #[test]
    fn a_cancel_that_only_a_machine_knows() {
        is_found(Planted::CancelForgotten, Faults::heavy(), &[Oracle::Cancel]);
    }
}
