//! A call as the driver sees it.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Poll;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::task::AtomicWaker;
use wasmtime::Store;
use wasmtime::component::{Accessor, Instance};

use super::error::InstanceError;
use super::life::Life;
use crate::base::sync::lock;
use crate::instance::error::RunError;
use crate::instance::store::GuestState;
use crate::quota::kill::Kill;
use crate::quota::limits::{LimitKind, LimitReached};
use crate::sched::clock::Clock;
use crate::sched::clock::timers::{Expire, TimerKey};

/// What a call does; then its result is to be delivered.
pub(super) enum Body<T: 'static> {
    /// It has the store for itself.
    Alone(Alone<T>),
    /// It shares the store's event loop with others.
    Together(Together<T>),
}

pub(super) type Alone<T> = Box<
    dyn for<'a> FnOnce(
            &'a mut Store<GuestState<T>>,
            Instance,
        ) -> BoxFuture<'a, wasmtime::Result<Deliver>>
        + Send,
>;

pub(super) type Together<T> = Box<
    dyn for<'a> FnOnce(
            &'a Accessor<GuestState<T>>,
            Instance,
        ) -> BoxFuture<'a, wasmtime::Result<Deliver>>
        + Send,
>;

/// Brings a result to where its caller waits.
pub(super) type Deliver = Box<dyn FnOnce() + Send>;

/// A call that waits for its turn.
pub(super) struct Job<T: 'static> {
    pub(super) ticket: Arc<Ticket>,
    pub(super) body: Body<T>,
    /// The most CPU time that it may use.
    pub(super) cpu: Option<Duration>,
}

/// A call that begins and may have others beside it, and the most CPU time that it may use.
pub(super) type Beside<T> = (Arc<Ticket>, Together<T>, Option<Duration>);

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    Waits,
    Runs,
    /// It was done, or has failed.
    Done,
    /// Its caller is gone.
    Dropped,
    /// Its time was over before its turn.
    Expired,
    /// There is no instance for it.
    Left,
}

/// What a caller, the driver and the clock share of a call.
pub(super) struct Ticket {
    phase: AtomicU8,
    /// The run that does it, once it runs.
    life: OnceLock<Arc<Life>>,
    wall: Option<Duration>,
    timer: Mutex<Option<TimerKey>>,
    /// Rings where it expires.
    bell: AtomicWaker,
}

impl Ticket {
    pub(super) fn new(wall: Option<Duration>) -> Arc<Self> {
        Arc::new(Self {
            phase: AtomicU8::new(Phase::Waits as u8),
            life: OnceLock::new(),
            wall,
            timer: Mutex::default(),
            bell: AtomicWaker::new(),
        })
    }

    /// Its time on the clock begins.
    pub(super) fn starts(self: &Arc<Self>, clock: &Clock) {
        if let Some(deadline) = self.wall.and_then(|wall| clock.now().checked_add(wall)) {
            let expires: Arc<dyn Expire> = self.clone();
            *lock(&self.timer) = Some(clock.at(deadline, Arc::downgrade(&expires)));
        }
    }

    fn moves(&self, from: Phase, to: Phase) -> bool {
        // AcqRel: pairs with itself. Whoever moves it on sees what the one before has set, the life above all.
        let moved =
            self.phase
                .compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire);
        moved.is_ok()
    }

    pub(super) fn is(&self, phase: Phase) -> bool {
        // Acquire: pairs with the AcqRel in `moves`.
        self.phase.load(Ordering::Acquire) == phase as u8
    }

    /// The driver begins with it, unless it was given up.
    pub(super) fn begins(&self, life: &Arc<Life>) -> bool {
        let _ = self.life.set(life.clone());
        self.moves(Phase::Waits, Phase::Runs)
    }

    pub(super) fn ends(&self) {
        self.moves(Phase::Runs, Phase::Done);
    }

    /// There is no instance for it, because that run is over.
    pub(super) fn leaves(&self, life: &Arc<Life>) {
        let _ = self.life.set(life.clone());
        self.moves(Phase::Waits, Phase::Left);
    }

    /// Its caller goes away: a call that runs is ended, with the instance.
    pub(super) fn drops(&self) {
        if !self.moves(Phase::Waits, Phase::Dropped) && self.is(Phase::Runs) {
            self.kill(Kill::Cancelled);
        }
    }

    /// Waits until it expires.
    pub(super) async fn expires(&self) {
        poll_fn(|cx| {
            self.bell.register(cx.waker());
            match self.is(Phase::Expired) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    /// Why it has no result. To be called once nobody can give it one any more.
    pub(super) async fn failure(&self) -> InstanceError {
        if self.is(Phase::Expired) {
            return InstanceError::Expired(self.limit());
        }
        let reason = match self.life.get() {
            Some(life) => life.reason().await,
            None => Arc::new(RunError::Closed),
        };
        match self.is(Phase::Left) {
            true => InstanceError::Ended(reason),
            false => InstanceError::Failed(reason),
        }
    }

    fn kill(&self, kill: Kill) {
        if let Some(life) = self.life.get() {
            life.kill(kill);
        }
    }

    /// No timer of it is left.
    pub(super) fn forget(&self, clock: &Clock) {
        if let Some(key) = lock(&self.timer).take() {
            clock.forget(key);
        }
    }

    /// The limit of time that it has.
    fn limit(&self) -> LimitReached {
        LimitReached::time(LimitKind::TaskTimeout, self.wall.unwrap_or_default())
    }
}

impl Expire for Ticket {
    fn expire(self: Arc<Self>) {
        if self.moves(Phase::Waits, Phase::Expired) {
            self.bell.wake();
        } else if self.is(Phase::Runs) {
            self.kill(Kill::Limit(self.limit()));
        }
    }
}
