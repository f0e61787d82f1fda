//! Ctrl-C and SIGTERM.
//!
//! The first one asks for an end: the run is cancelled, and what can be said about it still is. The
//! second one leaves at once, whatever hangs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Exit code after Ctrl-C: 128 + SIGINT, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;
/// Exit code after SIGTERM: 128 + SIGTERM.
#[cfg(unix)]
pub(crate) const TERMINATED: u8 = 143;

/// Which signal came first, if any did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicU8>);

impl Interrupt {
    /// The exit code that the first signal asks for; `None` as long as there was none.
    pub(crate) fn code(&self) -> Option<u8> {
        // Relaxed: the byte is the whole message.
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            code => Some(code),
        }
    }

    /// Calls `cancel` at the first signal, on a thread of its own, and ends the process at the
    /// second.
    ///
    /// # Errors
    /// Where the system gives no thread or no signal handler.
    pub(crate) fn watch(cancel: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let interrupt = Self::default();
        let seen = interrupt.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let mut signals = {
            let _entered = runtime.enter();
            Signals::new()?
        };
        std::thread::Builder::new()
            .name(String::from("hart-signals"))
            .spawn(move || {
                runtime.block_on(async move {
                    let code = signals.next().await;
                    seen.0.store(code, Ordering::Relaxed);
                    cancel();
                    let code = signals.next().await;
                    std::process::exit(code.into());
                });
            })?;
        Ok(interrupt)
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The exit code that the next signal stands for.
    async fn next(&mut self) -> u8 {
        std::future::poll_fn(|cx| {
            if self.interrupt.poll_recv(cx).is_ready() {
                return std::task::Poll::Ready(INTERRUPTED);
            }
            self.terminate.poll_recv(cx).map(|_| TERMINATED)
        })
        .await
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> u8 {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        INTERRUPTED
    }
}
