//! `work/kill-9`: two processes of workers, of which each second one is killed, in turn, and started anew, while jobs of a
//! millisecond are submitted. The row is the longest time that a job took; it is compared with the lease, after which a job
//! of a killed worker is another's. Nothing may be lost or be seen twice.

use super::ground::{APP, CONCURRENCY, GUEST, SUITE, Server, host};
use crate::{
    child,
    measure::Bench,
    row::{Figure, Row},
};
use futures::{
    StreamExt as _,
    future::{Either, select},
};
use hart_host::work::{App, Job, Queue, async_nats::jetstream};
use std::{
    collections::HashMap,
    ffi::OsStr,
    pin::pin,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

const CASE: &str = "kill-9";

/// After which a job of a killed worker is another's.
const LEASE: Duration = Duration::from_secs(2);

/// Between two jobs.
const INTERVAL: Duration = Duration::from_millis(2);

pub(super) fn run(bench: &mut Bench, server: &Server, turns: u64) {
    if !bench.wants(SUITE, CASE) {
        return;
    }
    let seconds = if bench.is_quick() { 5 } else { 60 };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a thread can be made");
    let found = runtime.block_on(killed(server, turns, seconds));
    let lease = LEASE.as_secs_f64();
    let figure = |name, unit, hart| Figure {
        name,
        unit,
        hart,
        peer: None,
    };
    bench.record(Row {
        suite: SUITE,
        case: CASE.to_owned(),
        unit: "s",
        hart: found.longest,
        peer: lease,
        peer_name: "the lease",
        ratio: lease / found.longest,
        rounds: 1,
        repeated: 0,
        figures: vec![
            figure("jobs", "", found.jobs as f64),
            figure("killed", "", f64::from(seconds)),
            figure("lost", "", found.lost as f64),
            figure("done again", "", found.again as f64),
            figure("seen twice", "", found.twice as f64),
        ],
    });
}

struct Found {
    jobs: usize,
    lost: usize,
    /// Jobs that were done more than once: results of theirs came, and all but one were refused.
    again: usize,
    /// Results that are stored beside another one of the same job.
    twice: usize,
    /// Seconds.
    longest: f64,
}

/// A worker in a process of its own.
struct Process(Child);

impl Process {
    fn start(server: &Server, stream: &str) -> Self {
        let argument = format!("{} {stream}", server.url);
        let mut command = child::command("work", OsStr::new(&argument));
        let started = command.stdin(Stdio::null()).spawn();
        Self(started.expect("this program starts"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What such a process does, until it is killed.
pub(crate) fn child(argument: &str) {
    let (url, stream) = argument.split_once(' ').expect("`start` wrote it");
    let host = host();
    let component = host.load(GUEST.as_bytes()).expect("the guest is valid");
    let tokio = host.runtime().tokio().expect("it has threads");
    tokio.block_on(async {
        let client = hart_host::work::async_nats::connect(url).await;
        let queue = Queue::named(client.expect("it is there"), stream).expect("it is a name");
        let app = App::new(&host, APP, &component).concurrency(CONCURRENCY);
        let worker = host.worker(&queue).app(app).lease(LEASE).deliveries(1000);
        let _worker = worker.start().await.expect("the server is there");
        std::future::pending::<()>().await;
    });
}

async fn killed(server: &Server, turns: u64, seconds: u32) -> Found {
    let client = server.connect().await;
    let stream = format!("K{}", fastrand::u32(..));
    let queue = Queue::named(client.clone(), &stream).expect("it is a name");
    let mut workers = [(), ()].map(|()| Process::start(server, &stream));
    let mut answers = client
        .subscribe(format!("{}.result.>", stream.to_ascii_lowercase()))
        .await
        .expect("the server is there");
    let mut submitted: HashMap<String, Instant> = HashMap::new();
    let mut seen: HashMap<String, u32> = HashMap::new();
    let mut longest = Duration::ZERO;
    let start = Instant::now();
    let (mut kills, mut jobs) = (0, 0_usize);
    let end = Duration::from_secs(seconds.into());
    let mut tick = tokio::time::interval(INTERVAL);
    // Long after the last lease is over, what is missing is lost.
    while start.elapsed() < end + 20 * LEASE {
        let ticks = pin!(tick.tick());
        if let Either::Left((message, _)) = select(answers.next(), ticks).await {
            let subject = message.expect("the server is there").subject;
            let id = subject.rsplit('.').next().unwrap_or_default().to_owned();
            if let Some(at) = submitted.get(&id) {
                longest = longest.max(at.elapsed());
            }
            *seen.entry(id).or_default() += 1;
            continue;
        }
        if start.elapsed() >= end {
            if seen.len() == jobs {
                break;
            }
            continue;
        }
        let id = format!("job-{jobs}");
        let job = Job::new("count", turns.to_le_bytes().to_vec()).id(id.clone());
        submitted.insert(id, Instant::now());
        queue.submit(APP, &job).await.expect("it is stored");
        jobs += 1;
        let due = start.elapsed().as_secs();
        if due > kills {
            let at = usize::try_from(kills % 2).expect("0 or 1");
            // It is killed when it is dropped.
            workers[at] = Process::start(server, &stream);
            kills = due;
        }
    }
    let results = jetstream::new(client)
        .get_stream(format!("{stream}_RESULTS"))
        .await
        .expect("it is there");
    let state = &results.cached_info().state;
    let twice = state.messages.saturating_sub(state.subjects_count);
    Found {
        jobs,
        lost: jobs.saturating_sub(seen.len()),
        again: seen.values().filter(|times| **times > 1).count(),
        twice: usize::try_from(twice).unwrap_or(usize::MAX),
        longest: longest.as_secs_f64(),
    }
}
