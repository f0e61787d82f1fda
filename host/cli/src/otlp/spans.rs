//! Requests and tasks as spans of OpenTelemetry.

use super::attributes::{self, cut, number};
use super::export::Reports;
use hart_host::http::{HeaderMap, HeaderName, HeaderValue};
use hart_host::{Span, SpanEnd, SpanNote, SpanOf, Tracer};
use opentelemetry::metrics::{Histogram, MeterProvider as _};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracer;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Instant;

/// Spans that are recorded at once. The host holds them for guests, some KiB each, and a guest may have 100,000 tasks: what
/// is below other spans and has no room is not recorded, and counts as lost.
const LIVE: u64 = 10_000;

/// The longest header that is taken from a client: it is kept with each span, and passed on.
const HEADER: usize = 512;

/// The bounds of durations that the semantic conventions ask for, in seconds.
const DURATIONS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// What is measured of each request, traced or not.
pub(super) struct Meter {
    durations: Histogram<f64>,
}

impl Meter {
    pub(super) fn new(provider: &SdkMeterProvider) -> Self {
        let meter = provider.meter("hart");
        Self {
            durations: meter
                .f64_histogram("http.server.request.duration")
                .with_description("From a request's head to the end of its response.")
                .with_unit("s")
                .with_boundaries(DURATIONS.to_vec())
                .build(),
        }
    }
}

/// Makes spans.
pub(super) struct Spans(Arc<Shared>);

struct Shared {
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
    meter: Arc<Meter>,
    reports: Arc<Reports>,
}

impl Spans {
    pub(super) fn new(tracer: SdkTracer, meter: Arc<Meter>, reports: Arc<Reports>) -> Self {
        Self(Arc::new(Shared {
            tracer,
            propagator: TraceContextPropagator::new(),
            meter,
            reports,
        }))
    }
}

impl Tracer for Spans {
    fn start(&self, of: &SpanOf<'_>) -> Option<Arc<dyn Span>> {
        let above = match of {
            SpanOf::Request { headers, .. } => self
                .0
                .propagator
                .extract_with_context(&Context::new(), &Received(headers)),
            _ => Context::new(),
        };
        Some(Arc::new(Live::new(&self.0, &above, of)))
    }
}

/// A span that may be sampled.
struct Live {
    shared: Arc<Shared>,
    /// With the span in it.
    context: Context,
    /// It counts among those that are recorded.
    is_counted: bool,
    kind: SpanKind,
    /// Of a request: when it came, and what is said of it in metrics.
    asked: Option<(Instant, [KeyValue; 3])>,
    /// Whose values are only written by who runs the task or the request: `Relaxed`.
    status: AtomicU16,
    preemptions: AtomicU64,
}

impl Live {
    fn new(shared: &Arc<Shared>, above: &Context, of: &SpanOf<'_>) -> Self {
        let (name, kind) = attributes::name(of);
        let builder = SpanBuilder::from_name(name).with_kind(kind.clone());
        let context = Context::new().with_span(shared.tracer.build_with_context(builder, above));
        let is_counted = context.span().is_recording();
        if is_counted {
            shared.reports.begins();
            context.span().set_attributes(attributes::first(of));
        }
        let asked = match of {
            SpanOf::Request {
                app, method, uri, ..
            } => Some((Instant::now(), attributes::of_metric(app, method, uri))),
            _ => None,
        };
        Self {
            shared: shared.clone(),
            context,
            is_counted,
            kind,
            asked,
            status: AtomicU16::new(0),
            preemptions: AtomicU64::new(0),
        }
    }

    /// The status as an error, where it is one on this side.
    fn bad_status(&self) -> Option<String> {
        let least = match self.kind {
            SpanKind::Server => 500,
            _ => 400,
        };
        let status = self.status.load(Ordering::Relaxed);
        (status >= least).then(|| status.to_string())
    }

    /// Says on the span why it is an error.
    fn fails(&self, kind: String, end: &SpanEnd<'_>) {
        let span = self.context.span();
        let error = cut(end.error.unwrap_or(""));
        span.set_attribute(KeyValue::new("error.type", kind.clone()));
        span.set_status(Status::error(error.clone()));
        match end.how {
            "limit" => span.add_event("limit_reached", vec![KeyValue::new("hart.limit", error)]),
            _ if !error.is_empty() => span.add_event(
                "exception",
                vec![
                    KeyValue::new("exception.type", kind),
                    KeyValue::new("exception.message", error),
                ],
            ),
            _ => {}
        }
    }
}

