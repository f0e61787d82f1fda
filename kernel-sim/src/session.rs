//! A host on a machine that a program talks to while its guests run.

use crate::{
    config::Config,
    guest::{GuestError, Guests, Outside, host},
    machine::Machine,
    oracle::{Failure, Oracle},
    run::{Outcome, Runner, Turn},
};
use hart_host::Host;
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
};

/// A host on a machine whose time goes on only while the program waits: for those who start runs and
/// talk to them in the middle, as a test script does. A [`Guest`](crate::Guest) is simpler where it does.
///
/// # Examples
///
/// ```
/// use hart_sim::{Config, SLICE, Session};
///
/// let mut session = Session::new(&Config::new(7), SLICE)?;
/// let component = session.host().load(br#"
///     (component
///         (core module $m (func (export "f") (result i32) i32.const 42))
///         (core instance $i (instantiate $m))
///         (func (export "answer") (result u32) (canon lift (core func $i "f"))))
/// "#)?;
/// for _ in 0..2 {
///     let run = session.host().invoke(&component, "answer()")?.start()?;
///     let outcome = session.block_on(run).unwrap()?;
///     assert_eq!(outcome.to_wave()?, "42");
/// }
/// assert!(session.finish().failure.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "the last promises are checked by `finish`"]
pub struct Session {
    host: Host<Outside>,
    /// `None` only when it is finished.
    runner: Option<Runner>,
}

impl Session {
    /// Makes a machine and a host on it, with `slice` units of fuel between two preemption points.
    ///
    /// # Errors
    ///
    /// [`GuestError::Build`] if the engine cannot be made.
    ///
    /// # Panics
    ///
    /// As [`run`](crate::run), and where a fault of `config` can cancel a run: there is more than one.
    pub fn new(config: &Config, slice: u64) -> Result<Self, GuestError> {
        assert!(
            !config.faults.harm_guests(),
            "faults that end guests make no sense here: {}",
            config.faults
        );
        let config = config.of_guests();
        let machine = Arc::new(Machine::new(&config));
        let host = host(&machine, None, config.harts, PLACES, slice)?;
        Ok(Self::over(&config, machine, host, || {}))
    }

    /// On a machine and a host that are there already. The fault `cancel` calls `cancel`.
    pub(crate) fn over(
        config: &Config,
        machine: Arc<Machine>,
        host: Host<Outside>,
        cancel: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let executor = host.runtime().executor().clone();
        let guests = Guests::new(host.clone(), cancel);
        let runner = Runner::new(config, machine, executor, Some(Box::new(guests)));
        Self {
            host,
            runner: Some(runner),
        }
    }

    /// The host.
    pub fn host(&self) -> &Host<Outside> {
        &self.host
    }

    /// Lets the machine go on until `future` is ready.
    ///
    /// # Errors
    ///
    /// The promise that was broken meanwhile, or before. That a future can never be ready, as nothing
    /// goes on any more, is one of them.
    pub fn block_on<F: Future>(&mut self, future: F) -> Result<F::Output, Failure> {
        let runner = self.runner.as_mut().expect("there until it is finished");
        let mut future = pin!(future);
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(woken.clone());
        loop {
            if woken.0.swap(false, Relaxed)
                && let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return Ok(output);
            }
            match runner.turn(false) {
                Turn::On => {}
                Turn::Quiet if woken.0.load(Relaxed) => {}
                Turn::Quiet => runner.machine().fail(Oracle::Progress, || {
                    "nothing goes on any more, and what is waited for is not there".into()
                }),
                Turn::Failed => {
                    let failure = runner.machine().lock().failure.clone();
                    return Err(failure.expect("it has failed"));
                }
            }
        }
    }

    /// The promise that was broken, if one was: then nothing goes on any more.
    pub fn failure(&self) -> Option<Failure> {
        let runner = self.runner.as_ref()?;
        runner.machine().lock().failure.clone()
    }

    /// Lets what is left go on to its end, closes the host, and checks that nothing is left.
    pub fn finish(mut self) -> Outcome {
        let runner = self.runner.take().expect("finished once");
        finish(runner)
    }
}

/// Places in the pool of instances.
const PLACES: u32 = 1_000;

fn finish(mut runner: Runner) -> Outcome {
    runner.go();
    runner.finish()
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(runner) = self.runner.take() {
            if std::thread::panicking() {
                // No hart may go on while one panics.
                std::mem::forget(runner);
            } else {
                drop(finish(runner));
            }
        }
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Relaxed: one thread.
        self.0.store(true, Relaxed);
    }
}
