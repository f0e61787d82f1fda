//! Plug-ins: instances that stay loaded and are called again and again, by bindings with types, each call with a budget.

use std::time::Duration;

use hart_host::wasmtime::component::Instance;
use hart_host::wasmtime::{self, Store};
use hart_host::{GuestState, Host, InstanceError, Limits, Restart};

use crate::Error;

mod bindings {
    use hart_host::wasmtime;

    wasmtime::component::bindgen!({
        inline: "
            package example:shop;
            world pricing {
                export price: func(pieces: u32) -> u32;
            }
        ",
        exports: { default: async },
    });
}

use bindings::Pricing;

/// What somebody else wrote: a price by the piece, and an endless loop for a thousand.
const PLUGIN: &str = r#"(component
    (core module $m
        (func (export "price") (param i32) (result i32)
            (if (i32.eq (local.get 0) (i32.const 1000)) (then (loop (br 0))))
            (i32.mul (local.get 0) (i32.const 7))))
    (core instance $i (instantiate $m))
    (func (export "price") (param "pieces" u32) (result u32) (canon lift (core func $i "price"))))"#;

async fn price(
    store: &mut Store<GuestState>,
    instance: Instance,
    pieces: u32,
) -> wasmtime::Result<u32> {
    let pricing = Pricing::new(&mut *store, &instance)?;
    pricing.call_price(store, pieces).await
}

/// Asks for prices, and how many instances that took.
///
/// # Errors
/// What keeps the plug-in from starting.
pub async fn run(pieces: &[u32]) -> Result<(Vec<Option<u32>>, u64), Error> {
    let host = Host::builder().build()?;
    let component = host.load(PLUGIN.as_bytes())?;
    let plugin = host
        .instance(&component)
        .name("pricing")
        .run(|run| run.limits(Limits::new().memory(16 << 20)))
        .restart(Restart::always())
        .start()
        .await?;
    let mut prices = Vec::new();
    for &pieces in pieces {
        let call = plugin.call(move |store, instance| Box::pin(price(store, instance, pieces)));
        // It is ended once it has used so much of a core; what others use meanwhile is not its own.
        match call.cpu(Duration::from_millis(10)).await {
            Ok(price) => prices.push(Some(price)),
            Err(InstanceError::Failed(_)) => prices.push(None),
            Err(other) => return Err(other.into()),
        }
    }
    Ok((prices, plugin.stats().started))
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn a_spinner_costs_one_instance() {
        let (prices, instances) = super::run(&[1, 12, 1000, 3]).await.unwrap();
        assert_eq!(prices, [Some(7), Some(84), None, Some(21)]);
        assert_eq!(instances, 2);
    }
}
