//! Calls written in WAVE.

use wasmtime::component::{Type, Val, wasm_wave};

use super::component::{Component, is_plain};
use crate::{CallError, text};

/// Reads `f(1, "x")` against the exports of `component`.
pub(super) fn parse(component: &Component, wave: &str) -> Result<(String, Vec<Val>), CallError> {
    let syntax = |error: &dyn std::fmt::Display| CallError::Syntax(text::line(&error.to_string()));
    let call = wasm_wave::untyped::UntypedFuncCall::parse(wave).map_err(|error| syntax(&error))?;
    let Some(function) = component.function(call.name()) else {
        let exports = component
            .exports()
            .iter()
            .map(|name| text::line(name))
            .collect();
        return Err(CallError::NoExport {
            name: text::line(call.name()),
            exports,
        });
    };
    let types: Vec<Type> = function.ty.params().map(|(_, ty)| ty).collect();
    if !types.iter().all(is_plain) || !function.ty.results().all(|ty| is_plain(&ty)) {
        return Err(CallError::Arguments(format!(
            "`{}` takes or returns a handle, which cannot be written down",
            text::line(&function.name)
        )));
    }
    let args = call
        .to_wasm_params::<Val>(types.iter())
        .map_err(|error| CallError::Arguments(text::line(&error.to_string())))?;
    Ok((function.name.clone(), args))
}
