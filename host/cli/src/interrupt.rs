//! Ctrl-C, SIGTERM and SIGHUP.
//!
//! While nothing runs yet, the first one leaves at once: loading can take minutes, and there is nothing to say about
//! it. Once a guest may run, the first one cancels the run, and hart still reports what it knows of
//! it. The second one leaves at once, whatever hangs. A signal that hart was started to ignore (`nohup`, `trap '' INT`)
//! stays ignored. A server takes SIGHUP as the wish to load anew, and goes on.
//!
//! # Protocol
//!
//! 1. Until [`Interrupt::begin`] the handler ends the process there and then.
//! 2. After it, the handler of the first signal keeps its exit code, and rings. A bell is a socket, because writing to
//!    one is about all that a handler may do.
//! 3. The handler of the second ends the process there and then. The end of a line that the guest has begun and not
//!    flushed is lost then, for a handler cannot write it.
//! 4. The main thread sleeps at the bell, which the end of the run rings as well: so neither a thread nor an event
//!    loop is needed for signals, which would take a part of the time that a small program takes.

use hart_host::{Outcome, Run, RunError};
use std::io;

#[cfg(unix)]
pub(crate) use unix::Interrupt;

#[cfg(unix)]
mod unix {
    use super::{Outcome, Run, RunError, io};
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::{flag, low_level::pipe};
    use std::future::Future;
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};
    use std::time::Instant;

    /// Which signal came first, if any did.
    pub(crate) struct Interrupt {
        /// Its exit code, or 0. That of the last one if two come at once.
        code: Arc<AtomicUsize>,
        /// Whether the next signal ends the process.
        leaves: Arc<AtomicBool>,
        bell: Arc<Bell>,
        rung: UnixStream,
        /// A SIGHUP came that is not to end anything.
        hung_up: Arc<AtomicBool>,
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
        /// From now on signals end the process with their exit code.
        ///
        /// # Errors
        /// Where the system gives no socket or no signal handler.
        pub(crate) fn watch() -> io::Result<Self> {
            Self::watch_all(&[SIGHUP, SIGINT, SIGTERM])
        }

        /// The same, but SIGHUP only asks to [load anew](Self::takes_hang_up), also where it was ignored: it ends nothing.
        ///
        /// # Errors
        /// As [`watch`](Self::watch).
        pub(crate) fn watch_server() -> io::Result<Self> {
            let watch = Self::watch_all(&[SIGINT, SIGTERM])?;
            flag::register(SIGHUP, watch.hung_up.clone())?;
            pipe::register(SIGHUP, watch.bell.0.try_clone()?)?;
            Ok(watch)
        }

        fn watch_all(signals: &[i32]) -> io::Result<Self> {
            let (rung, bell) = UnixStream::pair()?;
            bell.set_nonblocking(true)?;
            let code = Arc::new(AtomicUsize::new(0));
            let leaves = Arc::new(AtomicBool::new(true));
            for &signal in signals {
                if is_ignored(signal) {
                    continue;
                }
                // As shells have it.
                let exit_code = 128 + signal;
                // The handler does these in this order, so that the first signal after `begin` finds `leaves` not set.
                flag::register_usize(signal, code.clone(), exit_code as usize)?;
                flag::register_conditional_shutdown(signal, exit_code, leaves.clone())?;
                flag::register(signal, leaves.clone())?;
                pipe::register(signal, bell.try_clone()?)?;
            }
            Ok(Self {
                code,
                leaves,
                bell: Arc::new(Bell(bell)),
                rung,
                hung_up: Arc::default(),
            })
        }

        /// A run is about to start: from now on the first signal is for [`wait`](Self::wait).
        pub(crate) fn begin(&self) {
            // SeqCst, as the handler's.
            self.leaves.store(false, Ordering::SeqCst);
        }

        /// Whether SIGHUP came since this was asked last.
        pub(crate) fn takes_hang_up(&self) -> bool {
            // SeqCst, as the handler's.
            self.hung_up.swap(false, Ordering::SeqCst)
        }

        /// The exit code that the first signal asks for; `None` as long as there was none.
        pub(crate) fn code(&self) -> Option<u8> {
            // Relaxed: the number is the whole message.
            match self.code.load(Ordering::Relaxed) {
                0 => None,
                code => Some(u8::try_from(code).unwrap_or(u8::MAX)),
            }
        }

        /// Waits until `is_over` says so, or until the deadline. It is asked again at each signal, and when what it has
        /// waited for wakes it.
        pub(crate) fn wait_until(
            &self,
            deadline: Option<Instant>,
            mut is_over: impl FnMut(&mut Context<'_>) -> bool,
        ) {
            let waker = Waker::from(self.bell.clone());
            let mut context = Context::from_waker(&waker);
            while !is_over(&mut context) {
                let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
                if left.is_some_and(|left| left.is_zero()) {
                    break;
                }
                // What goes wrong here goes wrong at once: the loop would spin, so it ends.
                if self.rung.set_read_timeout(left).is_err() {
                    break;
                }
                match (&self.rung).read(&mut [0; 64]) {
                    Ok(_) => {}
                    Err(error)
                        if matches!(
                            error.kind(),
                            ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut
                        ) => {}
                    Err(_) => break,
                }
            }
            let _ = self.rung.set_read_timeout(None);
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

    /// True if this process was started with `signal` ignored.
    fn is_ignored(signal: i32) -> bool {
        let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: without a new action the call only writes the present one to `action`, which is large enough and
        // lives as long as the call.
        let asked = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
        // SAFETY: all zeros are an action, whether the call has written one or failed.
        let action = unsafe { action.assume_init() };
        asked == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}