impl Span for Live {
    fn child(self: Arc<Self>, of: &SpanOf<'_>) -> Option<Arc<dyn Span>> {
        if self.context.span().is_recording() {
            if self.shared.reports.live() < LIVE {
                return Some(Arc::new(Live::new(&self.shared, &self.context, of)));
            }
            self.shared.reports.loses();
        }
        Some(Arc::new(Unsampled {
            shared: self.shared.clone(),
            context: self.context.clone(),
        }))
    }

    fn inject(&self, headers: &mut HeaderMap) {
        inject(&self.shared, &self.context, headers);
    }

    fn note(&self, note: &SpanNote<'_>) {
        let span = self.context.span();
        match note {
            SpanNote::Started => span.add_event("started", Vec::new()),
            SpanNote::Preempted => {
                self.preemptions.fetch_add(1, Ordering::Relaxed);
            }
            SpanNote::LimitReached(limit) => {
                let limit = KeyValue::new("hart.limit", cut(limit));
                span.add_event("limit_reached", vec![limit]);
            }
            SpanNote::Status(status) => {
                self.status.store(status.as_u16(), Ordering::Relaxed);
                let status = KeyValue::new("http.response.status_code", i64::from(status.as_u16()));
                span.set_attribute(status);
            }
            _ => {}
        }
    }

    fn end(&self, end: &SpanEnd<'_>) {
        let bad = self.bad_status();
        if let Some((came, said)) = &self.asked {
            let status = self.status.load(Ordering::Relaxed);
            let status = KeyValue::new("http.response.status_code", i64::from(status));
            let mut said: Vec<_> = said.iter().cloned().chain([status]).collect();
            said.extend(bad.clone().map(|bad| KeyValue::new("error.type", bad)));
            let durations = &self.shared.meter.durations;
            durations.record(came.elapsed().as_secs_f64(), &said);
        }
        let span = self.context.span();
        if !span.is_recording() {
            return;
        }
        if self.asked.is_none() && self.kind == SpanKind::Internal {
            span.set_attribute(KeyValue::new("hart.task.end", end.how));
        }
        if let Some(stats) = end.stats {
            span.set_attributes(attributes::used(&stats()));
        }
        // One event for all of them: there may be thousands.
        let preemptions = self.preemptions.load(Ordering::Relaxed);
        if preemptions > 0 {
            let count = KeyValue::new("hart.preemptions", number(preemptions));
            span.add_event("preempted", vec![count.clone()]);
            span.set_attribute(count);
        }
        match (bad, end.error) {
            (Some(bad), _) => self.fails(bad, end),
            // The client's fault, where there is a status.
            (None, Some(_)) if self.status.load(Ordering::Relaxed) < 400 => {
                self.fails(end.how.to_owned(), end);
            }
            _ => {}
        }
        span.end();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if self.is_counted {
            self.shared.reports.is_gone();
        }
    }
}

/// What is below a span and is not recorded: it only tells others of that.
struct Unsampled {
    shared: Arc<Shared>,
    context: Context,
}

impl Span for Unsampled {
    fn child(self: Arc<Self>, _of: &SpanOf<'_>) -> Option<Arc<dyn Span>> {
        Some(self)
    }

    fn inject(&self, headers: &mut HeaderMap) {
        inject(&self.shared, &self.context, headers);
    }

    fn note(&self, _note: &SpanNote<'_>) {}

    fn end(&self, _end: &SpanEnd<'_>) {}
}

fn inject(shared: &Shared, context: &Context, headers: &mut HeaderMap) {
    shared
        .propagator
        .inject_context(context, &mut Sent(headers));
}

/// The headers of a request that came.
struct Received<'a>(&'a HeaderMap);

impl Extractor for Received<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let value = self.0.get(key)?.to_str().ok()?;
        (value.len() <= HEADER).then_some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

/// The headers of a request that is sent.
struct Sent<'a>(&'a mut HeaderMap);

impl Injector for Sent<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (false, Ok(name), Ok(value)) = (
            value.is_empty(),
            HeaderName::from_bytes(key.as_bytes()),
            HeaderValue::from_str(&value),
        ) {
            self.0.insert(name, value);
        }
    }
}
