//! Wakers of those who wait for something to become true.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use crate::base::sync::lock;

/// Who waits for a condition that somebody will make true.
///
/// 1. The condition is made true first; then [`notify`](Self::notify) takes and wakes every waker.
/// 2. A waiter registers first and then looks at the condition again. Both go through the mutex, so
///    either the waker is there to be taken, or the condition is seen as true.
/// 3. A waiter that gives up removes its waker.
#[derive(Default)]
pub(crate) struct Signal {
    wakers: Mutex<Wakers>,
}

#[derive(Default)]
struct Wakers {
    next: u64,
    waiting: BTreeMap<u64, Waker>,
}

impl Signal {
    /// Wakes everybody.
    pub(crate) fn notify(&self) {
        let wakers = std::mem::take(&mut lock(&self.wakers).waiting);
        for waker in wakers.into_values() {
            waker.wake();
        }
    }

    /// Registers a waiter, or changes its waker.
    pub(crate) fn register(&self, key: &mut Option<u64>, waker: &Waker) {
        let mut wakers = lock(&self.wakers);
        let key = *key.get_or_insert_with(|| {
            wakers.next += 1;
            wakers.next
        });
        if wakers
            .waiting
            .get(&key)
            .is_some_and(|old| old.will_wake(waker))
        {
            return;
        }
        let old = wakers.waiting.insert(key, waker.clone());
        // A waker is foreign code: not under the lock.
        drop(wakers);
        drop(old);
    }

    /// Removes a waiter.
    pub(crate) fn remove(&self, key: Option<u64>) {
        if let Some(key) = key {
            let _waker = lock(&self.wakers).waiting.remove(&key);
        }
    }

    /// Waits until `condition`, which somebody makes true before a [`notify`](Self::notify).
    pub(crate) fn wait<C: Fn() -> bool + Unpin>(
        &self,
        condition: C,
    ) -> impl Future<Output = ()> + use<'_, C> {
        Wait {
            signal: self,
            condition,
            key: None,
        }
    }
}

struct Wait<'a, C> {
    signal: &'a Signal,
    condition: C,
    key: Option<u64>,
}

impl<C: Fn() -> bool + Unpin> Future for Wait<'_, C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if (self.condition)() {
            return Poll::Ready(());
        }
        let this = &mut *self;
        this.signal.register(&mut this.key, cx.waker());
        if (this.condition)() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl<C> Drop for Wait<'_, C> {
    fn drop(&mut self) {
        self.signal.remove(self.key);
    }
}
