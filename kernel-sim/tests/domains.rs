//! Machines of several domains: the same promises, with a lane for each.

use hart_sim::{Faults, Template, shrink};

/// Runs the seeds on machines of up to 8 harts, with so many harts in a domain.
fn explore(in_domain: usize, faults: Faults, seeds: std::ops::Range<u64>) -> u64 {
    let mut template = Template::default();
    template.faults = faults;
    template.in_domain = Some(in_domain);
    let mut polls = 0;
    for seed in seeds {
        let case = template.case(seed);
        let outcome = case.run();
        polls += outcome.stats.total().polls;
        if let Some(failure) = &outcome.failure {
            let (smaller, shown) = shrink(&case, failure, 200);
            panic!(
                "seed {seed}: {failure}\nreplay: {}\nsmaller: {shown}\nreplay: {}",
                case.command(),
                smaller.command()
            );
        }
    }
    polls
}

// Hunts whatever the oracles see of tasks that are pulled from lane to lane.
#[test]
fn seeds_without_faults() {
    assert!(explore(1, Faults::none(), 0..500) > 50_000);
    assert!(explore(2, Faults::none(), 500..1_000) > 50_000);
}

#[test]
fn seeds_with_heavy_faults() {
    assert!(explore(1, Faults::heavy(), 1_000..1_500) > 10_000);
    assert!(explore(2, Faults::heavy(), 1_500..2_000) > 10_000);
}
