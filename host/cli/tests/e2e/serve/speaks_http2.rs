//! HTTP/2 by prior knowledge.

use super::Server;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

/// Hunts streams of one connection that wait for each other, and a trap that takes the connection with it.
#[test]
fn streams_are_answered_side_by_side() {
    let server = Server::lab(&["--timeout", "60s"]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(server.address)
            .await
            .unwrap();
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let ask = |path: &str, body: &'static [u8]| {
            let request = Request::post(format!("http://localhost{path}"))
                .body(Full::<Bytes>::from(body))
                .unwrap();
            let mut sender = sender.clone();
            async move { sender.send_request(request).await }
        };
        let spins = tokio::spawn(ask("/spin/10000000", b""));
        for _ in 0..20 {
            let echoed = ask("/echo", b"over http/2").await.unwrap();
            assert_eq!(echoed.status(), 200);
            let body = echoed.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, &b"over http/2"[..]);
            let broken = ask("/trap-in-body", b"").await.unwrap();
            // A trap that comes before the head is sent is an error in its place.
            let is_error = broken.status() == 500;
            assert!(is_error || broken.into_body().collect().await.is_err());
            assert_eq!(ask("/trap", b"").await.unwrap().status(), 500);
        }
        let with_trailers = ask("/trailers", b"").await.unwrap();
        let body = with_trailers.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["x-after"], "all");
        assert!(!spins.is_finished());
    });
}
