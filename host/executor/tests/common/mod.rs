//! What the executor's tests share: values that count their drops, a machine that writes down what the
//! executor asks of it, and a guard against tests that hang.
#![allow(dead_code, reason = "no test file uses all of it")]

pub(crate) mod bed;

use allocator_api2::alloc::{AllocError, Allocator, Global};
use hart_executor::{CurrentWorker, Executor, Platform, Worker, WorkerId};
use std::{
    alloc::Layout,
    cell::Cell,
    future::Future,
    pin::Pin,
    ptr::NonNull,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

// === values that count ===

/// Gives out values and counts how many of them were dropped.
#[derive(Clone, Default)]
pub(crate) struct Drops(Arc<(AtomicUsize, AtomicUsize)>);

/// A value of [`Drops`]. Dropping one twice is caught by the count.
pub(crate) struct Counted(Drops);

impl Drops {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn value(&self) -> Counted {
        self.0.0.fetch_add(1, SeqCst);
        Counted(self.clone())
    }

    /// How many were given out.
    pub(crate) fn given(&self) -> usize {
        self.0.0.load(SeqCst)
    }

    /// How many were dropped.
    pub(crate) fn count(&self) -> usize {
        self.0.1.load(SeqCst)
    }

    /// Each value that was given out was dropped, once.
    #[track_caller]
    pub(crate) fn assert_all_once(&self) {
        assert_eq!(self.count(), self.given(), "drops against values");
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.1.fetch_add(1, SeqCst);
    }
}

// === a machine that writes down ===

thread_local! {
    static CORE: Cell<Option<CurrentWorker>> = const { Cell::new(None) };
}

type Hook = Box<dyn Fn(WorkerId) + Send + Sync>;

/// A platform without sleep, for tests that drive workers by hand: it counts what the executor asks for.
#[derive(Default)]
pub(crate) struct Machine {
    unparked: Mutex<Vec<usize>>,
    contended: AtomicUsize,
    /// Nanoseconds; moves on by one at every look.
    clock: AtomicU64,
    on_park: Mutex<Option<Arc<Hook>>>,
}

impl Machine {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// How often `worker` was unparked.
    pub(crate) fn unparked(&self, worker: WorkerId) -> usize {
        let unparked = self.unparked.lock().unwrap();
        unparked.get(worker).copied().unwrap_or(0)
    }

    /// Moves the clock on.
    pub(crate) fn advance(&self, nanoseconds: u64) {
        self.clock.fetch_add(nanoseconds, SeqCst);
    }

    /// How often the executor said that something waits for a busy worker.
    pub(crate) fn contended(&self) -> usize {
        self.contended.load(SeqCst)
    }

    /// Called instead of sleeping.
    pub(crate) fn on_park(&self, hook: impl Fn(WorkerId) + Send + Sync + 'static) {
        *self.on_park.lock().unwrap() = Some(Arc::new(Box::new(hook)));
    }
}

// SAFETY: the cell is a variable of the calling thread, which nothing but `set_current_worker` writes.
unsafe impl Platform for Machine {
    fn park(&self, worker: WorkerId, _: Option<u64>) {
        let hook = self.on_park.lock().unwrap().clone();
        hook.expect("nothing to do, and nobody to wake it")(worker);
    }

    fn unpark(&self, worker: WorkerId) {
        let mut unparked = self.unparked.lock().unwrap();
        if unparked.len() <= worker {
            unparked.resize(worker + 1, 0);
        }
        unparked[worker] += 1;
    }

    fn now(&self) -> u64 {
        self.clock.fetch_add(1, SeqCst)
    }

    fn cpu_time(&self) -> u64 {
        self.now()
    }

    fn current_worker(&self) -> Option<CurrentWorker> {
        CORE.with(Cell::get)
    }

    unsafe fn set_current_worker(&self, worker: Option<CurrentWorker>) -> Option<CurrentWorker> {
        CORE.with(|cell| cell.replace(worker))
    }

    fn contended(&self) {
        self.contended.fetch_add(1, SeqCst);
    }
}

/// An executor on a [`Machine`].
pub(crate) fn on_machine(workers: usize) -> (Executor, Arc<Machine>) {
    let machine = Machine::new();
    (Executor::with_platform(workers, machine.clone()), machine)
}

/// Steps until the worker would sleep; how many steps that took.
#[track_caller]
pub(crate) fn until_asleep(worker: &mut Worker) -> usize {
    for step in 1..=10_000 {
        if matches!(worker.step(), hart_executor::Step::Sleep { .. }) {
            return step;
        }
    }
    panic!("the worker does not come to rest");
}

// === futures ===

/// Is polled until `n` polls took place, giving way after each.
pub(crate) struct Yields(pub(crate) usize);

impl Future for Yields {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Never ready, never woken, and gives way at every poll.
pub(crate) struct Spins;

impl Future for Spins {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The wakers that a future was polled with, for tests to use.
#[derive(Clone, Default)]
pub(crate) struct Wakers(Arc<Mutex<Vec<Waker>>>);

impl Wakers {
    pub(crate) fn keep(&self, cx: &Context<'_>) {
        self.0.lock().unwrap().push(cx.waker().clone());
    }

    /// Room for so many.
    pub(crate) fn reserve(&self, wakers: usize) {
        self.0.lock().unwrap().reserve(wakers);
    }

    pub(crate) fn take(&self) -> Vec<Waker> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Polls once with a waker that does nothing.
pub(crate) fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// The result of a handle that must be complete.
#[track_caller]
pub(crate) fn joined<F: Future + Unpin>(mut handle: F) -> F::Output {
    match poll_once(&mut handle) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the handle of a complete task is not ready"),
    }
}

/// Blocks the thread until the future is ready, whatever executor drives it.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

// === memory ===

/// The global allocator, which counts what is out, and gives nothing when told so.
#[derive(Clone, Default)]
pub(crate) struct CountingAllocator(Arc<AllocatorState>);

#[derive(Default)]
struct AllocatorState {
    out: AtomicUsize,
    total: AtomicUsize,
    fails: AtomicBool,
}

impl CountingAllocator {
    /// Allocations that were not freed.
    pub(crate) fn out(&self) -> usize {
        self.0.out.load(SeqCst)
    }

    /// Allocations ever.
    pub(crate) fn total(&self) -> usize {
        self.0.total.load(SeqCst)
    }

    pub(crate) fn fail(&self, fails: bool) {
        self.0.fails.store(fails, SeqCst);
    }

    /// How many copies of the allocator there are: each task holds one until it is freed.
    pub(crate) fn copies(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

// SAFETY: passes every call on to `Global`; copies do the same.
unsafe impl Allocator for CountingAllocator {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if self.0.fails.load(SeqCst) {
            return Err(AllocError);
        }
        self.0.out.fetch_add(1, SeqCst);
        self.0.total.fetch_add(1, SeqCst);
        Global.allocate(layout)
    }

    unsafe fn deallocate(&self, memory: NonNull<u8>, layout: Layout) {
        self.0.out.fetch_sub(1, SeqCst);
        // SAFETY: the caller's: allocated by `allocate`, which asked `Global`.
        unsafe { Global.deallocate(memory, layout) };
    }
}

// === panics ===

/// What tests panic with on purpose.
pub(crate) const ON_PURPOSE: &str = "on purpose";

/// Keeps panics on purpose out of the output.
pub(crate) fn quiet_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&ON_PURPOSE) {
                hook(info);
            }
        }));
    });
}

// === hangs ===

/// Aborts the process if it is not dropped within two minutes: a test that hangs has failed. Not a measure
/// of time: nothing here takes a second.
pub(crate) struct HangGuard(mpsc::Sender<()>);

#[track_caller]
pub(crate) fn hang_guard() -> HangGuard {
    let (sender, receiver) = mpsc::channel();
    let at = std::panic::Location::caller();
    if !cfg!(miri) {
        thread::spawn(move || {
            let limit = Duration::from_secs(120);
            if receiver.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("the test at {at} hangs");
                std::process::abort();
            }
        });
    }
    HangGuard(sender)
}
