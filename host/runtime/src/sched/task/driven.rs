//! The future that polls a guest.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};

use hart_executor::Verdict;

use crate::quota::kill::Kill;
use crate::sched::machine::Fate;
use crate::sched::task::control::{Control, Trigger};
use crate::sched::task::current;
use crate::sched::task::wake::Polling;

impl Wake for Control {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.waker.wake(current::is(self), &self.runtime.clock);
    }
}

/// Why a driven future has no output.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It was killed.
    Killed(Kill),
    /// It panicked; the text is the panic's message.
    Panicked(String),
    /// The simulated machine has it trap.
    Trapped,
}

/// What came of a poll in slices.
enum Sliced<T> {
    Ready(T),
    /// It waits for something that will wake it.
    Waits,
    /// It was woken already, for its next turn.
    GivesWay,
    Trapped,
}

/// Polls `F` under a [`Control`].
///
/// When it is ready, `F` has been dropped, and with it the store that it owned. It must not be polled
/// after that.
pub(crate) struct Driven<F> {
    control: Arc<Control>,
    future: Option<Pin<Box<F>>>,
    /// Of `control`.
    waker: Waker,
    waits: bool,
}

impl<F: Future> Driven<F> {
    pub(crate) fn new(control: Arc<Control>, future: F) -> Self {
        Self {
            waker: Waker::from(control.clone()),
            control,
            future: Some(Box::pin(future)),
            waits: false,
        }
    }
}

impl<F> Driven<F> {
    /// Drops the future now.
    pub(crate) fn clear(&mut self) {
        self.future = None;
    }

    /// Whether it waits for something, after a poll that was not ready; else it only lets others go first.
    pub(crate) fn waits(&self) -> bool {
        self.waits
    }
}

impl<F: Future> Future for Driven<F> {
    type Output = Result<F::Output, Stop>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self {
            control,
            future: slot,
            waker,
            waits,
        } = self.get_mut();
        let Some(future) = slot.as_mut() else {
            panic!("a driven future was polled after it was ready");
        };
        if let Some(kill) = control.killed() {
            control.does_not_go_on();
            return Poll::Ready(dispose(slot, Err(Stop::Killed(kill))));
        }
        let _entered = current::enter(control);
        let surrounded = control.surrounded.load(Ordering::Relaxed);
        control.unseen.store(surrounded, Ordering::Relaxed);
        control.again.store(false, Ordering::Relaxed);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            poll_in_slices(control, future.as_mut(), waker, cx)
        }));
        *waits = matches!(polled, Ok(Sliced::Waits));
        match polled {
            Ok(Sliced::Trapped) => Poll::Ready(dispose(slot, Err(Stop::Trapped))),
            Ok(Sliced::Ready(output)) => Poll::Ready(dispose(slot, Ok(output))),
            Ok(Sliced::Waits | Sliced::GivesWay) => match control.killed() {
                Some(kill) => Poll::Ready(dispose(slot, Err(Stop::Killed(kill)))),
                None => Poll::Pending,
            },
            Err(panic) => {
                let text = panic_text(&*panic);
                Poll::Ready(dispose(slot, Err(Stop::Panicked(text))))
            }
        }
    }
}

/// Drops the future, whose store may hold anything of the embedder's; a panic there is the task's.
fn dispose<F, T>(slot: &mut Option<F>, result: Result<T, Stop>) -> Result<T, Stop> {
    match (catch_unwind(AssertUnwindSafe(|| *slot = None)), result) {
        (Err(panic), Ok(_) | Err(Stop::Killed(_))) => Err(Stop::Panicked(panic_text(&*panic))),
        (_, result) => result,
    }
}

/// Polls a guest; one that meters fuel again after every slice, for as long as nobody waits.
fn poll_in_slices<F: Future>(
    control: &Control,
    mut future: Pin<&mut F>,
    waker: &Waker,
    cx: &mut Context<'_>,
) -> Sliced<F::Output> {
    loop {
        let recalled = control.recalled.swap(false, Ordering::Relaxed);
        let polling = Polling::begin(&control.waker, &control.runtime.clock, cx.waker(), recalled);
        let polled = future.as_mut().poll(&mut Context::from_waker(waker));
        control.recall(&polling);
        let woken = polling.end();
        if let Poll::Ready(output) = polled {
            // Ended, so that it cannot trap any more.
            let _ = tell(control, control.last_fuel.load(Ordering::Relaxed));
            return Sliced::Ready(output);
        }
        if !woken {
            return Sliced::Waits;
        }
        if control.again.swap(false, Ordering::Relaxed) {
            continue;
        }
        let gives_way = control.yielded.swap(false, Ordering::Relaxed);
        if gives_way || !control.fuel.load(Ordering::Relaxed) {
            cx.waker().wake_by_ref();
            return Sliced::GivesWay;
        }
        if tell(control, control.slice.load(Ordering::Relaxed)) == Fate::Trap {
            return Sliced::Trapped;
        }
        match control.preemption_point(Trigger::Fuel) {
            Ok(Verdict::Continue) => {}
            Ok(Verdict::Yield) => {
                control.preempted();
                cx.waker().wake_by_ref();
                return Sliced::GivesWay;
            }
            // The caller sees the kill and drops the guest.
            Err(_) => return Sliced::GivesWay,
        }
    }
}

/// Tells the simulated machine, if there is one, what the guest has used.
fn tell(control: &Control, units: u64) -> Fate {
    match &control.runtime.machine {
        Some(machine) if units > 0 => current::suspended(|| machine.fuel_used(units)),
        _ => Fate::Continue,
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    crate::base::text::line(text)
}

/// Wakes itself and is ready at its second poll: to the back of the queue.
pub(crate) fn yield_once() -> impl Future<Output = ()> + Send {
    let mut yielded = false;
    std::future::poll_fn(move |cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}
