//! Two things at once.

use std::sync::Mutex;

use crate::base::sync::lock;

/// Does two things at once, the second on a thread that is there for it only: to make a pool takes about as long as
/// to start threads, and small programs wait for both. One after the other where there is no such thread.
pub(crate) fn beside<A, B: Send>(
    here: impl FnOnce() -> A,
    there: impl FnOnce() -> B + Send,
) -> (A, B) {
    let there = Mutex::new(Some(there));
    let there = || lock(&there).take().map(|there| there());
    std::thread::scope(|scope| {
        let started = std::thread::Builder::new()
            .name("hart-start".into())
            .spawn_scoped(scope, there);
        let here = here();
        let done = started.ok().and_then(|thread| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        (here, done.or_else(there).expect("it is done once"))
    })
}
