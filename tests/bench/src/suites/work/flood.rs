//! `work/beside-a-flood`: how long jobs of a small tenant take beside one that floods the stream, and alone.
//!
//! Every 20 ms a job that returns at once is submitted; its time ends when its result is stored. The flood is there before:
//! jobs of a millisecond, more than both workers do meanwhile. The peer has two consumers, each with its own room.

use super::ground::{CONCURRENCY, GUEST, SUITE, Server, Task, WORKERS, host};
use crate::{
    ground::Ticker,
    measure::Bench,
    row::{Figure, Row, median, quantile},
};
use futures::StreamExt as _;
use hart_host::{
    Host,
    work::{
        App, Job, Queue,
        async_nats::{
            HeaderMap,
            jetstream::{
                self, Context,
                consumer::{AckPolicy, pull},
                stream::{Config, RetentionPolicy},
            },
        },
    },
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, atomic::AtomicBool, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

const CASE: &str = "beside-a-flood";

/// Between two jobs of the small tenant.
const INTERVAL: Duration = Duration::from_millis(20);

/// How long jobs take.
#[derive(Clone, Default)]
struct Watch(Arc<Mutex<Times>>);

#[derive(Default)]
struct Times {
    /// When those were submitted that have not ended.
    began: HashMap<String, Instant>,
    /// How many milliseconds the others took.
    took: Vec<f64>,
}

impl Watch {
    fn begins(&self, id: &str) {
        let mut times = self.0.lock().expect("nobody panics with it");
        times.began.insert(id.to_owned(), Instant::now());
    }

    fn ends(&self, id: &str) {
        let mut times = self.0.lock().expect("nobody panics with it");
        if let Some(began) = times.began.remove(id) {
            times.took.push(began.elapsed().as_secs_f64() * 1e3);
        }
    }

    /// Waits until so many have ended; their 99th percentile.
    async fn p99(&self, jobs: usize) -> f64 {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let times = self.0.lock().expect("nobody panics with it");
            if times.took.len() == jobs {
                return quantile(&times.took, 0.99);
            }
        }
    }
}

pub(super) fn run(bench: &mut Bench, server: &Server, turns: u64) {
    if !bench.wants(SUITE, CASE) {
        return;
    }
    let (rounds, jobs) = if bench.is_quick() { (1, 50) } else { (5, 300) };
    let (found, repeated) = bench.repeat(rounds, |_| {
        let hart = |flood| hart(server, jobs, flood, turns);
        let peer = |flood| peer(server, jobs, flood, turns);
        [hart(false), hart(true), peer(false), peer(true)]
    });
    let column = |at: usize| -> Vec<f64> { found.iter().map(|round| round[at]).collect() };
    let times = |alone: usize| -> f64 {
        let ratios = found.iter().map(|round| round[alone + 1] / round[alone]);
        median(&ratios.collect::<Vec<_>>())
    };
    let ratios: Vec<f64> = found.iter().map(|round| round[3] / round[1]).collect();
    let figure = |name, unit, hart, peer| Figure {
        name,
        unit,
        hart,
        peer: Some(peer),
    };
    bench.record(Row {
        suite: SUITE,
        case: CASE.to_owned(),
        unit: "ms",
        hart: median(&column(1)),
        peer: median(&column(3)),
        peer_name: "async-nats, tokio",
        ratio: median(&ratios),
        rounds,
        repeated,
        figures: vec![
            figure("alone", "ms", median(&column(0)), median(&column(2))),
            figure("times alone", "x", times(0), times(2)),
        ],
    });
}

/// Jobs of the flood: more than two cores do in the time.
fn flood_of(jobs: usize) -> usize {
    jobs * INTERVAL.as_millis() as usize * WORKERS
}

fn stream() -> String {
    format!("B{}", fastrand::u32(..))
}

