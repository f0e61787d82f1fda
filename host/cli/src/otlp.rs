//! `--otlp`: traces and metrics for a collector of OpenTelemetry.
//!
//! What is exported waits in a bounded queue of the SDK, whose own threads send it: nothing that runs guests waits for the
//! collector. What has no room in the queue is lost, and counted.

mod attributes;
mod export;
mod metrics;
mod spans;

use crate::failure::Failure;
use clap::Args;
use export::{Endpoint, OtlpProtocol, Reports};
use hart_host::{Host, HostBuilder};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Key, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// How long the end of the process waits for what is still to be sent.
const FLUSH: Duration = Duration::from_secs(3);

#[derive(Args, Clone, Debug)]
pub(crate) struct OtlpArgs {
    /// Send traces and metrics to this OpenTelemetry collector, like http://127.0.0.1:4317
    #[arg(long, value_name = "URL", value_parser = export::endpoint, help_heading = "OpenTelemetry")]
    pub(crate) otlp: Option<Endpoint>,

    /// How the collector is spoken to
    #[arg(
        long,
        value_name = "PROTOCOL",
        default_value = "grpc",
        requires = "otlp",
        help_heading = "OpenTelemetry"
    )]
    pub(crate) otlp_protocol: OtlpProtocol,

    /// The part of requests and runs that is traced; a request with a `traceparent` is traced if that
    /// says so
    #[arg(long, value_name = "RATIO", default_value = "100%", value_parser = ratio, requires = "otlp", help_heading = "OpenTelemetry")]
    pub(crate) otlp_sample: f64,
}

/// `1%` or `0.01`.
fn ratio(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    match number.trim().parse::<f64>().map(|number| number / unit) {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err(format!(
            "`{text}` is not a part of a whole; write one like 1% or 0.01"
        )),
    }
}

/// What exports, until it is dropped: then what is left is sent, as far as that takes no longer than some seconds.
pub(crate) struct Otlp {
    traces: SdkTracerProvider,
    metrics: SdkMeterProvider,
    meter: Arc<spans::Meter>,
    reports: Arc<Reports>,
    /// What drives connections. There until the end.
    tokio: Option<Runtime>,
}

impl Otlp {
    /// Begins to export, if the arguments ask for that. Whether the collector is there is seen later.
    ///
    /// # Errors
    /// No thread, or variables like `OTEL_EXPORTER_OTLP_HEADERS` that are none.
    pub(crate) fn start(args: &OtlpArgs) -> Result<Option<Self>, Failure> {
        let Some(endpoint) = &args.otlp else {
            return Ok(None);
        };
        let tokio = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("hart-otlp")
            .enable_all()
            .build()
            .map_err(|error| Failure::new(1, format!("--otlp: no thread sends: {error}")))?;
        let reports = Arc::new(Reports::new(endpoint));
        let made = {
            // A channel of gRPC has tasks from when it is made.
            let _entered = tokio.enter();
            export::exporters(endpoint, args.otlp_protocol, tokio.handle(), &reports)
        };
        let (spans, points) =
            made.map_err(|error| Failure::usage(format!("--otlp {}: {error}", endpoint.as_str())))?;
        let resource = resource();
        let sampler = Sampler::TraceIdRatioBased(args.otlp_sample);
        let traces = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .with_resource(resource.clone())
            .with_batch_exporter(spans)
            .build();
        let metrics = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_periodic_exporter(points)
            .build();
        Ok(Some(Self {
            meter: Arc::new(spans::Meter::new(&metrics)),
            traces,
            metrics,
            reports,
            tokio: Some(tokio),
        }))
    }

    /// Has a host followed, and its figures counted.
    pub(crate) fn follow(this: Option<&Self>, builder: HostBuilder) -> HostBuilder {
        let Some(this) = this else {
            return builder;
        };
        let tracer = this.traces.tracer("hart");
        let tracer = spans::Spans::new(tracer, this.meter.clone(), this.reports.clone());
        builder.tracer(tracer).metrics(true)
    }

    /// Has the figures of a host exported.
    pub(crate) fn watch(this: Option<&Self>, host: &Host) {
        if let Some(this) = this {
            metrics::observe(&this.metrics, host);
        }
    }
}

impl Drop for Otlp {
    fn drop(&mut self) {
        let (done, is_done) = mpsc::channel();
        let until = Instant::now() + FLUSH;
        // One thread each: what the SDK waits for here has no limit of its own everywhere.
        let (traces, metrics, traced) = (self.traces.clone(), self.metrics.clone(), done.clone());
        let _ = thread::Builder::new().spawn(move || {
            let _ = traces.shutdown_with_timeout(FLUSH);
            let _ = traced.send(());
        });
        let _ = thread::Builder::new().spawn(move || {
            let _ = metrics.shutdown_with_timeout(FLUSH);
            let _ = done.send(());
        });
        while is_done
            .recv_timeout(until.saturating_duration_since(Instant::now()))
            .is_ok()
        {}
        self.reports.finish();
        if let Some(tokio) = self.tokio.take() {
            tokio.shutdown_background();
        }
    }
}

/// Who exports: as `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say, or `hart`.
fn resource() -> Resource {
    let known = Resource::builder()
        .with_attribute(KeyValue::new("process.pid", i64::from(std::process::id())))
        .build();
    let name = known.get(&Key::new("service.name"));
    let is_named = name.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let named = Resource::builder_empty().with_attributes(
        known
            .iter()
            .map(|(key, value)| KeyValue::new(key.clone(), value.clone())),
    );
    match is_named {
        true => named.build(),
        false => named.with_service_name("hart").build(),
    }
}

#[cfg(test)]
mod tests {
    use super::ratio;

    /// Hunts a per cent that is read as a hundred times as much, and parts that are none.
    #[test]
    fn ratios_are_parts_of_a_whole() {
        assert_eq!(ratio("1%"), Ok(0.01));
        assert_eq!(ratio("100%"), ratio("1"));
        assert_eq!(ratio("0.01"), Ok(0.01));
        assert_eq!(ratio("0"), Ok(0.0));
        for text in ["2", "101%", "-1%", "NaN", "", "%", "1/2"] {
            assert!(ratio(text).is_err(), "{text}");
        }
    }
}
