//! The work that is compared.

use super::peers::{Peer, Spawner};
use crate::measure::time;
use futures::{SinkExt as _, StreamExt as _, channel::oneshot};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    time::Duration,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    SpawnManyRemote,
    SpawnManyLocal,
    SpawnAwaitAll,
    YieldMany,
    PingPong,
    ChainedSpawn,
    BusyRemote,
    WakeStorm,
    Channels,
    Unbalanced,
    SpawnJoinLatency,
}

impl Work {
    pub(crate) const ALL: [Self; 11] = [
        Self::SpawnManyRemote,
        Self::SpawnManyLocal,
        Self::SpawnAwaitAll,
        Self::YieldMany,
        Self::PingPong,
        Self::ChainedSpawn,
        Self::BusyRemote,
        Self::WakeStorm,
        Self::Channels,
        Self::Unbalanced,
        Self::SpawnJoinLatency,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SpawnManyRemote => "spawn_many_remote",
            Self::SpawnManyLocal => "spawn_many_local",
            Self::SpawnAwaitAll => "spawn_await_all",
            Self::YieldMany => "yield_many",
            Self::PingPong => "ping_pong",
            Self::ChainedSpawn => "chained_spawn",
            Self::BusyRemote => "busy_remote",
            Self::WakeStorm => "wake_storm",
            Self::Channels => "channels",
            Self::Unbalanced => "unbalanced",
            Self::SpawnJoinLatency => "spawn_join_latency",
        }
    }

    /// Does the work once.
    pub(crate) fn run<P: Peer>(self, peer: &P) -> Duration {
        let spawner = peer.spawner();
        match self {
            Self::SpawnManyRemote => spawn_many_remote(&spawner),
            Self::SpawnManyLocal => spawn_many_local(&spawner),
            Self::SpawnAwaitAll => spawn_await_all(&spawner),
            Self::YieldMany => yield_many(&spawner),
            Self::PingPong => ping_pong(&spawner),
            Self::ChainedSpawn => chained_spawn(&spawner),
            Self::BusyRemote => busy_remote(&spawner, peer.workers()),
            Self::WakeStorm => wake_storm(&spawner),
            Self::Channels => channels(&spawner),
            Self::Unbalanced => unbalanced(&spawner),
            Self::SpawnJoinLatency => spawn_join_latency(&spawner),
        }
    }
}

/// Counts down; the last one signals the thread that waits outside.
#[derive(Clone)]
struct Latch {
    left: Arc<AtomicUsize>,
    done: mpsc::SyncSender<()>,
}

impl Latch {
    fn new(count: usize) -> (Self, mpsc::Receiver<()>) {
        let (done, wait) = mpsc::sync_channel(1);
        let left = Arc::new(AtomicUsize::new(count));
        (Self { left, done }, wait)
    }

    fn count_down(&self) {
        if self.left.fetch_sub(1, Relaxed) == 1 {
            self.done.send(()).expect("somebody waits");
        }
    }
}

/// Runs `main` as a task and waits for it from outside.
fn inside<S: Spawner>(spawner: &S, main: impl Future<Output = ()> + Send + 'static) {
    let (latch, wait) = Latch::new(1);
    spawner.detach(async move {
        main.await;
        latch.count_down();
    });
    wait.recv().expect("the task signals");
}

const SPAWNS: usize = 10_000;

/// 10,000 tasks from outside; the last one signals.
fn spawn_many_remote<S: Spawner>(spawner: &S) -> Duration {
    let (latch, wait) = Latch::new(SPAWNS);
    time(|| {
        for _ in 0..SPAWNS {
            let latch = latch.clone();
            spawner.detach(async move { latch.count_down() });
        }
        wait.recv().expect("the last task signals");
    })
}

/// The same from inside a worker.
fn spawn_many_local<S: Spawner>(spawner: &S) -> Duration {
    let (latch, wait) = Latch::new(SPAWNS);
    time(|| {
        let inner = spawner.clone();
        spawner.detach(async move {
            for _ in 0..SPAWNS {
                let latch = latch.clone();
                inner.detach(async move { latch.count_down() });
            }
        });
        wait.recv().expect("the last task signals");
    })
}

/// 10,000 tasks, then all are joined.
fn spawn_await_all<S: Spawner>(spawner: &S) -> Duration {
    time(|| {
        let inner = spawner.clone();
        inside(spawner, async move {
            let mut tasks = Vec::with_capacity(SPAWNS);
            for i in 0..SPAWNS {
                tasks.push(inner.spawn(async move { i }));
            }
            for task in tasks {
                task.await;
            }
        });
    })
}

/// 200 tasks that yield 1,000 times each.
fn yield_many<S: Spawner>(spawner: &S) -> Duration {
    const TASKS: usize = 200;
    let (latch, wait) = Latch::new(TASKS);
    time(|| {
        for _ in 0..TASKS {
            let latch = latch.clone();
            spawner.detach(async move {
                for _ in 0..1_000 {
                    S::yield_now().await;
                }
                latch.count_down();
            });
        }
        wait.recv().expect("the last task signals");
    })
}

