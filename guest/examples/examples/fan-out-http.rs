//! A service that shares the work of one request between the cores: `/TASKS/STEPS` spawns so many tasks, each of which
//! computes so many steps. A step takes about a nanosecond.
#![cfg(target_family = "wasm")]

use std::hint::black_box;

use hart_guest::task;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

#[task]
fn compute(steps: u64) -> u64 {
    (0..steps).fold(0, |sum, step| black_box(sum ^ step.wrapping_mul(31)))
}

struct FanOut;

impl Guest for FanOut {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let mut numbers = path.split('/').skip(1).map(|part| part.parse().ok());
        let (Some(Some(tasks)), Some(Some(steps))) = (numbers.next(), numbers.next()) else {
            return answer(out, 404, "ask for /TASKS/STEPS\n");
        };
        let work = std::iter::repeat_n(steps, usize::try_from(tasks).unwrap_or(0));
        match hart_guest::par_map(compute, work) {
            Ok(results) => answer(out, 200, &format!("{} tasks are done\n", results.len())),
            Err(error) => answer(out, 500, &format!("{error}\n")),
        }
    }
}

fn answer(out: ResponseOutparam, status: u16, text: &str) {
    let response = OutgoingResponse::new(Fields::new());
    let _ = response.set_status_code(status);
    let body = response.body().expect("it was not taken before");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("it was not taken before");
    // A client that has gone ends it, and is no error of ours.
    let written = stream.blocking_write_and_flush(text.as_bytes());
    drop(stream);
    if written.is_ok() {
        let _ = OutgoingBody::finish(body, None);
    }
}

wasip2::http::proxy::export!(FanOut);
