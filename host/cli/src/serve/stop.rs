//! How a server ends: by a signal, or by a connection to an address.

use super::apps::Apps;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::to_stderr;
use hart_host::{Host, Server};
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

/// What has to end with the server, and how long that may take.
pub(super) struct Ends<'a> {
    pub(super) host: &'a Host,
    pub(super) apps: &'a Apps,
    pub(super) grace: Duration,
}

/// Waits until the server is to end, then for its requests, for `grace` at most: for their responses, and for what guests
/// do after those, such as a last line in the log. SIGHUP calls `hung_up` before that.
pub(super) fn wait(
    interrupt: &Interrupt,
    asked: Option<Asked>,
    mut server: Server,
    ends: &Ends<'_>,
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
    let Ends { host, apps, grace } = ends;
    let until = Instant::now().checked_add(*grace);
    let mut stops = pin!(server.stop());
    interrupt.wait_until(until, |cx| stops.as_mut().poll(cx).is_ready());
    let mut settles = pin!(apps.settle());
    interrupt.wait_until(until, |cx| settles.as_mut().poll(cx).is_ready());
    let left = until.map_or(*grace, |until| {
        until.saturating_duration_since(Instant::now())
    });
    let mut ends = pin!(host.shutdown(left));
    interrupt.wait_until(until, |cx| ends.as_mut().poll(cx).is_ready());
}
