//! The executors that are compared, behind what a benchmark needs of one.

use hart_executor::{Executor, Group, JoinHandle, Worker};
use std::{future::Future, sync::Arc, thread};

/// An executor with its workers running. Dropping it stops them.
pub(crate) trait Peer: Send + Sync + 'static {
    /// What can be cloned into tasks in order to spawn from there.
    type Spawner: Spawner;

    fn start(workers: usize) -> Self;
    fn workers(&self) -> usize;
    fn spawner(&self) -> Self::Spawner;
}

/// Spawns tasks, from inside and from outside.
pub(crate) trait Spawner: Clone + Send + Sync + 'static {
    type Join<T: Send + 'static>: Future<Output = T> + Send + 'static;

    fn spawn<F>(&self, future: F) -> Self::Join<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// Spawns and forgets.
    fn detach<F>(&self, future: F)
    where
        F: Future<Output = ()> + Send + 'static;

    /// Goes to the back of the queue, as this executor does it.
    fn yield_now() -> impl Future<Output = ()> + Send;
}

// === hart ===

pub(crate) struct Hart {
    executor: Executor,
    threads: Vec<thread::JoinHandle<()>>,
}

#[derive(Clone)]
pub(crate) struct HartSpawner {
    executor: Executor,
    group: Option<Group>,
}

impl Peer for Hart {
    type Spawner = HartSpawner;

    fn start(workers: usize) -> Self {
        let executor = Executor::with_capacity(workers);
        let threads = (0..workers)
            .map(|_| {
                let executor = executor.clone();
                thread::spawn(move || {
                    if let Ok(mut worker) = Worker::new(&executor) {
                        let _closed = worker.run(std::future::pending::<()>());
                    }
                })
            })
            .collect();
        Self { executor, threads }
    }

    fn workers(&self) -> usize {
        self.threads.len()
    }

    fn spawner(&self) -> HartSpawner {
        HartSpawner {
            executor: self.executor.clone(),
            group: None,
        }
    }
}

impl Drop for Hart {
    fn drop(&mut self) {
        self.executor.close();
        for thread in self.threads.drain(..) {
            thread.join().expect("a worker does not panic");
        }
    }
}

/// hart's fair lane: everything is spawned in one group.
pub(crate) struct HartFair {
    hart: Hart,
    group: Group,
}

impl Peer for HartFair {
    type Spawner = HartSpawner;

    fn start(workers: usize) -> Self {
        let hart = Hart::start(workers);
        let group = hart.executor.group().name("bench").build();
        Self { hart, group }
    }

    fn workers(&self) -> usize {
        self.hart.workers()
    }

    fn spawner(&self) -> HartSpawner {
        HartSpawner {
            executor: self.hart.executor.clone(),
            group: Some(self.group.clone()),
        }
    }
}

/// A joined task, whose panics and cancels are the benchmark's own faults.
pub(crate) struct Joined<T>(JoinHandle<T>);

impl<T> Future for Joined<T> {
    type Output = T;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<T> {
        std::pin::Pin::new(&mut self.0)
            .poll(cx)
            .map(|result| result.expect("no task fails here"))
    }
}

impl Spawner for HartSpawner {
    type Join<T: Send + 'static> = Joined<T>;

    fn spawn<F>(&self, future: F) -> Joined<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Joined(match &self.group {
            None => self.executor.spawn(future),
            Some(group) => self.executor.build_task().group(group).spawn(future),
        })
    }

    fn detach<F>(&self, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(self.spawn(future));
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        hart_executor::yield_now()
    }
}

// === tokio ===

pub(crate) struct Tokio {
    runtime: tokio::runtime::Runtime,
    workers: usize,
}

#[derive(Clone)]
pub(crate) struct TokioSpawner(tokio::runtime::Handle);

impl Peer for Tokio {
    type Spawner = TokioSpawner;

    fn start(workers: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .build()
            .expect("threads can be started");
        Self { runtime, workers }
    }

    fn workers(&self) -> usize {
        self.workers
    }

    fn spawner(&self) -> TokioSpawner {
        TokioSpawner(self.runtime.handle().clone())
    }
}

/// A joined task, whose panics are the benchmark's own faults.
pub(crate) struct TokioJoined<T>(tokio::task::JoinHandle<T>);

impl<T> Future for TokioJoined<T> {
    type Output = T;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<T> {
        std::pin::Pin::new(&mut self.0)
            .poll(cx)
            .map(|result| result.expect("no task fails here"))
    }
}

impl Spawner for TokioSpawner {
    type Join<T: Send + 'static> = TokioJoined<T>;

    fn spawn<F>(&self, future: F) -> TokioJoined<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        TokioJoined(self.0.spawn(future))
    }

    fn detach<F>(&self, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(self.0.spawn(future));
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        tokio::task::yield_now()
    }
}

// === async-executor ===

pub(crate) struct AsyncExecutor {
    executor: Arc<async_executor::Executor<'static>>,
    stop: Option<futures::channel::oneshot::Sender<()>>,
    threads: Vec<thread::JoinHandle<()>>,
}

#[derive(Clone)]
pub(crate) struct SmolSpawner(Arc<async_executor::Executor<'static>>);

impl Peer for AsyncExecutor {
    type Spawner = SmolSpawner;

    fn start(workers: usize) -> Self {
        use futures::FutureExt as _;

        let executor = Arc::new(async_executor::Executor::new());
        let (stop, stopped) = futures::channel::oneshot::channel::<()>();
        let stopped = stopped.map(drop).shared();
        let threads = (0..workers)
            .map(|_| {
                let (executor, stopped) = (executor.clone(), stopped.clone());
                thread::spawn(move || futures::executor::block_on(executor.run(stopped)))
            })
            .collect();
        Self {
            executor,
            stop: Some(stop),
            threads,
        }
    }

    fn workers(&self) -> usize {
        self.threads.len()
    }

    fn spawner(&self) -> SmolSpawner {
        SmolSpawner(self.executor.clone())
    }
}

impl Drop for AsyncExecutor {
    fn drop(&mut self) {
        drop(self.stop.take());
        for thread in self.threads.drain(..) {
            thread.join().expect("a worker does not panic");
        }
    }
}

impl Spawner for SmolSpawner {
    type Join<T: Send + 'static> = async_executor::Task<T>;

    fn spawn<F>(&self, future: F) -> async_executor::Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.0.spawn(future)
    }

    fn detach<F>(&self, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.spawn(future).detach();
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        // What its own crates offer is the same: wake, return `Pending` once.
        hart_executor::yield_now()
    }
}
