//! Answers every HTTP request with a greeting: the smallest service of WASI 0.2.
#![cfg(target_family = "wasm")]

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Hello;

impl Guest for Hello {
    fn handle(_request: IncomingRequest, answer: ResponseOutparam) {
        let headers = [("content-type".to_owned(), b"text/plain".to_vec())];
        let headers = Fields::from_list(&headers).expect("the header may be set");
        let response = OutgoingResponse::new(headers);
        let body = response.body().expect("it was not taken before");
        ResponseOutparam::set(answer, Ok(response));
        let stream = body.write().expect("it was not taken before");
        // A client that has gone ends it, and is no error of ours.
        let written = stream.blocking_write_and_flush(b"Hello from hart\n");
        drop(stream);
        if written.is_ok() {
            let _ = OutgoingBody::finish(body, None);
        }
    }
}

wasip2::http::proxy::export!(Hello);
