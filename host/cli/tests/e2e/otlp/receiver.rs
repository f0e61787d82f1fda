//! A collector: it takes what is sent by OTLP, with the services that the protocol's own definitions make.

use crate::support::GUARD;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::{Service as _, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use prost::Message as _;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;
use tokio::runtime::Runtime;

/// A collector on loopback.
pub(crate) struct Receiver {
    address: SocketAddr,
    got: Arc<Got>,
    _tokio: Runtime,
}

#[derive(Default)]
struct Got {
    all: Mutex<All>,
    more: Condvar,
}

#[derive(Default)]
struct All {
    spans: Vec<Seen>,
    /// The last values of all, with the name of who sent them.
    metrics: Vec<(String, Metric)>,
}

/// A span, and who sent it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) service: String,
    pub(crate) span: Span,
}

impl Seen {
    pub(crate) fn attribute(&self, key: &str) -> Option<String> {
        attribute(&self.span.attributes, key)
    }

    /// Its only event of that name.
    #[track_caller]
    pub(crate) fn event(&self, name: &str) -> &Event {
        let found: Vec<_> = { self.span.events.iter() }
            .filter(|event| event.name == name)
            .collect();
        match found[..] {
            [only] => only,
            _ => panic!("{} times {name}: {self:#?}", found.len()),
        }
    }

    /// Its status as text; empty without one.
    pub(crate) fn error(&self) -> Option<&str> {
        const ERROR: i32 = 2;
        let status = self.span.status.as_ref()?;
        (status.code == ERROR).then_some(&*status.message)
    }
}

/// An attribute as text.
pub(crate) fn attribute(of: &[KeyValue], key: &str) -> Option<String> {
    let found = of.iter().find(|attribute| attribute.key == key)?;
    Some(match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        other => panic!("{key}: {other:?}"),
    })
}

fn service(resource: Option<&Resource>) -> String {
    let attributes = resource.map_or(&[][..], |resource| &resource.attributes);
    attribute(attributes, "service.name").unwrap_or_default()
}

impl Got {
    fn takes_spans(&self, request: ExportTraceServiceRequest) {
        let mut all = self.all.lock().unwrap();
        for from in request.resource_spans {
            let service = service(from.resource.as_ref());
            let spans = from.scope_spans.into_iter().flat_map(|scope| scope.spans);
            all.spans.extend(spans.map(|span| Seen {
                service: service.clone(),
                span,
            }));
        }
        self.more.notify_all();
    }

    fn takes_metrics(&self, request: ExportMetricsServiceRequest) {
        let mut all = self.all.lock().unwrap();
        all.metrics.clear();
        for from in request.resource_metrics {
            let service = service(from.resource.as_ref());
            let scopes = from.scope_metrics.into_iter();
            let metrics = scopes.flat_map(|scope| scope.metrics);
            all.metrics
                .extend(metrics.map(|metric| (service.clone(), metric)));
        }
        self.more.notify_all();
    }
}

struct Takes(Arc<Got>);

#[tonic::async_trait]
impl TraceService for Takes {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.0.takes_spans(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Takes {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        self.0.takes_metrics(request.into_inner());
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}

impl Receiver {
    /// One that speaks `grpc` or `http`.
    pub(crate) fn start(protocol: &str) -> Self {
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = tokio.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.unwrap();
        let address = listener.local_addr().unwrap();
        let got = Arc::<Got>::default();
        let (takes, is_grpc) = (got.clone(), protocol == "grpc");
        tokio.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (stream, takes) = (TokioIo::new(stream), takes.clone());
                if is_grpc {
                    tokio::spawn(speak_grpc(stream, takes));
                } else {
                    tokio::spawn(speak_http(stream, takes));
                }
            }
        });
        Self {
            address,
            got,
            _tokio: tokio,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What came, once it is `enough`.
    fn wait<T>(&self, enough: impl Fn(&All) -> Option<T>) -> T {
        let until = Instant::now() + GUARD;
        let mut all = self.got.all.lock().unwrap();
        loop {
            if let Some(found) = enough(&all) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{:#?}\n{:#?}", all.spans, all.metrics);
            all = self.got.more.wait_timeout(all, left).unwrap().0;
        }
    }

    /// The spans of a trace, once there are so many. It is given in hexadecimal.
    pub(crate) fn trace(&self, trace: &str, count: usize) -> Vec<Seen> {
        self.wait(|all| {
            let spans = all.spans.iter();
            let found: Vec<_> = spans
                .filter(|seen| hex(&seen.span.trace_id) == trace)
                .cloned()
                .collect();
            (found.len() >= count).then_some(found)
        })
    }

    /// All that has come so far.
    pub(crate) fn spans(&self) -> Vec<Seen> {
        self.got.all.lock().unwrap().spans.clone()
    }

    /// The metric of this name, once it is as wanted.
    pub(crate) fn metric(&self, name: &str, wanted: impl Fn(&Metric) -> bool) -> (String, Metric) {
        self.wait(|all| {
            let found = all.metrics.iter().find(|(_, metric)| metric.name == name);
            found.filter(|(_, metric)| wanted(metric)).cloned()
        })
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn speak_grpc(stream: TokioIo<tokio::net::TcpStream>, got: Arc<Got>) {
    let traces = TowerToHyperService::new(TraceServiceServer::new(Takes(got.clone())));
    let metrics = TowerToHyperService::new(MetricsServiceServer::new(Takes(got)));
    let service = service_fn(move |request: Request<Incoming>| {
        let (traces, metrics) = (traces.clone(), metrics.clone());
        async move {
            match request.uri().path().contains("TraceService") {
                true => traces.call(request).await,
                false => metrics.call(request).await,
            }
        }
    });
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(stream, service)
        .await;
}

async fn speak_http(stream: TokioIo<tokio::net::TcpStream>, got: Arc<Got>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let got = got.clone();
        async move {
            assert_eq!(request.headers()["content-type"], "application/x-protobuf");
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            match &*path {
                "/v1/traces" => got.takes_spans(ExportTraceServiceRequest::decode(body).unwrap()),
                "/v1/metrics" => {
                    got.takes_metrics(ExportMetricsServiceRequest::decode(body).unwrap());
                }
                other => panic!("{other}"),
            }
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(stream, service)
        .await;
}
