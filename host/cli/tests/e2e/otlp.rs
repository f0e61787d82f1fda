//! `--otlp`: what a collector is sent by real processes.

pub(crate) mod receiver;

use crate::serve::{Answer, Server};
use crate::support::{Running, command, hart};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use receiver::{Receiver, Seen, attribute, hex};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Receiver as Lines, channel};
use std::thread;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const OTHER: &str = "1af7651916cd43dd8448eb211c80319c";
const THIRD: &str = "2af7651916cd43dd8448eb211c80319c";
const FOURTH: &str = "3af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// The kinds of spans that OTLP has.
const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;

fn guest(name: &str) -> String {
    hart_build::guest(name).to_string_lossy().into_owned()
}

/// `hart serve` of a guest, which soon sends what there is.
fn serving(url: &str, name: &str, options: &[&str]) -> Command {
    let mut command = command();
    command
        .args(["serve", "--addr", "127.0.0.1:0", "--otlp", url])
        .args(options)
        .arg(guest(name));
    soon(&mut command);
    command
}

/// Variables of the SDK's that have it send soon.
fn soon(command: &mut Command) {
    command
        .env("OTEL_BSP_SCHEDULE_DELAY", "20")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "50");
}

/// Asks with a `traceparent` of this trace.
fn ask(server: &Server, path: &str, trace: &str, sampled: bool) -> Answer {
    let flags = u8::from(sampled);
    server.ask(
        format!(
            "GET {path} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: tests\r\nConnection: close\r\ntraceparent: 00-{trace}-{PARENT}-0{flags}\r\n\r\n"
        )
        .as_bytes(),
    )
}

#[track_caller]
fn of_kind(spans: &[Seen], kind: i32) -> &Seen {
    let found: Vec<_> = spans.iter().filter(|seen| seen.span.kind == kind).collect();
    match found[..] {
        [only] => only,
        _ => panic!("{} of kind {kind}: {spans:#?}", found.len()),
    }
}

