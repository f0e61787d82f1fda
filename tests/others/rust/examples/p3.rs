//! The world `wasi:http/service` of WASI 0.3, by wit-bindgen alone.

wit_bindgen::generate!({
    path: "../../../target/others/wit/p3",
    world: "wasi:http/service@0.3.0",
    generate_all,
});

use exports::wasi::http::handler::Guest;
use wasi::http::types::{ErrorCode, Fields, Method, Request, Response};
use wit_bindgen::StreamReader;

struct Service;

impl Guest for Service {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        Ok(match (request.get_method(), path.as_str()) {
            (Method::Get, "/") => {
                let (mut body, contents) = wit_stream::new();
                wit_bindgen::spawn_local(async move {
                    body.write_all(b"Hello from p3\n".to_vec()).await;
                });
                respond(200, b"text/plain", Some(contents))
            }
            (Method::Post, "/echo") => {
                let kind = request.get_headers().get("content-type").concat();
                let (_, no_error) = wit_future::new(|| Ok(()));
                let (body, _) = Request::consume_body(request, no_error);
                respond(200, &kind, Some(body))
            }
            _ => respond(404, b"text/plain", None),
        })
    }
}

fn respond(status: u16, kind: &[u8], body: Option<StreamReader<u8>>) -> Response {
    let headers = Fields::new();
    for (name, value) in [("content-type", kind), ("x-from", b"p3")] {
        headers.append(name, value).expect("it may be set");
    }
    let (_, no_trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(headers, body, no_trailers);
    response.set_status_code(status).expect("it is a status");
    response
}

export!(Service);
