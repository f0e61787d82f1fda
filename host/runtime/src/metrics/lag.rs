//! How late workers are: what an event loop's lag is elsewhere.

use std::sync::Arc;
use std::time::Duration;

use crate::base::histogram::Buckets;
use crate::sched::clock::Clock;

/// How often it is measured. Ten polls a second cost nothing that can be measured.
const EVERY: Duration = Duration::from_millis(100);

/// Looks that are counted at most for those that a worker had no time for: a minute of them.
const MISSED: usize = 600;

/// Sleeps again and again, and counts how much later than asked for a worker polls it. That is what a connection or a timer
/// of the host waits for.
pub(crate) async fn probe(clock: Arc<Clock>, lag: Arc<Buckets>) {
    loop {
        let due = clock.now() + EVERY;
        clock.sleep(EVERY).await;
        count(&lag, clock.now().saturating_duration_since(due));
    }
}

/// Counts a look that was so late, and those that it made impossible: without them a stall of seconds would be one look
/// among hundreds.
fn count(lag: &Buckets, late: Duration) {
    let looks = std::iter::successors(Some(late), |late| late.checked_sub(EVERY));
    for late in looks.take(1 + MISSED) {
        lag.add_time(late);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hunts a stall that no quantile shows, and one that is counted without end.
    #[test]
    fn a_stall_counts_for_all_looks_that_it_made_impossible() {
        let lag = Buckets::of_time();
        for _ in 0..500 {
            count(&lag, Duration::ZERO);
        }
        assert_eq!(lag.read().count(), 500);
        count(&lag, Duration::from_secs(5));
        // 5 s, 4.9 s and so on, to 0.
        assert_eq!(lag.read().count(), 551);
        assert!(lag.read().quantile(0.99) > 4.0, "{:?}", lag.read());
        count(&lag, Duration::from_secs(1000));
        assert_eq!(lag.read().count(), 551 + 601);
    }
}
