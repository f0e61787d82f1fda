//! What sends to a collector, and what is said where that fails.

use crate::output::{one_line, to_stderr};
use clap::ValueEnum;
use hart_host::http::{Request, Response, Uri};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, OTEL_EXPORTER_OTLP_TIMEOUT, Protocol, SpanExporter,
    WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as Exporter};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;

/// How long a request to a collector by HTTP may take in milliseconds, where `OTEL_EXPORTER_OTLP_TIMEOUT` does not say. The
/// SDK's own figure.
const PATIENCE: u64 = 10_000;

/// How a collector is spoken to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum OtlpProtocol {
    /// gRPC, mostly on port 4317
    Grpc,
    /// Protobuf by HTTP/1.1, mostly on port 4318
    Http,
}

/// Where a collector is.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint(String);

impl Endpoint {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The address of a collector.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, String> {
    let uri = text.parse::<Uri>().ok();
    let has = |scheme| uri.as_ref().and_then(Uri::scheme_str) == Some(scheme);
    let is_bare = uri.as_ref().is_some_and(|uri| uri.query().is_none());
    if has("http") && is_bare {
        return Ok(Endpoint(text.trim_end_matches('/').to_owned()));
    }
    Err(match has("https") {
        true => format!(
            "`{text}`: hart sends without TLS; write the address of a collector on this machine, like \
             http://127.0.0.1:4317, which passes on what it gets"
        ),
        false => {
            format!("`{text}` is no collector's address; write one like http://127.0.0.1:4317")
        }
    })
}

/// What sends spans, and what sends metrics.
pub(super) fn exporters(
    endpoint: &Endpoint,
    protocol: OtlpProtocol,
    tokio: &Handle,
    reports: &Arc<Reports>,
) -> Result<(Reported<SpanExporter>, Reported<MetricExporter>), ExporterBuildError> {
    let (spans, metrics) = (SpanExporter::builder(), MetricExporter::builder());
    let address = endpoint.as_str();
    let (spans, metrics) = match protocol {
        OtlpProtocol::Grpc => (
            spans.with_tonic().with_endpoint(address).build()?,
            metrics.with_tonic().with_endpoint(address).build()?,
        ),
        OtlpProtocol::Http => (
            spans
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_http_client(Client::new(tokio))
                .with_endpoint(format!("{address}/v1/traces"))
                .build()?,
            metrics
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_http_client(Client::new(tokio))
                .with_endpoint(format!("{address}/v1/metrics"))
                .build()?,
        ),
    };
    Ok((
        Reported {
            exporter: spans,
            reports: reports.clone(),
        },
        Reported {
            exporter: metrics,
            reports: reports.clone(),
        },
    ))
}

/// hyper's client, on a runtime of tokio: the threads of the SDK are in none.
#[derive(Debug)]
struct Client {
    hyper: HyperClient,
    tokio: Handle,
}

impl Client {
    fn new(tokio: &Handle) -> Self {
        let patience = std::env::var(OTEL_EXPORTER_OTLP_TIMEOUT).ok();
        let patience = patience.and_then(|text| text.parse().ok());
        let patience = patience.unwrap_or(PATIENCE);
        Self {
            hyper: HyperClient::with_default_connector(Duration::from_millis(patience), None),
            tokio: tokio.clone(),
        }
    }
}

impl HttpClient for Client {
    /// As `async_trait` writes it.
    fn send_bytes<'own, 'future>(
        &'own self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'future>>
    where
        'own: 'future,
        Self: 'future,
    {
        let hyper = self.hyper.clone();
        let sent = self
            .tokio
            .spawn(async move { hyper.send_bytes(request).await });
        Box::pin(async move { sent.await? })
    }
}

/// What came of it, for people.
#[derive(Debug)]
pub(super) struct Reports {
    address: String,
    /// Spans that were begun and are to be sent. Here and below, `Relaxed`: they are only counted.
    begun: AtomicU64,
    /// Those that the host still holds.
    live: AtomicU64,
    /// Spans that were sent.
    sent: AtomicU64,
    /// That something was not sent has been said.
    said: AtomicBool,
}

impl Reports {
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        Self {
            address: endpoint.as_str().to_owned(),
            begun: AtomicU64::new(0),
            live: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            said: AtomicBool::new(false),
        }
    }

    /// There is a span to send.
    pub(super) fn begins(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.live.fetch_add(1, Ordering::Relaxed);
    }

    /// The host holds one no longer.
    pub(super) fn is_gone(&self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many the host holds.
    pub(super) fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    /// There is one for which there is no room.
    pub(super) fn loses(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    fn takes(&self, sent: &OTelSdkResult, spans: usize) {
        match sent {
            Ok(()) => {
                self.sent.fetch_add(spans as u64, Ordering::Relaxed);
            }
            Err(error) if !self.said.swap(true, Ordering::Relaxed) => to_stderr(&format!(
                "hart: --otlp {}: the collector does not take what is sent ({}); guests go on, and hart does not say this again\n",
                self.address,
                one_line(&error.to_string())
            )),
            Err(_) => {}
        }
    }

    /// Says what was lost.
    pub(super) fn finish(&self) {
        // What fails from now on fails because of the end.
        self.said.store(true, Ordering::Relaxed);
        let begun = self.begun.load(Ordering::Relaxed);
        let lost = begun.saturating_sub(self.sent.load(Ordering::Relaxed));
        if lost > 0 {
            to_stderr(&format!(
                "hart: --otlp {}: {lost} of {begun} spans were not sent; is a collector there, and fast enough? --otlp-sample makes fewer\n",
                self.address
            ));
        }
    }
}

/// An exporter, and what came of it.
#[derive(Debug)]
pub(super) struct Reported<E> {
    exporter: E,
    reports: Arc<Reports>,
}

impl Exporter for Reported<SpanExporter> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.exporter.export(batch).await;
        self.reports.takes(&sent, spans);
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl PushMetricExporter for Reported<MetricExporter> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let sent = self.exporter.export(metrics).await;
        self.reports.takes(&sent, 0);
        sent
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

#[cfg(test)]
mod tests {
    use super::endpoint;

    /// Hunts an address that only fails once something is sent, and paths that are joined with two slashes.
    #[test]
    fn addresses_are_of_collectors() {
        let address = |text| endpoint(text).map(|endpoint| endpoint.0);
        let local = "http://127.0.0.1:4318";
        assert_eq!(address("http://127.0.0.1:4318/"), Ok(local.into()));
        assert_eq!(
            address("http://[::1]:1/otlp"),
            Ok("http://[::1]:1/otlp".into())
        );
        for text in [
            "",
            "localhost:4317",
            "127.0.0.1",
            "http://",
            "ftp://a",
            "http://a/?b",
        ] {
            assert!(address(text).is_err(), "{text}");
        }
        let secure = address("https://collector.example:4317").unwrap_err();
        assert!(secure.contains("without TLS"), "{secure}");
    }
}
