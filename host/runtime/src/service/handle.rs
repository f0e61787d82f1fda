//! A service: it takes requests and gives responses.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::WasiBody;

use super::body::ResponseBody;
use super::error::ServiceError;
use super::exchange::{Answer, BodyFault, Exchange, Reply, Watch};
use super::guest::Handler;
use super::queue::Queue;
use super::request_body::{BoxError, RequestBody};
use super::settings::Settings;
use crate::base::span::{Followed, SpanOf};
use crate::base::stats::RunStats;
use crate::host::run::handle::{Canceller, Run};
use crate::host::run::prepared::Prepared;
use crate::instance::lifecycle::{Held, Work};
use crate::metrics::figures::{AppFigures, AppNow};
use crate::metrics::snapshot::AppMetrics;
use crate::sched::clock::pause::Pause;

/// A component that answers HTTP requests. Cheap to clone.
///
/// It is a `tower::Service` and a service of hyper's, so it can be mounted in a server of the embedder's own; those have
/// a response for everything. [`handle`](Self::handle) tells what went wrong.
///
/// Each request is a run of its own: with its share of the cores, its limits, its statistics. A request whose future or
/// whose response is dropped is cancelled.
pub struct Service<T: 'static = ()> {
    inner: Arc<Inner<T>>,
}

pub(super) struct Inner<T: 'static> {
    pub(super) prepared: Prepared<T>,
    pub(super) handler: Handler,
    pub(super) queue: Arc<Queue>,
    pub(super) name: String,
    pub(super) settings: Settings<T>,
    /// Where requests are counted, if they are.
    pub(super) figures: Option<Arc<AppFigures>>,
}

impl<T: Send + 'static> AppNow for Inner<T> {
    fn load(&self) -> (usize, usize) {
        self.queue.count()
    }

    fn tell(&self, metrics: &mut AppMetrics) {
        metrics.cpu_seconds = metrics.runs.cpu_seconds.sum;
        if let Some(account) = self.prepared.tenant() {
            let stats = account.stats();
            metrics.weight = Some(account.tenant.weight());
            metrics.cpu_rate = account.tenant.cpu_rate();
            metrics.cpu_seconds = stats.cpu_time.as_secs_f64();
            metrics.memory = stats.memory;
            metrics.live_tasks = stats.live_tasks;
        }
    }
}

/// What a request has used so far: an extension of its response.
#[derive(Clone, Debug)]
pub struct RequestUsage(Canceller);

impl RequestUsage {
    /// What the request's run has used so far.
    pub fn stats(&self) -> RunStats {
        self.0.stats()
    }
}

/// How a request waits: cancelled when it is dropped.
struct Cancels(Option<Canceller>);

impl Drop for Cancels {
    fn drop(&mut self) {
        if let Some(run) = self.0.take() {
            run.cancel();
        }
    }
}

/// Counts how the response to a request begins, or that its client goes away before that.
struct Begins<'a>(Option<&'a Exchange>);

impl Begins<'_> {
    fn with(mut self, answered: &Result<Response<ResponseBody>, ServiceError>) {
        let Some(exchange) = self.0.take() else {
            return;
        };
        match answered {
            Ok(response) => exchange.responds(response.status()),
            Err(error) => {
                exchange.responds(error.status());
                let said = exchange.span().map(|_| error.to_string());
                exchange.is_over(said.as_deref());
                if let (ServiceError::Busy { .. }, Some(figures)) = (error, exchange.figures()) {
                    figures.refuses();
                }
            }
        }
    }
}

impl Drop for Begins<'_> {
    fn drop(&mut self) {
        if let Some(figures) = self.0.and_then(Exchange::figures) {
            figures.is_abandoned();
        }
    }
}

