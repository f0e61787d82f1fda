//! Tests of the tournament, against a look at all lines.

use super::*;

/// Hunts: a winner that was passed by another and is still said to be first; a change that does not reach the root; a leaf
/// that is empty and wins.
#[test]
fn the_first_is_the_lowest_of_all() {
    let mut random = fastrand::Rng::with_seed(17);
    let mut passed = 0;
    for leaves in [1, 2, 4, 64] {
        let mut tournament = Tournament::new(leaves);
        let mut lines = vec![None; leaves];
        let mut now = 1_000_000_000_000_000_u64;
        let mut changed = false;
        let mut before = None;
        for _ in 0..20_000 {
            if random.u8(..8) == 0 {
                let leaf = random.usize(..leaves);
                let line = (random.u8(..4) > 0).then(|| {
                    // Near each other at this time, and of weights from one to thousands.
                    let slope = (1 << 40) / random.u64(1..5_000);
                    let at = random.i128(0..1 << 48);
                    Line {
                        start: at - i128::from(slope) * i128::from(now),
                        slope,
                    }
                });
                lines[leaf] = line;
                tournament.set(leaf, line, now);
                assert_eq!(tournament.get(leaf), line);
                changed = true;
            } else {
                now += random.u64(..100_000);
            }
            if random.u8(..8) == 0 {
                continue;
            }
            let lowest = lines.iter().flatten().map(|line| line.at(now)).min();
            let first = tournament.first(now);
            assert_eq!(first.map(|(line, _)| line.at(now)), lowest, "of {leaves}");
            if let Some((line, leaf)) = first {
                assert_eq!(lines[leaf], Some(line));
            }
            let leaf = first.map(|(_, leaf)| leaf);
            passed += usize::from(!changed && leaf != before);
            (changed, before) = (false, leaf);
        }
    }
    assert!(
        passed > 500,
        "only the clock moved, and {passed} times another was first"
    );
}

/// Hunts: the end of a lead that is a nanosecond off, and one that is beyond the end of time.
#[test]
fn a_lead_ends_to_the_nanosecond() {
    let slow = Line {
        start: 1_000,
        slope: 3,
    };
    for (start, slope, until) in [
        (0, 4, 1_000),
        (1, 4, 999),
        (1, 5, 499),
        (0, 3, u64::MAX),
        (999, 2, u64::MAX),
    ] {
        let fast = Line { start, slope };
        assert_eq!(fast.leads_until(slow, 7), until);
        if until < u64::MAX {
            assert!(fast.at(until) <= slow.at(until));
            assert!(fast.at(until + 1) > slow.at(until + 1));
        }
    }
    let never = Line {
        start: -(1 << 120),
        slope: 4,
    };
    assert_eq!(never.leads_until(slow, 7), u64::MAX);
}
