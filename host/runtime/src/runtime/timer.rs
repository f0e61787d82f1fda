//! Waits for an embedder's own futures.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::sched::clock::Clock;

/// The timers of a runtime, for futures of the embedder's: those of native tasks, and of imports that a guest waits for.
///
/// They are what guests wait for by `wasi:clocks`: exact to some 50 us, where tokio's are exact to a millisecond. A handle
/// that is cheap to clone and keeps nothing alive. Once the runtime has closed, waits that have not ended go on for ever.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let runtime = hart_host::Runtime::builder().workers(1).build()?;
/// let timer = runtime.timer();
/// let (began, length) = (Instant::now(), Duration::from_micros(300));
/// let task = runtime.group().build()?.spawn(async move |_| timer.sleep(length).await);
/// task.wait()?;
/// assert!(began.elapsed() >= length);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Timer {
    pub(super) clock: Arc<Clock>,
}

impl Timer {
    /// Ready once `length` has passed. It begins now, not when it is first polled, and needs no runtime of tokio's. On a
    /// simulated machine it is the machine's time that passes.
    pub fn sleep(&self, length: Duration) -> impl Future<Output = ()> + Send + Unpin + use<> {
        self.clock.sleep(length)
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").finish_non_exhaustive()
    }
}
