//! HTTP: a component that answers requests, beside handlers of the program's own in an axum server.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use hart_host::{Host, Limits};
use tokio::net::TcpListener;

use crate::Error;

/// Serves the component on a port that is free, and says where.
///
/// # Errors
/// What keeps it from being served.
pub async fn serve(component: &Path) -> Result<SocketAddr, Error> {
    let host = Host::builder()
        .tokio(tokio::runtime::Handle::current())
        .build()?;
    let component = host.load_file(component)?;
    let limits = Limits::new().timeout(Duration::from_secs(5));
    let service = host
        .service(&component)
        .run(|run| run.limits(limits))
        .concurrency(100)
        .build()?;
    let app = Router::new()
        .route("/healthz", get(|| async { "fine\n" }))
        .fallback_service(service);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        // The host closes when the last handle of it is dropped.
        let _host = host;
        let _ends_with_the_runtime = axum::serve(listener, app).await;
    });
    Ok(address)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    async fn ask(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn both_answer() {
        let address = super::serve(&hart_build::guest("hello-http"))
            .await
            .unwrap();
        assert!(ask(address, "/healthz").await.ends_with("fine\n"));
        let answer = ask(address, "/").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.to_lowercase().contains("hello"), "{answer}");
    }
}
