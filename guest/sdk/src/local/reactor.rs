//! What in-guest futures wait for: times and pollables.
//!
//! 1. A future that waits registers, with its waker. Sleeping ones are in an ordered map, and together they
//!    take one place in the list that is given to `wasi:io/poll`: the earliest. Every pollable takes a place of
//!    its own; a call costs the host as much as the list is long, and tells all that are ready.
//! 2. [`wait`] is where the worker sleeps, and so it is called with nothing to run.
//! 3. [`count_poll`] is called at every poll of an in-guest future, and looks without waiting once there were
//!    as many as the list is long, and at least [`INTERVAL`]: futures that never wait keep nobody out, and a
//!    long list costs a constant for each poll.
//! 4. Wakers are called and dropped while nothing is borrowed: they are foreign code.

use super::current::inside;
use super::source;
use crate::time::nanoseconds;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Polls between two looks at what is ready, at least. As the executor's interval for its injector; guessed.
const INTERVAL: usize = 61;

thread_local! {
    static REACTOR: RefCell<Reactor> = RefCell::default();
}

#[derive(Default)]
struct Reactor {
    /// By time, and then in the order of registration.
    sleeping: BTreeMap<(u64, u64), Waker>,
    /// How many have registered.
    registered: u64,
    /// Polls since the last look.
    polls: usize,
    #[cfg(target_family = "wasm")]
    waiting: BTreeMap<u64, Waiting>,
    #[cfg(target_family = "wasm")]
    alarm: source::Alarm,
}

/// A pollable that a future waits for.
#[cfg(target_family = "wasm")]
struct Waiting {
    pollable: std::rc::Rc<wasi::Pollable>,
    waker: Waker,
}

#[cfg(target_family = "wasm")]
use super::wasi::io::poll as wasi;

impl Reactor {
    fn next_key(&mut self) -> u64 {
        self.registered += 1;
        self.registered
    }

    /// Takes the wakers of those whose time has come.
    fn due(&mut self, now: u64) -> BTreeMap<(u64, u64), Waker> {
        if self
            .sleeping
            .first_key_value()
            .is_none_or(|(&(at, _), _)| at > now)
        {
            return BTreeMap::new();
        }
        let later = match now.checked_add(1) {
            Some(after) => self.sleeping.split_off(&(after, 0)),
            None => BTreeMap::new(),
        };
        std::mem::replace(&mut self.sleeping, later)
    }

    fn next_time(&self) -> Option<u64> {
        self.sleeping.first_key_value().map(|(&(at, _), _)| at)
    }

    fn pollables(&self) -> usize {
        #[cfg(target_family = "wasm")]
        return self.waiting.len();
        #[cfg(not(target_family = "wasm"))]
        0
    }

    /// Waits for a pollable or until the time has come, and takes the wakers of pollables that are ready.
    #[cfg(target_family = "wasm")]
    fn poll(&mut self, until: Option<u64>) -> Vec<Waiting> {
        let pollables = self.waiting.values().map(|waiting| &*waiting.pollable);
        let ready = self.alarm.wait(pollables, until);
        let keys: Vec<u64> = self.waiting.keys().copied().collect();
        ready
            .iter()
            .filter_map(|&place| self.waiting.remove(&keys[place as usize]))
            .collect()
    }
}

fn wake_due() {
    let now = source::now();
    let due = REACTOR.with_borrow_mut(|reactor| reactor.due(now));
    for waker in due.into_values() {
        waker.wake();
    }
}

#[cfg(target_family = "wasm")]
fn wake_ready(until: Option<u64>) {
    let ready = REACTOR.with_borrow_mut(|reactor| reactor.poll(until));
    for waiting in ready {
        waiting.waker.wake();
    }
}

/// An in-guest future is about to be polled.
pub(super) fn count_poll() {
    let look = REACTOR.with_borrow_mut(|reactor| {
        reactor.polls += 1;
        let look = reactor.polls >= INTERVAL.max(reactor.pollables());
        if look {
            reactor.polls = 0;
        }
        look && (reactor.pollables() > 0 || !reactor.sleeping.is_empty())
    });
    if look {
        wake_due();
        #[cfg(target_family = "wasm")]
        if REACTOR.with_borrow(|reactor| reactor.pollables() > 0) {
            // Ready at once: nobody waits.
            wake_ready(Some(0));
        }
    }
}

