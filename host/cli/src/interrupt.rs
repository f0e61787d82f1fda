//! Ctrl-C and SIGTERM.
//!
//! The first one asks for an end: the run is cancelled, and what can be said about it still is. The
//! second one leaves at once, whatever hangs.
//!
//! # Protocol
//!
//! 1. The handler of the first signal keeps its exit code, and rings. A bell is a socket, because writing to one is
//!    about all that a handler may do.
//! 2. The handler of the second ends the process there and then. The end of a line that the guest has begun and not
//!    flushed is lost then, for a handler cannot write it.
//! 3. The main thread sleeps at the bell, which the end of the run rings as well: so neither a thread nor an event
//!    loop is needed for signals, which would take a part of the time that a small program takes.

use hart_host::{Outcome, Run, RunError};
use std::io;

#[cfg(unix)]
pub(crate) use unix::Interrupt;

#[cfg(unix)]
mod unix {
    use super::{Outcome, Run, RunError, io};
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::{flag, low_level::pipe};
    use std::future::Future;
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    /// Which signal came first, if any did.
    pub(crate) struct Interrupt {
        /// Its exit code, or 0. That of the last one if two come at once.
        code: Arc<AtomicUsize>,
        bell: Arc<Bell>,
        rung: UnixStream,
    }

    /// What wakes the main thread.
    struct Bell(UnixStream);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            // It has been rung often enough if there is no room for more.
            let _ = (&self.0).write(&[0]);
        }
    }

    impl Interrupt {
        /// From now on signals are for [`wait`](Self::wait).
        ///
        /// # Errors
        /// Where the system gives no socket or no signal handler.
        pub(crate) fn watch() -> io::Result<Self> {
            let (rung, bell) = UnixStream::pair()?;
            bell.set_nonblocking(true)?;
            let code = Arc::new(AtomicUsize::new(0));
            let seen = Arc::new(AtomicBool::new(false));
            for signal in [SIGINT, SIGTERM] {
                // As shells have it.
                let exit_code = 128 + signal;
                // These are done in this order. The first signal finds `seen` not set; one that comes before all of
                // this is registered has left its code, which `wait` looks at before it sleeps.
                flag::register_usize(signal, code.clone(), exit_code as usize)?;
                flag::register_conditional_shutdown(signal, exit_code, seen.clone())?;
                flag::register(signal, seen.clone())?;
                pipe::register(signal, bell.try_clone()?)?;
            }
            Ok(Self {
                code,
                bell: Arc::new(Bell(bell)),
                rung,
            })
        }

        /// The exit code that the first signal asks for; `None` as long as there was none.
        pub(crate) fn code(&self) -> Option<u8> {
            // Relaxed: the number is the whole message.
            match self.code.load(Ordering::Relaxed) {
                0 => None,
                code => Some(u8::try_from(code).unwrap_or(u8::MAX)),
            }
        }

        /// Waits for the end of the run, and cancels it at the first signal.
        pub(crate) fn wait(&self, mut run: Run) -> Result<Outcome, RunError> {
            let waker = Waker::from(self.bell.clone());
            let mut context = Context::from_waker(&waker);
            loop {
                if self.code().is_some() {
                    run.cancel();
                }
                if let Poll::Ready(ended) = Pin::new(&mut run).poll(&mut context) {
                    return ended;
                }
                match (&self.rung).read(&mut [0; 64]) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    // No system says so. Signals would not be seen; the second one still ends the process.
                    Err(_) => return run.wait(),
                }
            }
        }
    }
}

/// Where there are no signals: Ctrl-C ends the process.
#[cfg(not(unix))]
pub(crate) struct Interrupt;

#[cfg(not(unix))]
impl Interrupt {
    pub(crate) fn watch() -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn code(&self) -> Option<u8> {
        None
    }

    pub(crate) fn wait(&self, run: Run) -> Result<Outcome, RunError> {
        run.wait()
    }
}
