//! Machines of many harts.

use hart_sim::Many;

/// With domains of 8 harts.
fn many(harts: usize) -> Many {
    Many {
        harts,
        in_domain: 8,
        one_lane: false,
    }
}

fn linear(harts: usize, poll: u64, window: u64) -> f64 {
    let two = many(2).utilization(poll, window);
    let part = many(harts).utilization(poll, window) / two;
    println!("{harts} harts, polls of {poll} ns: {part:.3} of linear");
    part
}

// Hunts what grows with the number of harts: a lock that all of them want, tasks that do not spread.
#[test]
fn short_turns_scale() {
    assert!(linear(64, 100_000, 10_000_000) >= 0.9);
    assert!(linear(256, 100_000, 5_000_000) >= 0.8);
}

// Hunts a domain whose groups get more than those of another, and groups that have a share in each.
#[test]
fn shares_hold_for_the_machine() {
    let got = many(256).share(400_000_000, 0);
    println!("off by {:.4}", got.unfairness());
    assert!(got.unfairness() <= 0.03, "{:?}", got.shares);
}

// Hunts those that wake and have to wait for a lane that is behind, or far ahead.
#[test]
fn who_wakes_waits_for_two_slices_at_most() {
    let got = many(256).share(100_000_000, 128);
    println!(
        "p50 {} ns, p99 {} ns of {}",
        got.waited(0.5),
        got.waited(0.99),
        got.waits.len()
    );
    assert!(got.waits.len() > 500);
    assert!(got.waited(0.99) <= 2_000_000, "{} ns", got.waited(0.99));
}

// Hunts groups that go from core to core, and find none of their data there.
#[test]
fn a_group_resumes_where_it_was() {
    for (harts, for_each, most) in [(2, 2, 0.1), (8, 2, 0.1), (64, 2, 0.1), (64, 4, 0.2)] {
        let moved = many(harts).moved(for_each, 1_000_000_000);
        println!("{harts} harts, {for_each} for each: {moved:.3} of turns elsewhere");
        assert!(
            moved <= most,
            "{moved} of turns with {for_each} groups for each of {harts} harts"
        );
    }
}
