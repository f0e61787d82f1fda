//! A budget alone: guests stay on tokio, and each is ended once it has used so much CPU time.

use std::time::Duration;

use hart_host::budget::{Budget, Exceeded};
use hart_host::wasmtime::component::{Component, Linker};
use hart_host::wasmtime::{Config, Engine, Store};

use crate::Error;

const GUEST: &str = r#"(component
    (core module $m
        (func (export "spin") (loop (br 0)))
        (func (export "rest")))
    (core instance $i (instantiate $m))
    (func (export "spin") (canon lift (core func $i "spin")))
    (func (export "rest") (canon lift (core func $i "rest"))))"#;

/// Calls an export in a store of its own; why it was ended, if it was.
///
/// # Errors
/// Anything else that goes wrong.
pub async fn call(export: &str) -> Result<Option<Exceeded>, Error> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    let engine = Engine::new(&config)?;
    let component = Component::new(&engine, GUEST)?;
    let linker = Linker::<()>::new(&engine);
    let mut store = Store::new(&engine, ());

    let budget = Budget::new(&engine).cpu(Duration::from_millis(50)); // New
    budget.arm(&mut store); // New
    let instance = linker.instantiate_async(&mut store, &component).await?;
    let function = instance.get_typed_func::<(), ()>(&mut store, export)?;
    let ended = budget.guard(function.call_async(&mut store, ())).await; // New: `guard`
    match ended {
        Ok(()) => Ok(None),
        Err(error) => match error.downcast_ref::<Exceeded>() {
            Some(exceeded) => Ok(Some(*exceeded)),
            None => Err(error.into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_spinner_is_ended() {
        assert_eq!(call("rest").await.unwrap(), None);
        let ended = call("spin").await.unwrap();
        assert_eq!(ended, Some(Exceeded::Cpu(Duration::from_millis(50))));
    }
}
