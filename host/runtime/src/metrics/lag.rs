//! How late workers are: what an event loop's lag is elsewhere.

use std::sync::Arc;
use std::time::Duration;

use crate::base::histogram::Buckets;
use crate::sched::clock::Clock;

/// How often it is measured. Ten polls a second cost nothing that can be measured.
const EVERY: Duration = Duration::from_millis(100);

/// Sleeps again and again, and counts how much later than asked for a worker polls it. That is what a connection or a timer
/// of the host waits for.
pub(crate) async fn probe(clock: Arc<Clock>, lag: Arc<Buckets>) {
    loop {
        let due = clock.now() + EVERY;
        clock.sleep(EVERY).await;
        lag.add_time(clock.now().saturating_duration_since(due));
    }
}
