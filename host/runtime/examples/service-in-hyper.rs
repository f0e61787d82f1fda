//! A component behind hyper alone: `cargo run --release -p hart-host --example service-in-hyper -- hello.wasm`.

use std::error::Error;
use std::time::Duration;

use hart_host::{Host, Limits, Stdio};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("give a component's file")?;
    let host = Host::builder()
        .tokio(tokio::runtime::Handle::current())
        .build()?;
    let component = host.load(&std::fs::read(file)?)?;
    let service = host
        .service(&component)
        .run(|run| {
            run.limits(Limits::new().timeout(Duration::from_secs(5)))
                .stderr(Stdio::Inherit)
        })
        .build()?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    println!("http://{}/", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let service = service.clone();
        tokio::spawn(async move {
            // A client that breaks off is its own affair.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