/// Sleeps until a future is woken, the time has come, or there is a token.
pub(super) fn wait(token: &source::Token, until: Option<u64>) {
    let next = REACTOR.with_borrow_mut(|reactor| {
        reactor.polls = 0;
        reactor.next_time()
    });
    let until = next.into_iter().chain(until).min();
    #[cfg(not(target_family = "wasm"))]
    token.wait(until);
    #[cfg(target_family = "wasm")]
    if !token.take() {
        assert!(
            until.is_some() || REACTOR.with_borrow(|reactor| reactor.pollables() > 0),
            "`block_on` would wait for ever: all futures that are left wait, none of them for a `sleep` or a \
             pollable, and there is nobody else to wake them"
        );
        wake_ready(until);
    }
    wake_due();
}

/// A future that completes after a time; see [`sleep`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Sleep {
    at: u64,
    /// Where its waker is.
    key: Option<u64>,
    /// The reactor is the thread's.
    _not_send: PhantomData<*mut ()>,
}

/// Waits for `time` from now, in a future that [`block_on`](crate::block_on) runs; the others go on
/// meanwhile.
///
/// Any number of futures may sleep at the same time: together they cost the host one timer. Dropping
/// the future, as when it loses a race, ends the wait. Natively the clock is
/// [`std::time::Instant`]'s, in a component `wasi:clocks/monotonic-clock`.
///
/// # Panics
///
/// When it is polled outside of `block_on`.
///
/// # Examples
///
/// ```
/// use hart_guest::{block_on, sleep};
/// use std::time::{Duration, Instant};
///
/// let started = Instant::now();
/// block_on(sleep(Duration::from_millis(5)));
/// assert!(started.elapsed() >= Duration::from_millis(5));
/// ```
pub fn sleep(time: Duration) -> Sleep {
    Sleep {
        at: source::now().saturating_add(nanoseconds(time)),
        key: None,
        _not_send: PhantomData,
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        inside("sleep", |_| ());
        if source::now() >= self.at {
            return Poll::Ready(());
        }
        let at = self.at;
        let waker = cx.waker().clone();
        let (key, old) = REACTOR.with_borrow_mut(|reactor| {
            let key = self.key.unwrap_or_else(|| reactor.next_key());
            (key, reactor.sleeping.insert((at, key), waker))
        });
        self.key = Some(key);
        drop(old);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            // A thread that ends has no reactor any more.
            let waker =
                REACTOR.try_with(|reactor| reactor.borrow_mut().sleeping.remove(&(self.at, key)));
            drop(waker);
        }
    }
}

/// A future that completes when a pollable is ready; see [`ready`].
#[cfg(target_family = "wasm")]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Ready {
    pollable: std::rc::Rc<wasi::Pollable>,
    key: Option<u64>,
}

/// Waits until `pollable` is ready, in a future that [`block_on`](crate::block_on) runs; the others go on
/// meanwhile.
///
/// It takes the pollable, or an `Rc` of it to wait for it again. Pollables of other bindings become this
/// one by [`Pollable::from_handle`](wasi::Pollable), or are it, where these bindings were generated with
/// [`wasi`](crate::wasi) in their `with`. A stream must outlive its pollables, so drop this future
/// before it. Each call of the host looks at all pollables that are waited for: for times use
/// [`sleep`], which does not.
///
/// # Panics
///
/// When it is polled outside of `block_on`.
#[cfg(target_family = "wasm")]
pub fn ready(pollable: impl Into<std::rc::Rc<wasi::Pollable>>) -> Ready {
    Ready {
        pollable: pollable.into(),
        key: None,
    }
}

#[cfg(target_family = "wasm")]
impl Future for Ready {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        inside("ready", |_| ());
        let mut waker = cx.waker().clone();
        let key = self.key;
        let (key, ready) = REACTOR.with_borrow_mut(|reactor| match key {
            None => {
                let key = reactor.next_key();
                let pollable = self.pollable.clone();
                reactor.waiting.insert(
                    key,
                    Waiting {
                        pollable,
                        waker: waker.clone(),
                    },
                );
                (key, false)
            }
            Some(key) => match reactor.waiting.get_mut(&key) {
                Some(waiting) => {
                    std::mem::swap(&mut waiting.waker, &mut waker);
                    (key, false)
                }
                None => (key, true),
            },
        });
        if ready {
            return Poll::Ready(());
        }
        self.key = Some(key);
        Poll::Pending
    }
}

#[cfg(target_family = "wasm")]
impl Drop for Ready {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waiting = REACTOR.try_with(|reactor| reactor.borrow_mut().waiting.remove(&key));
            drop(waiting);
        }
    }
}

#[cfg(target_family = "wasm")]
impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ready").finish_non_exhaustive()
    }
}
