//! What spans say of requests and tasks: the attributes of OpenTelemetry's semantic conventions, and hart's own.
//!
//! Texts of guests and clients are cut. A query is left out: there may be secrets in it.

use hart_host::http::header::{HOST, USER_AGENT};
use hart_host::http::{HeaderMap, Method, Uri, Version};
use hart_host::{RunStats, SpanOf};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;

/// The most bytes that are kept of a text.
const TEXT: usize = 256;

/// Methods that are told by their names. Others would make names of spans and metrics without end.
const METHODS: [Method; 9] = [
    Method::CONNECT,
    Method::DELETE,
    Method::GET,
    Method::HEAD,
    Method::OPTIONS,
    Method::PATCH,
    Method::POST,
    Method::PUT,
    Method::TRACE,
];

/// The beginning of `text`.
pub(super) fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT)].to_owned()
}

pub(super) fn method(method: &Method) -> &'static str {
    let known = METHODS.iter().position(|known| known == method);
    let names = [
        "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
    ];
    known.map_or("_OTHER", |known| names[known])
}

fn scheme(uri: &Uri) -> &'static str {
    match uri.scheme_str() {
        Some("https") => "https",
        _ => "http",
    }
}

/// The name of a span, and its kind.
pub(super) fn name(of: &SpanOf<'_>) -> (String, SpanKind) {
    match of {
        SpanOf::Request {
            app, method: asked, ..
        } => (format!("{} {}", method(asked), cut(app)), SpanKind::Server),
        SpanOf::Outgoing { method: sent, .. } => (method(sent).to_owned(), SpanKind::Client),
        SpanOf::Task { name, .. } => (cut(name), SpanKind::Internal),
        _ => (String::from("hart"), SpanKind::Internal),
    }
}

/// What is known when a span begins.
pub(super) fn first(of: &SpanOf<'_>) -> Vec<KeyValue> {
    match of {
        SpanOf::Request {
            app,
            method,
            uri,
            headers,
            version,
            ..
        } => request(app, method, uri, headers, *version),
        SpanOf::Outgoing { method, uri, .. } => outgoing(method, uri),
        SpanOf::Task {
            run,
            run_name,
            id,
            name,
            depth,
            ..
        } => vec![
            KeyValue::new("hart.run.id", number(*run)),
            KeyValue::new("hart.run.name", cut(run_name)),
            KeyValue::new("hart.task.id", number(*id)),
            KeyValue::new("hart.task.name", cut(name)),
            KeyValue::new("hart.task.depth", i64::from(*depth)),
        ],
        _ => Vec::new(),
    }
}

fn request(
    app: &str,
    asked: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    version: Version,
) -> Vec<KeyValue> {
    let version = match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    };
    let header = |name| Some(cut(headers.get(name)?.to_str().ok()?));
    let host = uri.authority().map(|authority| cut(authority.as_str()));
    let mut all = vec![
        KeyValue::new("http.request.method", method(asked)),
        KeyValue::new("url.path", cut(uri.path())),
        KeyValue::new("url.scheme", scheme(uri)),
        KeyValue::new("network.protocol.version", version),
        KeyValue::new("hart.app", cut(app)),
    ];
    if method(asked) == "_OTHER" {
        let original = cut(asked.as_str());
        all.push(KeyValue::new("http.request.method_original", original));
    }
    if let Some(host) = host.or_else(|| header(HOST)) {
        all.push(KeyValue::new("server.address", host));
    }
    if let Some(agent) = header(USER_AGENT) {
        all.push(KeyValue::new("user_agent.original", agent));
    }
    all
}

/// What metrics of a request say, beside its status.
pub(super) fn of_metric(app: &str, asked: &Method, uri: &Uri) -> [KeyValue; 3] {
    [
        KeyValue::new("http.request.method", method(asked)),
        KeyValue::new("url.scheme", scheme(uri)),
        KeyValue::new("hart.app", cut(app)),
    ]
}

fn outgoing(sent: &Method, uri: &Uri) -> Vec<KeyValue> {
    let scheme = scheme(uri);
    let (host, port) = (uri.host().unwrap_or(""), uri.port_u16());
    let port = port.unwrap_or(if scheme == "https" { 443 } else { 80 });
    let url = format!("{scheme}://{}:{port}{}", cut(host), cut(uri.path()));
    vec![
        KeyValue::new("http.request.method", method(sent)),
        KeyValue::new("server.address", cut(host)),
        KeyValue::new("server.port", i64::from(port)),
        KeyValue::new("url.full", url),
    ]
}

/// What a run has used.
pub(super) fn used(stats: &RunStats) -> [KeyValue; 5] {
    [
        KeyValue::new("hart.run.tasks", number(stats.tasks)),
        KeyValue::new("hart.run.cpu_seconds", stats.cpu_time.as_secs_f64()),
        KeyValue::new("hart.run.wait_seconds", stats.wait_time.as_secs_f64()),
        KeyValue::new(
            "hart.run.preempted_seconds",
            stats.preempted_time.as_secs_f64(),
        ),
        KeyValue::new("hart.run.peak_memory_bytes", number(stats.peak_memory)),
    ]
}

pub(super) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