/// 1,000 pairs of tasks that send each other a message and an answer.
fn ping_pong<S: Spawner>(spawner: &S) -> Duration {
    const PAIRS: usize = 1_000;
    let (latch, wait) = Latch::new(PAIRS);
    time(|| {
        let inner = spawner.clone();
        spawner.detach(async move {
            for _ in 0..PAIRS {
                let (latch, spawner) = (latch.clone(), inner.clone());
                inner.detach(async move {
                    let (ping, pinged) = oneshot::channel();
                    let (pong, ponged) = oneshot::channel();
                    spawner.detach(async move {
                        let () = pinged.await.expect("the other end waits");
                        pong.send(()).expect("the other end waits");
                    });
                    ping.send(()).expect("the other end waits");
                    ponged.await.expect("the other end answers");
                    latch.count_down();
                });
            }
        });
        wait.recv().expect("the last task signals");
    })
}

/// A task that spawns a task, and so on, 1,000 deep; ten times over.
fn chained_spawn<S: Spawner>(spawner: &S) -> Duration {
    fn link<S: Spawner>(spawner: S, latch: Latch, depth: usize) {
        if depth == 0 {
            return latch.count_down();
        }
        let inner = spawner.clone();
        spawner.detach(async move { link(inner, latch, depth - 1) });
    }

    time(|| {
        for _ in 0..10 {
            let (latch, wait) = Latch::new(1);
            link(spawner.clone(), latch, 1_000);
            wait.recv().expect("the last task signals");
        }
    })
}

/// 10,000 tasks from outside while tasks that yield for ever keep every worker busy.
fn busy_remote<S: Spawner>(spawner: &S, workers: usize) -> Duration {
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, wait_stopped) = Latch::new(workers);
    for _ in 0..workers {
        let (stop, stopped) = (stop.clone(), stopped.clone());
        spawner.detach(async move {
            while !stop.load(Relaxed) {
                S::yield_now().await;
            }
            stopped.count_down();
        });
    }
    let elapsed = spawn_many_remote(spawner);
    stop.store(true, Relaxed);
    wait_stopped.recv().expect("the busy tasks end");
    elapsed
}

/// 1,000 idle tasks that are woken from outside, all at once, 20 times.
fn wake_storm<S: Spawner>(spawner: &S) -> Duration {
    const TASKS: usize = 1_000;
    const STORMS: usize = 20;
    let (mut gates, mut receivers) = (Vec::new(), Vec::new());
    for _ in 0..TASKS {
        let (gate, receiver) = futures::channel::mpsc::unbounded::<Latch>();
        gates.push(gate);
        receivers.push(receiver);
    }
    let (ended, wait_ended) = Latch::new(TASKS);
    for mut receiver in receivers {
        let ended = ended.clone();
        spawner.detach(async move {
            while let Some(latch) = receiver.next().await {
                latch.count_down();
            }
            ended.count_down();
        });
    }
    let elapsed = time(|| {
        for _ in 0..STORMS {
            let (latch, wait) = Latch::new(TASKS);
            for gate in &gates {
                gate.unbounded_send(latch.clone()).expect("the task waits");
            }
            wait.recv().expect("the last task signals");
        }
    });
    drop(gates);
    wait_ended.recv().expect("the tasks end");
    elapsed
}

/// 100 messages through a chain of 300 stages joined by bounded channels.
fn channels<S: Spawner>(spawner: &S) -> Duration {
    time(|| {
        let inner = spawner.clone();
        inside(spawner, async move {
            let (mut first, mut input) = futures::channel::mpsc::channel::<usize>(1);
            for _ in 0..300 {
                let (mut output, next) = futures::channel::mpsc::channel(1);
                inner.detach(async move {
                    while let Some(message) = input.next().await {
                        output
                            .send(message + 1)
                            .await
                            .expect("the next stage waits");
                    }
                });
                input = next;
            }
            let last = inner.spawn(async move { input.count().await });
            for message in 0..100 {
                first.send(message).await.expect("the first stage waits");
            }
            drop(first);
            assert_eq!(last.await, 100);
        });
    })
}

/// One worker is given 1,000 tasks of some 10 us at once; the others have to steal them.
fn unbalanced<S: Spawner>(spawner: &S) -> Duration {
    const TASKS: usize = 1_000;
    let (latch, wait) = Latch::new(TASKS);
    time(|| {
        let inner = spawner.clone();
        spawner.detach(async move {
            for _ in 0..TASKS {
                let latch = latch.clone();
                inner.detach(async move {
                    crate::machine::spin(5_000);
                    latch.count_down();
                });
            }
        });
        wait.recv().expect("the last task signals");
    })
}

/// 5,000 times: spawn one task, wait for its result.
fn spawn_join_latency<S: Spawner>(spawner: &S) -> Duration {
    time(|| {
        let inner = spawner.clone();
        inside(spawner, async move {
            for i in 0..5_000 {
                assert_eq!(inner.spawn(async move { i }).await, i);
            }
        });
    })
}
