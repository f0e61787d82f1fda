//! The world `wasi:http/proxy` of WASI 0.2, by wit-bindgen alone.

wit_bindgen::generate!({
    path: "../../../target/others/wit/p2",
    world: "wasi:http/proxy@0.2.12",
    generate_all,
});

use exports::wasi::http::incoming_handler::Guest;
use wasi::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasi::io::streams::StreamError;

struct Service;

impl Guest for Service {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        match (request.method(), path.as_str()) {
            (Method::Get, "/") => {
                let body = begin(out, 200, b"text/plain");
                let stream = body.write().expect("it was not taken before");
                stream
                    .blocking_write_and_flush(b"Hello from p2\n")
                    .expect("the client reads it");
                drop(stream);
                OutgoingBody::finish(body, None).expect("the body is whole");
            }
            (Method::Post, "/echo") => {
                let kind = request.headers().get("content-type").concat();
                echo(&request, begin(out, 200, &kind));
            }
            _ => {
                let body = begin(out, 404, b"text/plain");
                OutgoingBody::finish(body, None).expect("the body is whole");
            }
        }
    }
}

fn begin(out: ResponseOutparam, status: u16, kind: &[u8]) -> OutgoingBody {
    let headers = Fields::new();
    for (name, value) in [("content-type", kind), ("x-from", b"p2")] {
        headers.append(name, value).expect("it may be set");
    }
    let response = OutgoingResponse::new(headers);
    response.set_status_code(status).expect("it is a status");
    let body = response.body().expect("it was not taken before");
    ResponseOutparam::set(out, Ok(response));
    body
}

fn echo(request: &IncomingRequest, to: OutgoingBody) {
    let from = request.consume().expect("it was not taken before");
    let input = from.stream().expect("it was not taken before");
    let output = to.write().expect("it was not taken before");
    loop {
        match output.blocking_splice(&input, 1 << 16) {
            Ok(_) => {}
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => panic!("{}", error.to_debug_string()),
        }
    }
    drop((input, output));
    IncomingBody::finish(from);
    OutgoingBody::finish(to, None).expect("the body is whole");
}

export!(Service);