/// Ends a server, and returns what it said of the collector.
fn end(server: Server) -> String {
    server.signal(libc::SIGTERM);
    let (code, _, said) = server.wait();
    assert_eq!(code, Some(0), "{said}");
    let lines = said.lines().filter(|line| line.contains("--otlp"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The sum of a metric's values.
fn sum(metric: &Metric) -> f64 {
    let points = match metric.data.as_ref() {
        Some(Data::Sum(sum)) => &sum.data_points,
        Some(Data::Gauge(gauge)) => &gauge.data_points,
        other => panic!("{other:?}"),
    };
    let value = |value: &Value| match value {
        Value::AsDouble(value) => *value,
        Value::AsInt(value) => *value as f64,
    };
    points
        .iter()
        .filter_map(|point| point.value.as_ref())
        .map(value)
        .sum()
}

/// Hunts a request that is no child of the client's span, attributes by other names, a query in a span, and figures that
/// do not arrive; by both protocols.
#[test]
pub(crate) fn a_request_is_a_span_below_the_clients() {
    for protocol in ["grpc", "http"] {
        let receiver = Receiver::start(protocol);
        let options = ["--otlp-protocol", protocol];
        let mut command = serving(&receiver.url(), "http-lab", &options);
        command.env("OTEL_SERVICE_NAME", "shop");
        let server = Server::run(&mut command);
        assert_eq!(ask(&server, "/hello?secret", TRACE, true).text(), "hello");
        assert_eq!(server.get("/status/404").status, 404);

        let spans = receiver.trace(TRACE, 2);
        assert_eq!(spans.len(), 2, "{spans:#?}");
        let request = of_kind(&spans, SERVER);
        assert_eq!(request.service, "shop");
        assert_eq!(hex(&request.span.parent_span_id), PARENT);
        assert_eq!(request.span.name, "GET http-lab");
        assert_eq!(request.error(), None, "{request:#?}");
        for (key, value) in [
            ("http.request.method", "GET"),
            ("http.response.status_code", "200"),
            ("url.path", "/hello"),
            ("url.scheme", "http"),
            ("network.protocol.version", "1.1"),
            ("server.address", "shop.example"),
            ("user_agent.original", "tests"),
            ("hart.app", "http-lab"),
        ] {
            let found = request.attribute(key);
            assert_eq!(found.as_deref(), Some(value), "{key}: {request:#?}");
        }
        assert!(!format!("{spans:?}").contains("secret"), "{spans:#?}");
        let task = of_kind(&spans, INTERNAL);
        assert_eq!(task.span.parent_span_id, request.span.span_id);
        assert_eq!(task.attribute("hart.task.end").as_deref(), Some("returned"));
        let used = task.attribute("hart.run.cpu_seconds").unwrap();
        assert!(used.parse::<f64>().unwrap() > 0.0, "{task:#?}");
        task.event("started");

        let (service, _) = receiver.metric("hart_requests_total", |all| sum(all) == 2.0);
        assert_eq!(service, "shop");
        receiver.metric("hart_request_duration_seconds_count", |all| sum(all) == 2.0);
        let durations = receiver.metric("http.server.request.duration", |metric| {
            matches!(&metric.data, Some(Data::Histogram(all)) if all.data_points.len() == 2)
        });
        let Some(Data::Histogram(durations)) = durations.1.data else {
            unreachable!("it was one");
        };
        let status = |point: &opentelemetry_proto::tonic::metrics::v1::HistogramDataPoint| {
            assert_eq!(point.count, 1);
            attribute(&point.attributes, "http.response.status_code").unwrap()
        };
        let mut statuses: Vec<_> = durations.data_points.iter().map(status).collect();
        statuses.sort();
        assert_eq!(statuses, ["200", "404"]);
        assert_eq!(end(server), "");
    }
}

/// Hunts spawned tasks that are missing, or are not below the task that spawned them.
#[test]
fn spawned_tasks_are_below_the_one_that_spawned_them() {
    let receiver = Receiver::start("grpc");
    let server = Server::run(&mut serving(&receiver.url(), "fan-out-http", &[]));
    assert_eq!(ask(&server, "/3/10", TRACE, true).status, 200);
    let spans = receiver.trace(TRACE, 5);
    assert_eq!(spans.len(), 5, "{spans:#?}");
    let is_at = |seen: &&Seen, depth| seen.attribute("hart.task.depth").as_deref() == Some(depth);
    let root = spans.iter().find(|seen| is_at(seen, "0")).unwrap();
    let children: Vec<_> = spans.iter().filter(|seen| is_at(seen, "1")).collect();
    assert_eq!(children.len(), 3, "{spans:#?}");
    for child in children {
        assert_eq!(child.span.parent_span_id, root.span.span_id);
        assert!(child.span.name.contains("compute"), "{child:#?}");
        let ended = child.attribute("hart.task.end");
        assert_eq!(ended.as_deref(), Some("returned"));
    }
}

/// Answers all requests, and sends the `traceparent` of each.
fn callee() -> (String, Lines<Option<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sent, parents) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream: TcpStream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head: Vec<_> = lines
                .map(Result::unwrap)
                .take_while(|line| !line.is_empty())
                .collect();
            let parents = head.iter().filter_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("traceparent").then_some(value)
            });
            let parents: Vec<_> = parents.collect();
            assert!(parents.len() < 2, "{head:?}");
            sent.send(parents.first().map(|parent| (*parent).to_owned()))
                .unwrap();
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        }
    });
    (address, parents)
}

/// Hunts an outgoing request without a span, a callee that is not told of it, and a guest whose own word is changed.
#[test]
fn callees_are_told_of_the_trace() {
    let (callee, parents) = callee();
    let receiver = Receiver::start("grpc");
    let options = ["--allow-http", &callee];
    let server = Server::run(&mut serving(&receiver.url(), "http-lab", &options));
    let path = format!("/fetch/{callee}/a?secret");
    assert_eq!(ask(&server, &path, TRACE, true).text(), "404 Some(0)");
    let spans = receiver.trace(TRACE, 3);
    let (task, sent) = (of_kind(&spans, INTERNAL), of_kind(&spans, CLIENT));
    assert_eq!(sent.span.parent_span_id, task.span.span_id);
    let span = hex(&sent.span.span_id);
    assert_eq!(
        parents.recv().unwrap(),
        Some(format!("00-{TRACE}-{span}-01"))
    );
    let url = format!("http://{callee}/a");
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "404"),
        ("error.type", "404"),
        ("server.address", "127.0.0.1"),
        ("url.full", &url),
    ] {
        assert_eq!(sent.attribute(key).as_deref(), Some(value), "{sent:#?}");
    }
    assert!(sent.error().is_some(), "{sent:#?}");

    let own = format!("00-{OTHER}-{PARENT}-01");
    let path = format!("/fetch-traced/{own}/{callee}");
    assert_eq!(ask(&server, &path, TRACE, true).text(), "404 Some(0)");
    assert_eq!(parents.recv().unwrap(), Some(own));

    // What is not allowed is not sent, and the span says why.
    let path = "/fetch/127.0.0.2:1";
    assert_eq!(ask(&server, path, OTHER, true).status, 200);
    let refused = receiver.trace(OTHER, 3);
    let refused = of_kind(&refused, CLIENT);
    assert!(refused.error().unwrap().contains("enied"), "{refused:#?}");
}

