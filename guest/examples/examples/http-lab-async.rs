//! A service of WASI 0.3 that does by path what tests of servers need.
#![cfg(target_family = "wasm")]

use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_future, wit_stream};

struct Lab;

impl Guest for Lab {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        let (what, argument) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
        match what {
            "trap" => core::arch::wasm32::unreachable(),
            "error-code" => Err(ErrorCode::LoopDetected),
            // What came, with the trailers that came.
            "echo" => {
                let (_, fine) = wit_future::new(|| Ok(()));
                let (body, trailers) = Request::consume_body(request, fine);
                Ok(Response::new(Fields::new(), Some(body), trailers).0)
            }
            "target" => {
                let authority = request.get_authority().unwrap_or_default();
                Ok(text(&[], format!("{authority} {path}\n"), false))
            }
            // Says that the body has so many bytes, and writes six.
            "wrong-length" => {
                let length = ("content-length".to_owned(), argument.as_bytes().to_vec());
                Ok(text(&[length], "sixsix".to_owned(), false))
            }
            "trap-in-body" => Ok(text(&[], "half of ".to_owned(), true)),
            "status" => {
                let response = text(&[], "body\n".to_owned(), false);
                let _ = response.set_status_code(argument.parse().unwrap_or(200));
                Ok(response)
            }
            _ => Ok(text(&[], "hello\n".to_owned(), false)),
        }
    }
}

fn text(headers: &[(String, Vec<u8>)], text: String, traps: bool) -> Response {
    let headers = Fields::from_list(headers).expect("the headers may be set");
    let (mut body, contents) = wit_stream::new();
    // Dropped, it says that there are none.
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(headers, Some(contents), trailers);
    wasip3::spawn_local(async move {
        body.write_all(text.into_bytes()).await;
        if traps {
            core::arch::wasm32::unreachable();
        }
    });
    response
}

wasip3::http::service::export!(Lab);
