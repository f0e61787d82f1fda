//! The client: requests at a fixed rate that are measured, and requests that are kept going to load a route.
//!
//! The rate does not depend on the answers (an open loop). A request's time begins when it was to be sent, whether it could
//! be sent then or not: a server that stalls is charged for all who would have come meanwhile.

use super::figures::{Ended, Sample};
use super::route::Route;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

/// How long a loading client waits after a request that failed at once.
const PAUSE: Duration = Duration::from_millis(10);

type Connection = SendRequest<Empty<Bytes>>;

/// How requests of a route are sent.
pub(super) struct Client {
    route: Route,
    /// The longest that a request is waited for.
    timeout: Duration,
    idle: Mutex<Vec<Connection>>,
    room: Semaphore,
}

impl Client {
    /// One that has so many requests under way at once, at most. Others wait, and their time passes.
    pub(super) fn new(route: &Route, timeout: Duration, under_way: usize) -> Arc<Self> {
        Arc::new(Self {
            route: route.clone(),
            timeout,
            idle: Mutex::default(),
            room: Semaphore::new(under_way),
        })
    }

    /// Sends `rate` requests a second for so long, on `tokio`, and waits for the answers.
    pub(super) fn measure(self: &Arc<Self>, tokio: &Handle, rate: u32, time: Duration) -> Sample {
        let count = (f64::from(rate) * time.as_secs_f64()).ceil() as u32;
        let (mut requests, mut all) = (JoinSet::new(), Vec::new());
        let start = Instant::now() + Duration::from_millis(1);
        for number in 0..count {
            let due = start + Duration::from_secs_f64(f64::from(number) / f64::from(rate));
            // tokio's timers know milliseconds only.
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let client = self.clone();
            let request = async move {
                let ended = tokio::time::timeout(client.timeout, client.once()).await;
                match ended.unwrap_or(Ended::Lost) {
                    // One that is refused at once is no fast one.
                    Ended::Lost => (due.elapsed().max(client.timeout), Ended::Lost),
                    ended => (due.elapsed(), ended),
                }
            };
            requests.spawn_on(request, tokio);
            // What has ended is a thousand bytes otherwise.
            while let Some(Ok(ended)) = requests.try_join_next() {
                all.push(ended);
            }
        }
        all.extend(tokio.block_on(requests.join_all()));
        Sample::new(all)
    }

    /// Keeps a request going until what this returns is dropped.
    pub(super) fn load(self: &Arc<Self>, tokio: &Handle) -> Loading {
        let client = self.clone();
        let task = tokio.spawn(async move {
            loop {
                let ended = tokio::time::timeout(client.timeout, client.once()).await;
                if ended != Ok(Ended::Answered) {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        });
        Loading(task.abort_handle())
    }

    async fn once(&self) -> Ended {
        let Ok(_room) = self.room.acquire().await else {
            return Ended::Lost;
        };
        let idle = self.idle().pop();
        // One that the server has closed meanwhile is no fault of the request's.
        if let Some(connection) = idle
            && !connection.is_closed()
            && let Ok(ended) = self.ask(connection).await
        {
            return ended;
        }
        let Ok(connection) = self.connect().await else {
            return Ended::Lost;
        };
        self.ask(connection).await.unwrap_or(Ended::Lost)
    }

    async fn connect(&self) -> Result<Connection, Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(&*self.route.addresses).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn ask(&self, mut connection: Connection) -> hyper::Result<Ended> {
        let request = Request::get(&*self.route.path)
            .header(header::HOST, &*self.route.authority)
            .body(Empty::new())
            .expect("both come from a URL");
        connection.ready().await?;
        let response = connection.send_request(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            // Half an answer is none, and asking again would be another request.
            if frame.is_err() {
                return Ok(Ended::Lost);
            }
        }
        if !connection.is_closed() {
            self.idle().push(connection);
        }
        Ok(match status.is_server_error() {
            true => Ended::Refused,
            false => Ended::Answered,
        })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is kept going. Dropped, it ends, with its connection.
pub(super) struct Loading(AbortHandle);

impl Drop for Loading {
    fn drop(&mut self) {
        self.0.abort();
    }
}
