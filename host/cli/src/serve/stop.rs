//! How a server ends: by a signal, or by a connection to an address.

use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::to_stderr;
use hart_host::Server;
use std::future::{Future as _, poll_fn};
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// Whether something has connected to the address that stops the server.
pub(super) struct Asked {
    asked: Arc<AtomicBool>,
    waker: Arc<OnceLock<Waker>>,
}

impl Asked {
    /// Waits for a connection to `address`, on a thread of its own.
    ///
    /// # Errors
    /// An address that cannot be had.
    pub(super) fn listen(address: SocketAddr) -> Result<Self, Failure> {
        let failed = |error| {
            Failure::new(
                1,
                format!("cannot listen on {address}: {error}; choose another with --shutdown-addr"),
            )
        };
        let listener = TcpListener::bind(address).map_err(failed)?;
        let (asked, waker) = (
            Arc::<AtomicBool>::default(),
            Arc::<OnceLock<Waker>>::default(),
        );
        let (set, wakes) = (asked.clone(), waker.clone());
        let waits = move || {
            // A listener that fails stops the server as well: nobody could.
            let _ = listener.accept();
            // SeqCst, with the order of the two in `is_asked`: one of the sides sees the other.
            set.store(true, Ordering::SeqCst);
            if let Some(waker) = wakes.get() {
                waker.wake_by_ref();
            }
        };
        thread::Builder::new().spawn(waits).map_err(failed)?;
        Ok(Self { asked, waker })
    }

    fn is_asked(&self, waker: &Waker) -> bool {
        // It is always the same one: that of the interrupt.
        self.waker.get_or_init(|| waker.clone());
        self.asked.load(Ordering::SeqCst)
    }
}

/// Waits until the server is to end, then for its requests, for `grace` at most. SIGHUP calls `hung_up` before that.
pub(super) fn wait(
    interrupt: &Interrupt,
    asked: Option<Asked>,
    mut server: Server,
    grace: Duration,
    hung_up: impl Fn(&Server),
) {
    let mut asked = pin!(poll_fn(|cx| match &asked {
        Some(asked) if asked.is_asked(cx.waker()) => Poll::Ready(()),
        _ => Poll::Pending,
    }));
    interrupt.wait_until(None, |cx| {
        if interrupt.takes_hang_up() {
            hung_up(&server);
        }
        interrupt.code().is_some() || asked.as_mut().poll(cx).is_ready()
    });
    if server.live() > 0 {
        to_stderr(
            "hart: stopping once the requests that run have ended; Ctrl-C again leaves at once\n",
        );
    }
    let mut stops = pin!(server.stop());
    interrupt.wait_until(Instant::now().checked_add(grace), |cx| {
        stops.as_mut().poll(cx).is_ready()
    });
}
