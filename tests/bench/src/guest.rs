//! The guests that are measured, and what the host notes about them.
//!
//! | type | meaning |
//! | --- | --- |
//! | [`Call`] | how a guest behaves: an export of `guest.wat`, with its arguments |
//! | [`State`] | what its store holds; when that is dropped, the guest is over |
//! | [`Crowd`] | guests that are waited for together |
//! | [`Tally`] | pieces of work that guests have done, and whether that is enough |
//! | [`Responses`] | how long after their due time guests were done |
//! | [`Ending`] | how a guest that is cancelled ends |

use hart_host::Timer;
use hart_host::wasmtime::{
    self, Engine, StoreContextMut,
    component::{Component, InstancePre, Linker, Val},
};
use std::{
    sync::{
        Arc, Condvar, LazyLock, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    time::{Duration, Instant},
};

const GUEST: &str = include_str!("guest.wat");

/// How a guest behaves. Work is in iterations; see [`Pace`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    /// Works until its tally says that it is enough, and tells it after every so many iterations.
    Spin { iterations: u64 },
    /// The same, but waits for another thread's answer after every so many iterations.
    Chatter { iterations: u64 },
    /// Works and is done.
    Once { iterations: u64 },
    /// Rests and works, in turn.
    Serve {
        rounds: u64,
        rest: Duration,
        iterations: u64,
    },
}

