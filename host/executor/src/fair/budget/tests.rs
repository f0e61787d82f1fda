//! Tests of CPU rates.

use super::*;

// Hunts overshoot that is forgiven, quota that is saved up, and a wait that ends before there is any.
#[test]
fn debts_are_kept_and_savings_are_not() {
    let mut budget = Budget::default();
    let start = 1_234 * WINDOW;
    assert_eq!(budget.exhausted_until(500, start), None);
    budget.charge(WINDOW / 2 - 1, 500, start + 1, start + 1);
    assert_eq!(budget.exhausted_until(500, start + 2), None);
    budget.charge(1, 500, start + 3, start + 3);
    assert_eq!(budget.exhausted_until(500, start + 4), Some(start + WINDOW));
    // One and a half windows' quota too much: two further windows to wait for.
    budget.charge(3 * WINDOW / 4, 500, start + 5, start + 5);
    assert_eq!(
        budget.exhausted_until(500, start + 6),
        Some(start + 2 * WINDOW)
    );
    let free = start + 2 * WINDOW;
    assert_eq!(budget.exhausted_until(500, free), None);
    budget.charge(WINDOW / 4, 500, free, free);
    assert_eq!(budget.exhausted_until(500, free), Some(free + WINDOW));
    // A long sleep is worth one window and no more.
    let late = free + 1_000 * WINDOW;
    budget.charge(WINDOW / 2, 500, late, late);
    assert_eq!(budget.exhausted_until(500, late), Some(late + WINDOW));
    // Nor does a poll pay for windows that it has waited through, longer than one as it is: ten of them, half
    // used.
    let long = late + 1_000 * WINDOW;
    budget.charge(5 * WINDOW, 500, long, long + 10 * WINDOW);
    assert_eq!(budget.exhausted_until(500, long + 10 * WINDOW), None);
}
