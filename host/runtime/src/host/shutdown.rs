//! Ending a host gently.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use super::HostInner;
use crate::clock::Expire;
use crate::sync::lock;

/// Resolves when nothing of the host's runs is left. From [`Host::shutdown`](crate::Host::shutdown). The host
/// closes when the grace is over, whether or not anybody still waits for this.
#[must_use = "it resolves when nothing is left"]
pub struct Shutdown {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Rings when the grace is over.
struct Alarm {
    rung: AtomicBool,
    host: Weak<HostInner>,
}

impl Expire for Alarm {
    fn expire(self: Arc<Self>) {
        // Release: pairs with the Acquire of the one who waits.
        self.rung.store(true, Ordering::Release);
        if let Some(host) = self.host.upgrade() {
            host.idle.notify();
            // Whether or not anybody waits for it. Not here: the clock has other things to do.
            let runtime = host.runtime.clone();
            runtime.spawn_aside("shutdown", async move { host.close() });
        }
    }
}

impl Shutdown {
    pub(super) fn new(host: Arc<HostInner>, grace: Duration) -> Self {
        host.drain();
        let alarm = Arc::new(Alarm {
            rung: AtomicBool::new(false),
            host: Arc::downgrade(&host),
        });
        let target: Arc<dyn Expire> = alarm.clone();
        // It rings even where the future is dropped before.
        *lock(&host.alarm) = Some(target.clone());
        let timer = host
            .runtime
            .clock
            .now()
            .checked_add(grace)
            .map(|at| host.runtime.clock.at(at, Arc::downgrade(&target)));
        let future = Box::pin(async move {
            host.idle
                .wait(|| alarm.rung.load(Ordering::Acquire) || host.is_idle())
                .await;
            host.close();
            if let Some(timer) = timer {
                host.runtime.clock.forget(timer);
            }
            host.idle.wait(|| host.is_idle()).await;
        });
        Self { future }
    }

    /// Blocks this thread until nothing is left.
    pub fn wait(self) {
        crate::block::on(self);
    }
}

impl Future for Shutdown {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.future.as_mut().poll(cx)
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown").finish_non_exhaustive()
    }
}
