//! Jobs of a NATS stream, on two workers: `hart work`'s library, against what one writes without it, a pull consumer of
//! async-nats whose messages are tasks of tokio's, each with a store of its own.
//!
//! Both take jobs that are there already, 64 at a time, store each result and wait for that, and then acknowledge the job.
//! Needs a nats-server: `HART_NATS_SERVER`, or `nats-server`.
//!
//! | row | what |
//! | --- | --- |
//! | `work/noop` | tasks that return at once |
//! | `work/1ms` | tasks that compute for about a millisecond |
//! | `work/beside-a-flood` | how long a small tenant's jobs take beside one that floods the stream |
//! | `work/kill-9` | how long a job takes at most while processes of workers are killed |

mod flood;
mod ground;
pub(crate) mod kills;

use crate::{
    ground::Ticker,
    measure::{Bench, Case, time},
};
use futures::{FutureExt as _, StreamExt as _};
use ground::{APP, CONCURRENCY, GUEST, SUITE, Server, Task, WORKERS, host};
use hart_host::{
    Component, Host,
    work::{
        App, Job, Queue,
        async_nats::{
            HeaderMap,
            jetstream::{
                self,
                consumer::{AckPolicy, pull},
                stream::{Config, RetentionPolicy},
            },
        },
    },
};
use std::{
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{runtime::Runtime, sync::Semaphore};

pub(crate) fn run(bench: &mut Bench) {
    let jobs = if bench.is_quick() { 500 } else { 5_000 };
    let cases = [("noop", 0), ("1ms", 1)];
    let names = ["noop", "1ms", "beside-a-flood", "kill-9"];
    if !names.iter().any(|name| bench.wants(SUITE, name)) {
        return;
    }
    let server = Server::start();
    let hart = Hart::start(&server);
    let peer = Peer::start(&server);
    let turns = peer.turns_of_a_millisecond();
    for (name, milliseconds) in cases {
        let input = (turns * milliseconds).to_le_bytes();
        bench.compare(
            &Case {
                suite: SUITE,
                name,
                peer_name: "async-nats, tokio",
            },
            &mut || hart.run(jobs, input),
            &mut || peer.run(jobs, input),
        );
    }
    // What takes turns with them is gone by then.
    drop((hart, peer));
    flood::run(bench, &server, turns);
    kills::run(bench, &server, turns);
}

struct Hart {
    host: Host,
    component: Component,
    queue: Queue,
}

impl Hart {
    fn start(server: &Server) -> Self {
        let host = host();
        let component = host.load(GUEST.as_bytes()).expect("the guest is valid");
        let queue = Self::tokio(&host).block_on(async { Queue::new(server.connect().await) });
        Self {
            queue,
            host,
            component,
        }
    }

    fn tokio(host: &Host) -> &tokio::runtime::Handle {
        host.runtime().tokio().expect("it has threads")
    }

    fn run(&self, jobs: usize, input: [u8; 8]) -> Duration {
        let tokio = Self::tokio(&self.host);
        tokio.block_on(async {
            let submit = |_| async {
                let job = Job::new("count", input.to_vec());
                self.queue.submit(APP, &job).await.expect("it is stored");
            };
            let submits = futures::stream::iter(0..jobs).map(submit);
            submits.buffer_unordered(CONCURRENCY).collect::<()>().await;
        });
        let done = Arc::<AtomicUsize>::default();
        let counted = done.clone();
        time(|| {
            tokio.block_on(async {
                let app = App::new(&self.host, APP, &self.component).concurrency(CONCURRENCY);
                let worker = self.host.worker(&self.queue).app(app);
                let worker = worker.job_log(move |_| {
                    counted.fetch_add(1, Relaxed);
                });
                let worker = worker.start().await.expect("the server is there");
                while done.load(Relaxed) < jobs {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                worker.stop(Duration::from_secs(10)).await;
            });
        })
    }
}

struct Peer {
    runtime: Runtime,
    _ticker: Ticker,
    _host: Host,
    task: Arc<Task>,
    context: jetstream::Context,
}

/// The streams of the peer: those of hart, by other names.
const JOBS: &str = "PEER";
const RESULTS: &str = "PEER_RESULTS";

impl Peer {
    fn start(server: &Server) -> Self {
        let (task, engine, host) = Task::new();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .enable_all()
            .build()
            .expect("threads can be made");
        let context = runtime.block_on(async {
            let context = jetstream::new(server.connect().await);
            for (name, subject, retention) in [
                (JOBS, "peer.work.*", RetentionPolicy::WorkQueue),
                (RESULTS, "peer.result.*", RetentionPolicy::Limits),
            ] {
                let config = Config {
                    name: name.into(),
                    subjects: vec![subject.into()],
                    retention,
                    ..Config::default()
                };
                context.create_stream(config).await.expect("it is made");
            }
            context
        });
        Self {
            _ticker: Ticker::start(engine, Duration::from_millis(1)),
            runtime,
            _host: host,
            task,
            context,
        }
    }

    /// How far a task counts in a millisecond.
    fn turns_of_a_millisecond(&self) -> u64 {
        const TURNS: u64 = 100_000_000;
        let took = time(|| {
            let turns = TURNS.to_le_bytes();
            std::hint::black_box(self.runtime.block_on(self.task.call("count", &turns)));
        });
        (TURNS as f64 / took.as_secs_f64() / 1e3) as u64
    }

    fn run(&self, jobs: usize, input: [u8; 8]) -> Duration {
        let context = &self.context;
        self.runtime.block_on(async {
            let submit = |job: usize| async move {
                let subject = format!("peer.work.{job}-{}", fastrand::u64(..));
                let payload = input.to_vec().into();
                let sent = context.publish(subject, payload).await;
                sent.expect("it is sent").await.expect("it is stored");
            };
            let submits = futures::stream::iter(0..jobs).map(submit);
            submits.buffer_unordered(CONCURRENCY).collect::<()>().await;
        });
        time(|| self.runtime.block_on(self.consume(jobs)))
    }

    async fn consume(&self, jobs: usize) {
        let config = pull::Config {
            durable_name: Some(APP.into()),
            ack_policy: AckPolicy::Explicit,
            ..pull::Config::default()
        };
        let consumer = self.context.create_consumer_on_stream(config, JOBS).await;
        let consumer = consumer.expect("it is made");
        let batches = consumer.stream().max_messages_per_batch(CONCURRENCY);
        let mut messages = batches.messages().await.expect("the server is there");
        let room = Arc::new(Semaphore::new(CONCURRENCY));
        for _ in 0..jobs {
            let permit = room.clone().acquire_owned().await.expect("it is open");
            let message = messages.next().await.expect("there are so many");
            let message = message.expect("the server is there");
            let (task, context) = (self.task.clone(), self.context.clone());
            tokio::spawn(async move {
                let returned = task.call("count", &message.payload).await;
                let subject = message.subject.replace("work", "result");
                let stored =
                    context.publish_with_headers(subject, HeaderMap::new(), returned.into());
                stored
                    .await
                    .expect("it is sent")
                    .await
                    .expect("it is stored");
                message.ack().await.expect("it is sent");
                drop(permit);
            });
        }
        let all = u32::try_from(CONCURRENCY).expect("it is small");
        room.acquire_many(all).map(drop).await;
    }
}