/// Hunts traps and limits that look like success, one event for each of many preemptions, and texts without end.
#[test]
fn traps_limits_and_preemptions_are_told() {
    let receiver = Receiver::start("grpc");
    let options = ["--workers", "1", "--timeout", "2s"];
    let server = Server::run(&mut serving(&receiver.url(), "http-lab", &options));
    assert_eq!(ask(&server, "/trap", TRACE, true).status, 500);
    let spans = receiver.trace(TRACE, 2);
    let (request, task) = (of_kind(&spans, SERVER), of_kind(&spans, INTERNAL));
    let status = request.attribute("http.response.status_code");
    assert_eq!(status.as_deref(), Some("500"));
    assert_eq!(request.attribute("error.type").as_deref(), Some("500"));
    assert!(request.error().is_some(), "{request:#?}");
    assert_eq!(task.attribute("error.type").as_deref(), Some("trapped"));
    assert!(task.error().unwrap().contains("unreachable"), "{task:#?}");
    let event = &task.event("exception").attributes;
    let message = attribute(event, "exception.message").unwrap();
    assert!(message.contains("unreachable"), "{task:#?}");

    // Two that never end share the only worker.
    thread::scope(|scope| {
        for trace in [OTHER, THIRD] {
            let server = &server;
            scope.spawn(move || assert_eq!(ask(server, "/spin/100000", trace, true).status, 504));
        }
    });
    let spans = receiver.trace(OTHER, 2);
    let (request, task) = (of_kind(&spans, SERVER), of_kind(&spans, INTERNAL));
    assert_eq!(request.attribute("error.type").as_deref(), Some("504"));
    assert_eq!(task.attribute("hart.task.end").as_deref(), Some("limit"));
    let event = &task.event("limit_reached").attributes;
    let limit = attribute(event, "hart.limit").unwrap();
    assert!(limit.contains("`timeout` of 2s"), "{limit}");
    let count = attribute(&task.event("preempted").attributes, "hart.preemptions");
    let count: u64 = count.unwrap().parse().unwrap();
    assert!(count > 1, "{task:#?}");

    let path = format!("/{}", "x".repeat(10_000));
    assert_eq!(ask(&server, &path, FOURTH, true).status, 404);
    let spans = receiver.trace(FOURTH, 2);
    let path = of_kind(&spans, SERVER).attribute("url.path").unwrap();
    assert_eq!(path.len(), 256);
}

/// Hunts a ratio that is not respected, and a client whose decision is not.
#[test]
fn sampling_is_the_clients_or_a_ratio() {
    let (callee, parents) = callee();
    let receiver = Receiver::start("grpc");
    let options = ["--otlp-sample", "0%", "--allow-http", &callee];
    let server = Server::run(&mut serving(&receiver.url(), "http-lab", &options));
    let fetch = format!("/fetch/{callee}");
    for _ in 0..20 {
        assert_eq!(server.get("/hello").status, 200);
    }
    // What is not traced says so to others.
    assert_eq!(ask(&server, &fetch, OTHER, false).status, 200);
    let said = parents.recv().unwrap().unwrap();
    assert!(said.starts_with(&format!("00-{OTHER}-")), "{said}");
    assert!(said.ends_with("-00"), "{said}");
    assert_eq!(server.get(&fetch).status, 200);
    let said = parents.recv().unwrap().unwrap();
    assert!(said.ends_with("-00"), "{said}");
    assert_eq!(ask(&server, "/hello", TRACE, true).status, 200);
    assert_eq!(end(server), "");
    // All was sent before it ended.
    let spans = receiver.spans();
    assert_eq!(spans.len(), 2, "{spans:#?}");
    assert!(spans.iter().all(|seen| hex(&seen.span.trace_id) == TRACE));
    // Metrics count those that are not traced.
    receiver.metric("hart_requests_total", |all| sum(all) == 23.0);
}

