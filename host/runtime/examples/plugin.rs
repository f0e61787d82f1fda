//! A plug-in that stays loaded: typed calls by wasmtime's `bindgen!`, each with a budget, and a new instance where one has
//! ended.
//!
//! ```sh
//! cargo run -p hart-host --example plugin
//! ```

use std::error::Error;
use std::time::Duration;

use hart_host::wasmtime::component::{Instance, bindgen};
use hart_host::wasmtime::{self, Store};
use hart_host::{GuestState, Host, Restart};

bindgen!({
    inline: "
        package example:shop;
        world pricing {
            export price: func(pieces: u32) -> u32;
        }
    ",
    exports: { default: async },
});

/// What somebody else wrote: a price by the piece, and an endless loop for a thousand.
const PLUGIN: &str = r#"(component
    (core module $m
        (func (export "price") (param i32) (result i32)
            (if (i32.eq (local.get 0) (i32.const 1000)) (then (loop (br 0))))
            (i32.mul (local.get 0) (i32.const 7))))
    (core instance $i (instantiate $m))
    (func (export "price") (param "pieces" u32) (result u32) (canon lift (core func $i "price"))))"#;

fn main() -> Result<(), Box<dyn Error>> {
    let host = Host::builder().build()?;
    let component = host.load(PLUGIN.as_bytes())?;
    // Any executor will do. This is one of tokio's, and it polls no guest.
    let tokio = tokio::runtime::Builder::new_current_thread().build()?;
    tokio.block_on(async {
        let pricing = host.instance(&component).restart(Restart::always());
        let pricing = pricing.start().await?;
        for pieces in [1, 12, 1000, 3] {
            let call =
                pricing.call(move |store, instance| Box::pin(price(store, instance, pieces)));
            match call.cpu(Duration::from_millis(10)).await {
                Ok(price) => println!("{pieces} pieces: {price}"),
                Err(error) => println!("{pieces} pieces: {error}"),
            }
        }
        println!("{} instances", pricing.stats().started);
        Ok(())
    })
}

async fn price(
    store: &mut Store<GuestState>,
    instance: Instance,
    pieces: u32,
) -> wasmtime::Result<u32> {
    let pricing = Pricing::new(&mut *store, &instance)?;
    pricing.call_price(store, pieces).await
}
