//! Ending a host gently.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::base::sync::lock;
use crate::host::handle::{Host, HostInner};
use crate::sched::clock::timers::Expire;

/// Resolves when nothing of the host's runs is left. From [`Host::shutdown`](crate::Host::shutdown). The host
/// closes when the grace is over, whether or not anybody still waits for this.
#[must_use = "it resolves when nothing is left"]
pub struct Shutdown {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Rings when the grace is over.
struct Alarm<T: 'static> {
    rung: AtomicBool,
    host: Weak<HostInner<T>>,
}

impl<T: Send + 'static> Expire for Alarm<T> {
    fn expire(self: Arc<Self>) {
        // Release: pairs with the Acquire of the one who waits.
        self.rung.store(true, Ordering::Release);
        if let Some(host) = self.host.upgrade() {
            host.registry.idle.notify();
            // Whether or not anybody waits for it. Not here: the clock has other things to do.
            let runtime = host.runtime.clone();
            runtime.spawn_aside("shutdown", async move { host.close() });
        }
    }
}

impl<T: Send + 'static> Host<T> {
    /// Refuses new runs, lets those that there are finish for at most `grace`, then closes. The future
    /// resolves when nothing is left of them.
    pub fn shutdown(&self, grace: Duration) -> Shutdown {
        Shutdown::new(self.inner().clone(), grace)
    }
}

impl Shutdown {
    pub(crate) fn new<T: Send + 'static>(host: Arc<HostInner<T>>, grace: Duration) -> Self {
        host.registry.drain();
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
            let registry = &host.registry;
            registry
                .idle
                .wait(|| alarm.rung.load(Ordering::Acquire) || registry.is_idle())
                .await;
            host.close();
            if let Some(timer) = timer {
                host.runtime.clock.forget(timer);
            }
            registry.idle.wait(|| registry.is_idle()).await;
        });
        Self { future }
    }

    /// Blocks this thread until nothing is left.
    pub fn wait(self) {
        crate::base::block::on(self);
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