impl Call {
    pub(crate) fn export(self) -> &'static str {
        match self {
            Self::Spin { .. } => "spin",
            Self::Chatter { .. } => "chatter",
            Self::Once { .. } => "once",
            Self::Serve { .. } => "serve",
        }
    }

    pub(crate) fn arguments(self) -> Vec<Val> {
        match self {
            Self::Spin { iterations }
            | Self::Chatter { iterations }
            | Self::Once { iterations } => vec![Val::U64(iterations)],
            Self::Serve {
                rounds,
                rest,
                iterations,
            } => vec![
                Val::U64(rounds),
                Val::U64(nanoseconds(rest)),
                Val::U64(iterations),
            ],
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("no rest is 500 years long")
}

// === how a guest ends ===

/// Guests that are waited for together.
#[derive(Default)]
pub(crate) struct Crowd {
    live: Mutex<usize>,
    ended: Condvar,
}

/// One of a crowd, until it is dropped.
pub(crate) struct Member(Arc<Crowd>);

impl Crowd {
    pub(crate) fn join(self: &Arc<Self>) -> Member {
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Member(self.clone())
    }

    /// Waits until everybody has ended.
    pub(crate) fn wait(&self) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        while *live > 0 {
            live = self
                .ended
                .wait(live)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut live = self.0.live.lock().unwrap_or_else(PoisonError::into_inner);
        *live -= 1;
        if *live == 0 {
            self.0.ended.notify_all();
        }
    }
}

// === what is noted ===

/// Pieces of work that guests have done, and whether that is enough.
#[derive(Default)]
pub(crate) struct Tally {
    done: AtomicU64,
    /// Guests that have done their first piece.
    started: AtomicUsize,
    enough: AtomicBool,
}

impl Tally {
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.enough.store(true, Relaxed);
    }

    /// Waits until this many guests have begun to work.
    pub(crate) fn wait_for(&self, guests: usize) {
        while self.started.load(Relaxed) < guests {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// How long after their due time guests were done.
#[derive(Default)]
pub(crate) struct Responses(Mutex<Vec<Duration>>);

impl Responses {
    fn push(&self, response: Duration) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(response);
    }

    pub(crate) fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How a guest that is cancelled ends.
#[derive(Default)]
pub(crate) struct Ending {
    cancelled: OnceLock<Instant>,
    stopped: OnceLock<Duration>,
    gone: OnceLock<Duration>,
}

impl Ending {
    /// To be called right before the guest is cancelled.
    pub(crate) fn cancel(&self) {
        let first = self.cancelled.set(Instant::now());
        first.expect("a guest is cancelled once");
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.get().is_some()
    }

    fn note(&self, time: &OnceLock<Duration>) {
        if let Some(cancelled) = self.cancelled.get() {
            time.get_or_init(|| cancelled.elapsed());
        }
    }

    /// From when it was cancelled to when it did not run any more.
    pub(crate) fn stopped(&self) -> Duration {
        *self.stopped.get().expect("it stopped")
    }

    /// From when it was cancelled to when its instance was gone.
    pub(crate) fn gone(&self) -> Duration {
        *self.gone.get().expect("it is gone")
    }
}

/// Notes, when it is dropped, that the guest has stopped.
pub(crate) struct Running(pub(crate) Arc<Ending>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.note(&self.0.stopped);
    }
}

/// What a guest's store holds.
pub(crate) struct State {
    _member: Member,
    pub(crate) tally: Arc<Tally>,
    pub(crate) responses: Arc<Responses>,
    pub(crate) ending: Arc<Ending>,
    /// The time that `done` counts from.
    pub(crate) due: Option<Instant>,
    /// The first rest is longer by this, so that guests do not march in step.
    pub(crate) phase: Duration,
    /// So many times `done` is one response: their sum.
    pub(crate) steps: u32,
    steps_done: u32,
    late: Duration,
    has_progressed: bool,
}

impl State {
    pub(crate) fn new(crowd: &Arc<Crowd>) -> Self {
        Self {
            _member: crowd.join(),
            tally: Arc::default(),
            responses: Arc::default(),
            ending: Arc::default(),
            due: None,
            phase: Duration::ZERO,
            steps: 1,
            steps_done: 0,
            late: Duration::ZERO,
            has_progressed: false,
        }
    }

    fn rest(&mut self, nanoseconds: u64) -> Instant {
        let rest = Duration::from_nanos(nanoseconds) + std::mem::take(&mut self.phase);
        *self.due.insert(Instant::now() + rest)
    }

    fn done(&mut self) {
        let due = self.due.expect("a guest rests before it is done");
        self.late += due.elapsed();
        self.steps_done += 1;
        if self.steps_done == self.steps {
            self.responses.push(std::mem::take(&mut self.late));
            self.steps_done = 0;
        }
    }

    fn progress(&mut self) -> bool {
        self.tally.done.fetch_add(1, Relaxed);
        if !std::mem::replace(&mut self.has_progressed, true) {
            self.tally.started.fetch_add(1, Relaxed);
        }
        self.tally.enough.load(Relaxed)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.ending.note(&self.ending.gone);
    }
}

// === imports ===

/// Answers whoever asks, at once, from a thread of its own.
static RESPONDER: LazyLock<mpsc::Sender<futures::channel::oneshot::Sender<()>>> =
    LazyLock::new(|| {
        let (ask, questions) = mpsc::channel::<futures::channel::oneshot::Sender<()>>();
        std::thread::spawn(move || {
            for question in questions {
                // Whoever does not wait any more was cancelled.
                let _ = question.send(());
            }
        });
        ask
    });

async fn ask() {
    let (answer, wait) = futures::channel::oneshot::channel();
    RESPONDER.send(answer).expect("the responder never ends");
    wait.await.expect("the responder answers");
}

/// How a guest waits.
pub(crate) enum Waits {
    Blocking,
    /// By tokio's timers.
    Tokio,
    /// By those of hart's runtime.
    Hart(Timer),
}

/// The guest, ready to be instantiated.
pub(crate) fn prepare(engine: &Engine, waits: Waits) -> wasmtime::Result<InstancePre<State>> {
    let mut linker = Linker::<State>::new(engine);
    let mut root = linker.root();
    root.func_wrap("done", |mut store: StoreContextMut<'_, State>, ()| {
        store.data_mut().done();
        Ok(())
    })?;
    root.func_wrap("progress", |mut store: StoreContextMut<'_, State>, ()| {
        Ok((store.data_mut().progress(),))
    })?;
    if let Waits::Blocking = waits {
        root.func_wrap(
            "rest",
            |mut store: StoreContextMut<'_, State>, (nanoseconds,): (u64,)| {
                let due = store.data_mut().rest(nanoseconds);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                Ok(())
            },
        )?;
        root.func_wrap("ask", |_: StoreContextMut<'_, State>, ()| {
            futures::executor::block_on(ask());
            Ok(())
        })?;
    } else {
        root.func_wrap_async(
            "rest",
            move |mut store: StoreContextMut<'_, State>, (nanoseconds,): (u64,)| {
                let timer = match &waits {
                    Waits::Hart(timer) => Some(timer.clone()),
                    _ => None,
                };
                Box::new(async move {
                    let due = store.data_mut().rest(nanoseconds);
                    match timer {
                        Some(timer) => timer.sleep(due - Instant::now()).await,
                        None => tokio::time::sleep_until(due.into()).await,
                    }
                    Ok(())
                })
            },
        )?;
        root.func_wrap_async("ask", |_: StoreContextMut<'_, State>, ()| {
            Box::new(async move {
                ask().await;
                Ok(())
            })
        })?;
    }
    linker.instantiate_pre(&Component::new(engine, GUEST)?)
}

// === calibration ===

/// How fast a guest works on this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    iterations_per_second: f64,
}

impl Pace {
    /// A guest did so many iterations in this time, alone and uninterrupted.
    pub(crate) fn new(iterations: u64, took: Duration) -> Self {
        Self {
            iterations_per_second: iterations as f64 / took.as_secs_f64(),
        }
    }

    /// What takes this long on a core of one's own.
    pub(crate) fn iterations(self, work: Duration) -> u64 {
        (work.as_secs_f64() * self.iterations_per_second) as u64
    }
}