fn hart(server: &Server, jobs: usize, flood: bool, turns: u64) -> f64 {
    let host: Host = host();
    let component = host.load(GUEST.as_bytes()).expect("the guest is valid");
    let tokio = host.runtime().tokio().expect("it has threads").clone();
    tokio.block_on(async {
        let client = server.connect().await;
        let queue = Queue::named(client, &stream()).expect("it is a name");
        let submit = |app: &'static str, id: String, turns: u64| {
            let job = Job::new("count", turns.to_le_bytes().to_vec()).id(id);
            let queue = queue.clone();
            async move {
                queue
                    .submit(app, &job)
                    .await
                    .map(drop)
                    .expect("it is stored")
            }
        };
        let many = if flood { flood_of(jobs) } else { 0 };
        let submits = (0..many).map(|id| submit("flood", id.to_string(), turns));
        let submits = futures::stream::iter(submits).buffer_unordered(CONCURRENCY);
        submits.collect::<()>().await;
        let watch = Watch::default();
        let ended = watch.clone();
        let app = |name: &str| {
            let tenant = host.tenant().name(name).build().expect("a plain tenant");
            let app = App::new(&host, name, &component);
            app.run(|run| run.tenant(&tenant)).concurrency(CONCURRENCY)
        };
        let worker = host.worker(&queue).app(app("flood")).app(app("small"));
        let worker = worker.job_log(move |job| ended.ends(&job.id));
        let worker = worker.start().await.expect("the server is there");
        for job in 0..jobs {
            tokio::time::sleep(INTERVAL).await;
            // Those of the flood have numbers alone.
            let id = format!("small-{job}");
            watch.begins(&id);
            submit("small", id, 0).await;
        }
        let p99 = watch.p99(jobs).await;
        worker.stop(Duration::from_secs(10)).await;
        p99
    })
}

fn peer(server: &Server, jobs: usize, flood: bool, turns: u64) -> f64 {
    let (task, engine, _host) = Task::new();
    let _ticker = Ticker::start(engine, Duration::from_millis(1));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .expect("threads can be made");
    runtime.block_on(async {
        let context = jetstream::new(server.connect().await);
        let name = stream();
        for (name, subject, retention) in [
            (
                name.clone(),
                format!("{name}.work.*.*"),
                RetentionPolicy::WorkQueue,
            ),
            (
                format!("{name}_R"),
                format!("{name}.result.*.*"),
                RetentionPolicy::Limits,
            ),
        ] {
            let config = Config {
                name,
                subjects: vec![subject],
                retention,
                ..Config::default()
            };
            context.create_stream(config).await.expect("it is made");
        }
        let submit = |subject: String, turns: u64| {
            let context = context.clone();
            async move {
                let sent = context.publish(subject, turns.to_le_bytes().to_vec().into());
                sent.await.expect("it is sent").await.expect("it is stored");
            }
        };
        let many = if flood { flood_of(jobs) } else { 0 };
        let submits = (0..many).map(|id| submit(format!("{name}.work.flood.{id}"), turns));
        let submits = futures::stream::iter(submits).buffer_unordered(CONCURRENCY);
        submits.collect::<()>().await;
        let watch = Watch::default();
        let stops = Arc::<AtomicBool>::default();
        let consumers: Vec<_> = ["flood", "small"]
            .map(|app| {
                let consumer = consume(
                    context.clone(),
                    (name.clone(), app),
                    task.clone(),
                    watch.clone(),
                    stops.clone(),
                );
                tokio::spawn(consumer)
            })
            .into();
        for job in 0..jobs {
            tokio::time::sleep(INTERVAL).await;
            let subject = format!("{name}.work.small.{job}");
            watch.begins(&subject);
            submit(subject, 0).await;
        }
        let p99 = watch.p99(jobs).await;
        stops.store(true, Relaxed);
        consumers.iter().for_each(tokio::task::JoinHandle::abort);
        p99
    })
}

/// Does the jobs of one app, so many at once.
async fn consume(
    context: Context,
    (name, app): (String, &'static str),
    task: Arc<Task>,
    watch: Watch,
    stops: Arc<AtomicBool>,
) {
    let config = pull::Config {
        durable_name: Some(app.into()),
        ack_policy: AckPolicy::Explicit,
        filter_subject: format!("{name}.work.{app}.*"),
        ..pull::Config::default()
    };
    let consumer = context.create_consumer_on_stream(config, name.as_str());
    let consumer = consumer.await.expect("it is made");
    let batches = consumer.stream().max_messages_per_batch(CONCURRENCY);
    let mut messages = batches.messages().await.expect("the server is there");
    let room = Arc::new(Semaphore::new(CONCURRENCY));
    while !stops.load(Relaxed) {
        let permit = room.clone().acquire_owned().await.expect("it is open");
        let Some(Ok(message)) = messages.next().await else {
            return;
        };
        let (task, context, watch) = (task.clone(), context.clone(), watch.clone());
        tokio::spawn(async move {
            let returned = task.call("count", &message.payload).await;
            let subject = message.subject.replace("work", "result");
            let sent = context.publish_with_headers(subject, HeaderMap::new(), returned.into());
            let stored = async { sent.await.ok()?.await.ok() };
            if stored.await.is_some() {
                watch.ends(&message.subject);
                let _ = message.ack().await;
            }
            drop(permit);
        });
    }
}
