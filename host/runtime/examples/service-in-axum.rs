//! A component mounted in an axum server: `cargo run --release -p hart-host --example service-in-axum -- hello.wasm`.
//!
//! axum's own handlers run on tokio. What the component does runs on hart's workers, each request with limits of its own.

use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use hart_host::{Host, Limits, Stdio};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("give a component's file")?;
    let host = Host::builder()
        .tokio(tokio::runtime::Handle::current())
        .build()?;
    let component = host.load(&std::fs::read(file)?)?;
    let limits = Limits::new()
        .timeout(Duration::from_secs(5))
        .memory(64 << 20);
    let service = host
        .service(&component)
        .name("hello")
        .run(|run| run.limits(limits).stderr(Stdio::Inherit))
        .concurrency(100)
        .build()?;
    let busy = service.clone();
    let app = Router::new()
        .route("/healthz", get(|| async { "fine\n" }))
        .route(
            "/load",
            get(|| async move {
                let (running, waiting) = busy.load();
                format!("{running} running, {waiting} waiting\n")
            }),
        )
        .fallback_service(service);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    println!("http://{}/", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
