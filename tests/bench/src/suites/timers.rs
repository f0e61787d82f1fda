//! A million timers at once: what it takes to arm them, to cancel them, and to let them fire.

use crate::measure::{Bench, Case, time, used};
use futures::task::{ArcWake, waker};
use hart_host::Runtime;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::Context,
    thread,
    time::Duration,
};

const SUITE: &str = "timers";

pub(crate) fn run(bench: &mut Bench) {
    let hart = Runtime::builder()
        .workers(1)
        .build()
        .expect("the defaults fit this machine");
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .expect("threads can be made");
    let _entered = tokio.enter();
    let count = if bench.is_quick() { 100_000 } else { 1_000_000 };
    let timer = hart.timer();
    let hart = |length| timer.sleep(length);
    let peer = |length| Box::pin(tokio::time::sleep(length));
    let case = |name| Case {
        suite: SUITE,
        name,
        peer_name: "tokio",
    };
    bench.compare(
        &case("million/arm"),
        &mut || time_arm(count, hart),
        &mut || time_arm(count, peer),
    );
    bench.compare(
        &case("million/cancel"),
        &mut || time_cancel(count, hart),
        &mut || time_cancel(count, peer),
    );
    bench.compare(
        &case("million/fire"),
        &mut || time_fire(count, hart),
        &mut || time_fire(count, peer),
    );
}

/// Lengths between one second and two, in an order of no use to anybody.
fn lengths(count: usize) -> impl Iterator<Item = Duration> {
    let mut random = fastrand::Rng::with_seed(1);
    (0..count).map(move |_| Duration::from_nanos(random.u64(1_000_000_000..2_000_000_000)))
}

fn time_arm<F: Future + Unpin>(count: usize, make: impl Fn(Duration) -> F) -> Duration {
    let fired = Arc::new(Fired::default());
    let mut armed = Vec::with_capacity(count);
    time(|| armed.extend(arm(count, make, &fired)))
}

fn time_cancel<F: Future + Unpin>(count: usize, make: impl Fn(Duration) -> F) -> Duration {
    let fired = Arc::new(Fired::default());
    let armed: Vec<F> = arm(count, make, &fired).collect();
    time(|| drop(armed))
}

/// The CPU time of the process: the thread that fires has nothing to do between two of them.
fn time_fire<F: Future + Unpin>(count: usize, make: impl Fn(Duration) -> F) -> Duration {
    let fired = Arc::new(Fired::default());
    let armed: Vec<F> = arm(count, make, &fired).collect();
    let before = used();
    while fired.0.load(Relaxed) < count {
        thread::sleep(Duration::from_millis(5));
    }
    let took = used() - before;
    drop(armed);
    took
}

fn arm<F: Future + Unpin>(
    count: usize,
    make: impl Fn(Duration) -> F,
    fired: &Arc<Fired>,
) -> impl Iterator<Item = F> {
    let waker = waker(fired.clone());
    lengths(count).map(move |length| {
        let mut sleep = make(length);
        let polled = Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            waker.wake_by_ref();
        }
        sleep
    })
}

/// How many woke somebody.
#[derive(Default)]
struct Fired(AtomicUsize);

impl ArcWake for Fired {
    fn wake_by_ref(fired: &Arc<Self>) {
        fired.0.fetch_add(1, Relaxed);
    }
}