impl<T: Send + 'static> Service<T> {
    pub(super) fn new(inner: Inner<T>) -> Self {
        let inner = Arc::new(inner);
        if let (Some(all), Some(figures)) = (inner.prepared.host_figures(), &inner.figures) {
            let now: Weak<dyn AppNow> = Arc::downgrade(&(inner.clone() as Arc<dyn AppNow>));
            all.serves(&inner.name, figures, now);
        }
        Self { inner }
    }

    pub(super) fn settings(&self) -> &Settings<T> {
        &self.inner.settings
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// How many requests run now, and how many wait to.
    pub fn load(&self) -> (usize, usize) {
        self.inner.queue.count()
    }

    /// Answers `request`, and resolves when the head of the response is there.
    ///
    /// To be awaited where a tokio runtime with timers is entered: on the host's workers, or in the embedder's server. A host
    /// on a [simulated machine](crate::simulate) needs none.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] says why there is no response of the guest's.
    pub async fn handle<B>(
        &self,
        request: Request<B>,
    ) -> Result<Response<ResponseBody>, ServiceError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let span_of = SpanOf::Request {
            app: &self.inner.name,
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            version: request.version(),
        };
        let span = Followed::first(self.inner.prepared.tracer(), &span_of);
        let exchange = Arc::new(Exchange::new(self.inner.figures.as_ref(), span));
        let begins = Begins(Some(&exchange));
        let answered = self.answer(request, &exchange).await;
        begins.with(&answered);
        answered
    }

    async fn answer<B>(
        &self,
        request: Request<B>,
        exchange: &Arc<Exchange>,
    ) -> Result<Response<ResponseBody>, ServiceError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let inner = &self.inner;
        let settings = &inner.settings;
        if request.body().size_hint().lower() > settings.body_limit {
            return Err(ServiceError::BodyTooLarge);
        }
        if request.uri().authority().is_none() && !request.headers().contains_key(HOST) {
            return Err(ServiceError::NoHost);
        }
        let ticket = inner.queue.enter().await;
        let ticket = ticket.map_err(|busy| ServiceError::Busy {
            retry_after: busy.retry_after,
        })?;

        let (is_head, version) = (*request.method() == Method::HEAD, request.version());
        let (parts, body) = request.into_parts();
        let data = settings.data.as_ref().map(|make| make(&parts));
        let data = inner.prepared.data(data)?;
        let body = RequestBody::new(
            body,
            exchange.clone(),
            settings.body_limit,
            Pause::new(inner.prepared.clock().clone(), settings.body_pause),
        );
        let request = Request::from_parts(parts, body.boxed_unsync());
        let (reply, answer) = Reply::new();
        let work = inner.clone().work(request, reply, exchange.clone());
        let held: Held = Box::new(ticket);
        let record =
            inner
                .prepared
                .launch(inner.name.clone(), work, data, Some(held), exchange.span())?;
        let run = Run::new(record);
        let mut cancels = Cancels(Some(run.canceller()));

        let answer = answer.await;
        let answer = match answer {
            // One that is broken already has nothing to wait for.
            Ok(answer) if !exchange.is_broken() => answer,
            _ => {
                // The guest is gone. What became of its run says why.
                let outcome = run.await;
                cancels.0 = None;
                return Err(match (exchange.fault(), outcome) {
                    (Some(BodyFault::TooLarge), _) => ServiceError::BodyTooLarge,
                    (Some(BodyFault::Slow), _) => ServiceError::BodyTooSlow,
                    (None, Ok(_)) => ServiceError::NoResponse,
                    (None, Err(error)) => ServiceError::Run(error),
                });
            }
        };
        response(answer, exchange, &mut cancels, is_head, version)
    }
}

/// The response to a guest's `answer`.
fn response(
    answer: Answer,
    exchange: &Arc<Exchange>,
    cancels: &mut Cancels,
    is_head: bool,
    version: Version,
) -> Result<Response<ResponseBody>, ServiceError> {
    let response = match (answer, exchange.fault()) {
        (Ok(response), _) => response,
        (Err(_), Some(BodyFault::TooLarge)) => return Err(ServiceError::BodyTooLarge),
        (Err(_), Some(BodyFault::Slow)) => return Err(ServiceError::BodyTooSlow),
        (Err(code), None) => return Err(ServiceError::Guest(code)),
    };
    // A final response is none of these. With 101 the connection would be given to another protocol.
    if response.status().is_informational() {
        let status = response.status();
        return Err(ServiceError::Guest(format!(
            "a response of status {status}"
        )));
    }
    let run = cancels.0.take().expect("it is there until now");
    let (mut parts, body) = response.into_parts();
    let has_body = !is_head
        && !matches!(
            parts.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
    parts.extensions.insert(RequestUsage(run.clone()));
    let length = length(&parts.headers);
    let mut body = ResponseBody::guest(body, exchange.clone(), run, length, has_body);
    if !has_body && version == Version::HTTP_2 {
        // hyper leaves it out of HTTP/1.1, and would send it here.
        body = ResponseBody::text(String::new());
    }
    Ok(Response::from_parts(parts, body))
}

/// How long the body is, by its header.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl<T: Send + 'static> Inner<T> {
    /// What the root of a request's run does.
    fn work(
        self: Arc<Self>,
        request: Request<WasiBody>,
        reply: Reply,
        exchange: Arc<Exchange>,
    ) -> Work<T> {
        Work::Drive(Box::new(move |store, instance| {
            Box::pin(async move {
                let watch = Watch::new(exchange);
                self.handler.handle(store, instance, request, reply).await?;
                watch.returned();
                Ok(Vec::new())
            })
        }))
    }
}

/// What a server needs: a response for everything.
type Served = BoxFuture<'static, Result<Response<ResponseBody>, Infallible>>;

impl<T: Send + 'static> Service<T> {
    /// Answers `request`, with an error's response where there is no other.
    pub async fn respond<B>(&self, request: Request<B>) -> Response<ResponseBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let quiet = self.inner.settings.quiet;
        let handled = self.handle(request).await;
        handled.unwrap_or_else(|error| error.into_response(quiet))
    }

    fn serve<B>(&self, request: Request<B>) -> Served
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let service = self.clone();
        Box::pin(async move { Ok(service.respond(request).await) })
    }
}

impl<T, B> tower_service::Service<Request<B>> for Service<T>
where
    T: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Served;

    /// Always ready: the service has a queue of its own.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.serve(request)
    }
}

impl<T, B> hyper::service::Service<Request<B>> for Service<T>
where
    T: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Served;

    fn call(&self, request: Request<B>) -> Self::Future {
        self.serve(request)
    }
}

impl<T> Clone for Service<T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<T> fmt::Debug for Service<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.inner.name)
            .finish_non_exhaustive()
    }
}
