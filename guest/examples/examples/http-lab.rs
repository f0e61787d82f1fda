//! A service of WASI 0.2 that does by path what tests of servers need. What it is asked for is in [`answer`].
#![cfg(target_family = "wasm")]

use std::hint::black_box;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingRequest,
    OutgoingResponse, ResponseOutparam, Scheme,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

struct Lab;

/// Requests that this instance has had.
static REQUESTS: AtomicU64 = AtomicU64::new(0);

impl Guest for Lab {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        let path = request.path_with_query().unwrap_or_default();
        // The first segment may be an app's: `/APP/what/argument`.
        let path = path.strip_prefix("/noisy").unwrap_or(&path);
        let path = path.strip_prefix("/quiet").unwrap_or(path);
        let mut parts = path.trim_start_matches('/').splitn(2, ['/', '?']);
        let what = parts.next().unwrap_or_default();
        let argument = parts.next().unwrap_or_default();
        answer(what, argument, request, out);
    }
}

fn answer(what: &str, argument: &str, request: IncomingRequest, out: ResponseOutparam) {
    let number = || argument.parse::<u64>().unwrap_or(1);
    match what {
        "hello" => text(out, "hello\n"),
        // Computes for so many milliseconds.
        "spin" => {
            spin(Duration::from_millis(number()));
            text(out, "spun\n");
        }
        // Computes for so many microseconds.
        "work" => {
            spin(Duration::from_micros(number()));
            text(out, "worked\n");
        }
        "sleep" => {
            std::thread::sleep(Duration::from_millis(number()));
            text(out, "slept\n");
        }
        // How many requests this instance has had.
        "count" => text(out, &format!("{}\n", REQUESTS.load(Ordering::Relaxed))),
        "echo" => echo(request, out),
        // The names of the trailers that come after the request's body.
        "trailers-of" => {
            let said = trailers_of(&request).unwrap_or_else(|| "none".to_owned());
            text(out, &format!("{said}\n"));
        }
        // A response of this status.
        "status" => {
            let (body, stream) = begin(out, number() as u16, &[]);
            let _ = stream.blocking_write_and_flush(b"body\n");
            drop(stream);
            let _ = OutgoingBody::finish(body, None);
        }
        "count-body" => {
            let length = read_all(&request).map_or(-1, |length| length as i64);
            text(out, &format!("{length}\n"));
        }
        // The same, and an error where it does not come.
        "need-body" => match read_all(&request) {
            Some(length) => text(out, &format!("{length}\n")),
            None => ResponseOutparam::set(out, Err(ErrorCode::ConnectionReadTimeout)),
        },
        "scheme" => text(out, &format!("{:?}\n", request.scheme())),
        // What the request is for.
        "target" => {
            let authority = request.authority().unwrap_or_default();
            let path = request.path_with_query().unwrap_or_default();
            text(out, &format!("{authority} {path}\n"));
        }
        "ignore-body" => text(out, "ignored\n"),
        // So many bytes, streamed.
        "big" => big(number(), out),
        "trailers" => {
            let (body, stream) = begin(out, 200, &[]);
            let _ = stream.blocking_write_and_flush(b"body\n");
            drop(stream);
            let trailers = Fields::from_list(&[("x-after".to_owned(), b"all".to_vec())]);
            let _ = OutgoingBody::finish(body, trailers.ok());
        }
        "trap" => trap(),
        "trap-in-body" => {
            let (_body, stream) = begin(out, 200, &[]);
            let _ = stream.blocking_write_and_flush(b"half of ");
            trap();
        }
        "no-response" => drop(out),
        "leave" => std::process::exit(1),
        "error-code" => ResponseOutparam::set(out, Err(ErrorCode::LoopDetected)),
        // Says that the body has so many bytes, and writes six.
        "wrong-length" => {
            let length = argument.as_bytes().to_vec();
            let (body, stream) = begin(out, 200, &[("content-length".to_owned(), length)]);
            let _ = stream.blocking_write_and_flush(b"sixsix");
            drop(stream);
            let _ = OutgoingBody::finish(body, None);
        }
        // Which headers it may not set.
        "forbidden-header" => {
            let refused = [
                "connection",
                "transfer-encoding",
                "upgrade",
                "host",
                "x-fine",
            ]
            .into_iter()
            .filter(|name| Fields::new().set(name, &[b"x".to_vec()]).is_err());
            let refused: Vec<&str> = refused.collect();
            text(out, &format!("{}\n", refused.join(" ")));
        }
        // So many of what a guest can have the host hold: full fields, copies of the request's headers, requests with a
        // long path, requests whose bodies are full.
        "fields" => held(out, number(), full_fields),
        "copies" => held(out, number(), || copy(&request)),
        "paths" => held(out, number(), long_path),
        "bodies" => held(out, number(), full_body),
        // Whether a request's method may have a name of so many bytes.
        "method" => {
            let name = "M".repeat(usize::try_from(number()).unwrap_or(usize::MAX));
            let set = OutgoingRequest::new(Fields::new()).set_method(&Method::Other(name));
            text(out, &format!("{set:?}\n"));
        }
        "memory" => {
            let bytes = vec![1_u8; usize::try_from(number()).unwrap_or(usize::MAX)];
            text(out, &format!("{}\n", black_box(bytes).len()));
        }
        "env" => {
            let value = std::env::var(argument).unwrap_or_default();
            text(out, &format!("{value}\n"));
        }
        "print" => {
            println!("to standard output\nin two lines");
            eprintln!("to standard error");
            text(out, "printed\n");
        }
        // Writes a line in so many pieces, between which others run.
        "pieces" => {
            for _ in 0..number() {
                eprint!("piece ");
                std::thread::sleep(Duration::from_millis(1));
            }
            eprintln!();
            text(out, "written\n");
        }
        // Begins a line.
        "unfinished" => {
            eprint!("without an end");
            text(out, "begun\n");
        }
        "unfinished-trap" => {
            eprint!("without an end");
            trap();
        }
        // Goes on after its response for so many milliseconds.
        "after" => {
            text(out, "answered\n");
            std::thread::sleep(Duration::from_millis(number()));
            eprintln!("after the response");
        }
        // A line of so many bytes, and no end of it.
        "endless" => {
            for _ in 0..number() / 1000 {
                let _ = std::io::stderr().write_all(&[b'e'; 1000]);
            }
            text(out, "written\n");
        }
        // So many lines without anything in them.
        "empty-lines" => {
            let lines = usize::try_from(number()).unwrap_or(0);
            let _ = std::io::stderr().write_all(&vec![b'\n'; lines]);
            text(out, "written\n");
        }
        // A header of the request.
        "header" => {
            let values = request.headers().get(argument);
            let values: Vec<_> = values.iter().map(|v| String::from_utf8_lossy(v)).collect();
            text(out, &format!("{}\n", values.join(",")));
        }
        // Asks `AUTHORITY/PATH` by http.
        "fetch" => {
            let said = fetch(argument, Fields::new());
            text(out, &format!("{said}\n"));
        }
        // The same with a `traceparent` of its own: `/fetch-traced/TRACEPARENT/TARGET`.
        "fetch-traced" => {
            let (parent, target) = argument.split_once('/').unwrap_or_default();
            let header = ("traceparent".to_owned(), parent.as_bytes().to_vec());
            let headers = Fields::from_list(&[header]).expect("the header may be set");
            let said = fetch(target, headers);
            text(out, &format!("{said}\n"));
        }
        _ => {
            let (body, stream) = begin(out, 404, &[]);
            drop(stream);
            let _ = OutgoingBody::finish(body, None);
        }
    }
}

fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

fn spin(span: Duration) {
    let until = Instant::now() + span;
    let mut x = 1_u64;
    while Instant::now() < until {
        for i in 0..1_000_u64 {
            x = black_box(x.wrapping_mul(i | 1));
        }
    }
}

fn begin(
    out: ResponseOutparam,
    status: u16,
    headers: &[(String, Vec<u8>)],
) -> (OutgoingBody, OutputStream) {
    let headers = Fields::from_list(headers).expect("the headers may be set");
    let response = OutgoingResponse::new(headers);
    response.set_status_code(status).expect("it is a status");
    let body = response.body().expect("it was not taken before");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("it was not taken before");
    (body, stream)
}

fn text(out: ResponseOutparam, text: &str) {
    let (body, stream) = begin(out, 200, &[]);
    let written = stream.blocking_write_and_flush(text.as_bytes());
    drop(stream);
    if written.is_ok() {
        let _ = OutgoingBody::finish(body, None);
    }
}

fn big(mut bytes: u64, out: ResponseOutparam) {
    let (body, stream) = begin(out, 200, &[]);
    let chunk = vec![b'x'; 4096];
    while bytes > 0 {
        let now = bytes.min(chunk.len() as u64);
        if stream
            .blocking_write_and_flush(&chunk[..now as usize])
            .is_err()
        {
            return;
        }
        bytes -= now;
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

fn echo(request: IncomingRequest, out: ResponseOutparam) {
    let (body, stream) = begin(out, 200, &[]);
    if !matches!(request.method(), Method::Head) {
        let from = request.consume().expect("it was not taken before");
        let input = from.stream().expect("it was not taken before");
        while let Ok(chunk) = read(&input) {
            if stream.blocking_write_and_flush(&chunk).is_err() {
                return;
            }
        }
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

fn read(input: &InputStream) -> Result<Vec<u8>, StreamError> {
    input.blocking_read(4096)
}

/// The length of the body, or nothing if it did not come to its end.
fn read_all(request: &IncomingRequest) -> Option<u64> {
    let from = request.consume().ok()?;
    length(&from)
}

fn trailers_of(request: &IncomingRequest) -> Option<String> {
    let body = request.consume().ok()?;
    length(&body)?;
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    let trailers = trailers.get()?.ok()?.ok()??;
    let names = trailers.entries().into_iter().map(|(name, _)| name);
    Some(names.collect::<Vec<_>>().join(","))
}

fn length(body: &IncomingBody) -> Option<u64> {
    let input = body.stream().ok()?;
    let mut length = 0;
    loop {
        match read(&input) {
            Ok(chunk) => length += chunk.len() as u64,
            Err(StreamError::Closed) => return Some(length),
            Err(StreamError::LastOperationFailed(_)) => return None,
        }
    }
}

/// Makes so many, and answers how many there are while it holds them all.
fn held<T>(out: ResponseOutparam, number: u64, make: impl Fn() -> Option<T>) {
    let held: Vec<T> = (0..number).map_while(|_| make()).collect();
    text(out, &format!("{}\n", held.len()));
}

/// Nearly as many headers as fields take: one too many is a trap.
fn full_fields() -> Option<Fields> {
    let fields = Fields::new();
    for number in 0..14 {
        fields.append(&format!("x-{number}"), &[b'v'; 1024]).ok()?;
    }
    Some(fields)
}

/// The request's headers and one more: so it is a copy, and not the same once more.
fn copy(request: &IncomingRequest) -> Option<Fields> {
    let fields = request.headers().clone();
    fields.append("x-own", b"1").ok()?;
    Some(fields)
}

fn long_path() -> Option<OutgoingRequest> {
    let request = OutgoingRequest::new(Fields::new());
    let path = format!("/{}", "p".repeat(60_000));
    request.set_path_with_query(Some(&path)).ok()?;
    Some(request)
}

fn full_body() -> Option<(OutgoingRequest, OutgoingBody)> {
    let request = OutgoingRequest::new(Fields::new());
    let body = request.body().ok()?;
    let stream = body.write().ok()?;
    let room = usize::try_from(stream.check_write().ok()?).ok()?;
    stream.write(&vec![b'b'; room]).ok()?;
    drop(stream);
    Some((request, body))
}

fn fetch(target: &str, headers: Fields) -> String {
    let (authority, path) = target.split_at(target.find('/').unwrap_or(target.len()));
    let request = OutgoingRequest::new(headers);
    let path = if path.is_empty() { "/" } else { path };
    let set = request
        .set_scheme(Some(&Scheme::Http))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(path)));
    if set.is_err() {
        return "no URI".into();
    }
    let response = match outgoing_handler::handle(request, None) {
        Ok(response) => response,
        Err(code) => return format!("{code:?}"),
    };
    response.subscribe().block();
    match response.get() {
        Some(Ok(Ok(response))) => {
            let status = response.status();
            let body = response.consume().ok();
            let length = body.and_then(|body| length(&body));
            format!("{status} {length:?}")
        }
        Some(Ok(Err(code))) => format!("{code:?}"),
        _ => "no response".into(),
    }
}

wasip2::http::proxy::export!(Lab);
