//! Threads that others go before.

use std::panic::resume_unwind;

/// The lowest priority that Linux has for ordinary threads: a 70th of the usual share of a core.
const LOWEST: i32 = 19;

/// Gives this thread the lowest priority, for good. Linux allows that to everyone, and to nobody the way back.
pub(crate) fn lower() {
    if let Err(error) = rustix::process::setpriority_process(None, LOWEST) {
        tracing::debug!("a thread keeps its priority: {error}");
    }
}

/// Does `work` on a thread of the lowest priority, while this one waits.
///
/// # Errors
/// If the system has no more threads.
pub(crate) fn on_background_thread<T: Send>(work: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    std::thread::scope(|scope| {
        let lowered = || {
            lower();
            work()
        };
        let thread = std::thread::Builder::new()
            .name("hart-background".into())
            .spawn_scoped(scope, lowered)?;
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::getpriority_process;

    // Fault: work that lowers its caller for ever, or has its caller's priority.
    #[test]
    fn only_the_work_is_lowered() {
        let before = getpriority_process(None).expect("Linux tells");
        let during = on_background_thread(|| getpriority_process(None));
        let during = during.expect("there are threads").expect("Linux tells");
        assert_eq!(during, LOWEST);
        assert_eq!(getpriority_process(None).expect("Linux tells"), before);
    }
}
