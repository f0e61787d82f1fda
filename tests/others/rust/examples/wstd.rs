//! As wstd's own example has it.

use wstd::http::{Body, Error, Request, Response};

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let response = Response::builder().header("x-from", "wstd");
    let asked = (request.method().as_str(), request.uri().path());
    let response = match asked {
        ("GET", "/") => response
            .header("content-type", "text/plain")
            .body("Hello from wstd\n".into()),
        ("POST", "/echo") => {
            let (head, body) = request.into_parts();
            let kind = head.headers.get("content-type").cloned();
            response
                .header("content-type", kind.ok_or(Error::msg("no content-type"))?)
                .body(body)
        }
        _ => response.status(404).body(Body::empty()),
    };
    Ok(response?)
}