/// Hunts requests that wait for a collector, one that is told of again and again, and spans that are lost in silence.
#[test]
fn without_a_collector_requests_are_answered() {
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    // This one accepts, and never answers.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [nobody, mute.local_addr().unwrap()] {
        for protocol in ["grpc", "http"] {
            let url = format!("http://{address}");
            let options = ["--otlp-protocol", protocol];
            let mut command = serving(&url, "http-lab", &options);
            command
                .env("OTEL_BSP_MAX_QUEUE_SIZE", "8")
                .env("OTEL_EXPORTER_OTLP_TIMEOUT", "100");
            let server = Server::run(&mut command);
            for _ in 0..100 {
                assert_eq!(server.get("/hello").text(), "hello");
            }
            let said = end(server);
            let lines: Vec<_> = said.lines().collect();
            // Two for each request, and one of the run that tries an app before it serves.
            let lost = format!("hart: --otlp {url}: 201 of 201 spans were not sent");
            assert!(lines.last().unwrap().starts_with(&lost), "{said}");
            let told = lines.iter().filter(|line| line.contains("does not take"));
            assert!(told.count() <= 1, "{said}");
            assert!(lines.len() <= 2, "{said}");
        }
    }
}

/// Hunts a run whose spans are lost with the process, and an end that is not that of the run.
#[test]
pub(crate) fn a_run_is_exported_before_it_ends() {
    for protocol in ["grpc", "http"] {
        let receiver = Receiver::start(protocol);
        let url = receiver.url();
        let run = |name: &str, arguments: &[&str]| {
            let mut command = command();
            let options = ["run", "--otlp", &url, "--otlp-protocol", protocol];
            command.args(options).arg(guest(name)).args(arguments);
            Running::start(&mut command, &[]).wait()
        };
        assert_eq!(run("tree", &["3"]).exits(0).stderr, "");
        let spans = receiver.spans();
        // A tree of seven, and what grows it.
        assert_eq!(spans.len(), 8, "{spans:#?}");
        let roots: Vec<_> = { spans.iter() }
            .filter(|seen| seen.span.parent_span_id.is_empty())
            .collect();
        let [root] = roots[..] else {
            panic!("{spans:#?}");
        };
        assert_eq!(root.service, "hart");
        assert_eq!(root.attribute("hart.run.tasks").as_deref(), Some("8"));
        for seen in &spans {
            assert_eq!(seen.span.trace_id, root.span.trace_id);
            let above = &seen.span.parent_span_id;
            let has_parent = spans.iter().any(|other| other.span.span_id == *above);
            assert!(above.is_empty() || has_parent, "{seen:#?}");
        }
        receiver.metric("hart_tasks_started_total", |all| sum(all) == 8.0);

        run("trapper", &[]).exits(134);
        let spans = receiver.spans();
        let trapped = spans.last().unwrap();
        assert!(trapped.error().is_some(), "{trapped:#?}");
    }
}

/// Hunts a guest that has the host hold spans without end.
#[test]
fn spans_that_are_held_for_guests_have_a_limit() {
    let receiver = Receiver::start("grpc");
    let mut command = command();
    command
        .env("OTEL_BSP_MAX_QUEUE_SIZE", "20000")
        .args(["run", "--otlp", &receiver.url(), "-W", "max-tasks=10050"])
        .arg(guest("sleeper"))
        .args(["3600000", "12000"]);
    let ended = Running::start(&mut command, &[]).wait().exits(1);
    let lost = "50 of 10050 spans were not sent";
    assert!(ended.stderr.contains(lost), "{ended:#?}");
    let spans = receiver.spans();
    assert_eq!(spans.len(), 10_000);
    let is_root = |seen: &&Seen| seen.span.parent_span_id.is_empty();
    let root = spans.iter().find(is_root).unwrap();
    let limit = attribute(&root.event("limit_reached").attributes, "hart.limit");
    assert!(limit.unwrap().contains("10050"), "{root:#?}");
}

/// Hunts an address or a part that is only seen to be none later, or in more than a line.
#[test]
fn what_is_no_collector_is_said_in_a_line() {
    let hello = guest("hello");
    for (options, says) in [
        (&["--otlp", "https://127.0.0.1:4317"][..], "without TLS"),
        (&["--otlp", "localhost:4317"], "no collector's address"),
        (
            &["--otlp", "http://127.0.0.1:1", "--otlp-sample", "2"],
            "write one like 1%",
        ),
        (
            &["--otlp", "http://127.0.0.1:1", "--otlp-protocol", "udp"],
            "grpc",
        ),
        (&["--otlp-sample", "1%"], "--otlp"),
    ] {
        let line = options.iter().copied().chain([&*hello]);
        let refused = hart(["run"].into_iter().chain(line)).exits(2);
        assert!(refused.stderr.contains(says), "{refused:#?}");
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:#?}");
    }
}
