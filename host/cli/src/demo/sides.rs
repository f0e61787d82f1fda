//! The two sides: hart, and tokio with wasmtime as its documentation sets it up. Both have an engine with
//! hart's settings, and as many workers.

use super::guest::{Notes, Pace, State, prepare};
use hart_host::{Cache, Host, Preemption};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wasmtime::component::InstancePre;
use wasmtime::{Engine, Store, UpdateDeadline};

/// How long a spinner works between two signs of life.
const PIECE: Duration = Duration::from_micros(50);

/// Between two epochs, for tokio: hart's own slice.
const EPOCH: Duration = Preemption::DEFAULT_SLICE;

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Hart,
    Tokio,
}

pub(super) const KINDS: [Kind; 2] = [Kind::Hart, Kind::Tokio];

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hart => "hart",
            Self::Tokio => "tokio + wasmtime, 1 ms epochs",
        }
    }
}

/// Who runs.
#[derive(Clone, Copy)]
pub(super) struct Crowd {
    pub(super) workers: usize,
    pub(super) guests: u32,
    pub(super) spinners: u32,
    pub(super) rest: Duration,
    pub(super) work: Duration,
    pub(super) pace: Pace,
}

/// How it went so far.
pub(super) struct Figures {
    pub(super) responses: Vec<Duration>,
    /// How many cores' work the spinners did.
    pub(super) spinners: f64,
}

/// A side while it runs.
pub(super) struct Side {
    notes: Arc<Notes>,
    began: Instant,
    running: Running,
}

enum Running {
    Hart(Host),
    Tokio {
        runtime: tokio::runtime::Runtime,
        engine: Engine,
        stop: Arc<AtomicBool>,
        ticker: std::thread::JoinHandle<()>,
        /// Whose engine it is.
        _host: Host,
    },
}

impl Side {
    /// Starts all guests.
    pub(super) fn start(kind: Kind, crowd: Crowd) -> wasmtime::Result<Self> {
        let host = Host::builder()
            .workers(crowd.workers)
            .preemption(Preemption::Epoch { slice: EPOCH })
            .instances(crowd.guests + crowd.spinners)
            .cache(Cache::Off)
            .build()?;
        let engine = host.engine().clone();
        let pre = prepare(&engine)?;
        let notes = Arc::new(Notes::default());
        let state = |phase| State {
            notes: notes.clone(),
            rest: crowd.rest,
            due: Instant::now() + phase,
        };
        let work = crowd.pace.iterations(crowd.work);
        let piece = crowd.pace.iterations(PIECE);
        // They must not march in step.
        let phases = (0..crowd.guests).map(|guest| crowd.rest * guest / crowd.guests);
        let guests = (0..crowd.spinners)
            .map(|_| ("spin", piece, Duration::ZERO))
            .chain(phases.map(|phase| ("serve", work, phase)));
        let running = match kind {
            Kind::Hart => {
                for (export, iterations, phase) in guests {
                    let (pre, state) = (pre.clone(), state(phase));
                    let group = host.runtime().group().build()?;
                    drop(group.spawn(async move |cx| {
                        let mut store = Store::new(pre.engine(), state);
                        cx.arm(&mut store)?;
                        live(&pre, &mut store, export, iterations, phase).await
                    }));
                }
                Running::Hart(host)
            }
            Kind::Tokio => {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(crowd.workers)
                    .enable_time()
                    .build()?;
                let stop = Arc::new(AtomicBool::new(false));
                let ticker = tick(engine.clone(), stop.clone());
                for (export, iterations, phase) in guests {
                    let (pre, state) = (pre.clone(), state(phase));
                    runtime.spawn(async move {
                        let mut store = Store::new(pre.engine(), state);
                        store.epoch_deadline_callback(|_| {
                            let others = tokio::task::yield_now();
                            Ok(UpdateDeadline::YieldCustom(1, Box::pin(others)))
                        });
                        store.set_epoch_deadline(1);
                        live(&pre, &mut store, export, iterations, phase).await
                    });
                }
                Running::Tokio {
                    runtime,
                    engine,
                    stop,
                    ticker,
                    _host: host,
                }
            }
        };
        Ok(Self {
            notes,
            began: Instant::now(),
            running,
        })
    }

    pub(super) fn figures(&self) -> Figures {
        let spun = self.notes.pieces() as f64 * PIECE.as_secs_f64();
        Figures {
            responses: self.notes.responses(),
            spinners: spun / self.began.elapsed().as_secs_f64(),
        }
    }

    /// Ends all guests.
    pub(super) fn stop(self) {
        match self.running {
            Running::Hart(host) => {
                host.runtime().close();
                drop(host);
            }
            Running::Tokio {
                runtime,
                engine,
                stop,
                ticker,
                ..
            } => {
                // Guests yield at their next epoch, and are then dropped.
                runtime.shutdown_timeout(Duration::from_secs(5));
                stop.store(true, Ordering::Relaxed);
                engine.increment_epoch();
                let _ = ticker.join();
            }
        }
    }
}

/// Runs a guest until it is dropped.
async fn live(
    pre: &InstancePre<State>,
    store: &mut Store<State>,
    export: &'static str,
    iterations: u64,
    phase: Duration,
) -> wasmtime::Result<()> {
    if !phase.is_zero() {
        tokio::time::sleep(phase).await;
    }
    let instance = pre.instantiate_async(&mut *store).await?;
    let export = instance.get_typed_func::<(u64,), ()>(&mut *store, export)?;
    export.call_async(&mut *store, (iterations,)).await
}

/// Increments the engine's epoch.
fn tick(engine: Engine, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(EPOCH);
            engine.increment_epoch();
        }
    })
}
