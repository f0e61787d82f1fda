//! Core modules that become components when they are loaded: WASI 0.1 programs, and modules that import nothing.
//!
//! Everything after this sees a component. The code of the module stays as it is.
//!
//! # Protocol
//!
//! 1. The module is [read](read): what it imports is checked, before anything is made of it.
//! 2. It is [written again](write), with exports that a component can have: each function whose parameters and result
//!    are numbers is lifted under a [name](names) that can be turned back.
//!    A module that says itself which component it is to be, as wit-bindgen has it do, stays as it is.
//! 3. wit-component joins it with wasmtime's adapter, which provides WASI 0.1 by means of WASI 0.2.

pub(crate) mod names;
mod read;
mod write;

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER as COMMAND;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::base::text;
use crate::engine::error::LoadError;
pub(crate) use read::is_world;
use read::{MAGIC, Module, REACTOR, WASI_01};

/// Copies of a module that exist while a component is made of it.
const COPIES: u64 = 4;

/// Whether this is the binary of a core module.
pub(crate) fn is_module(binary: &[u8]) -> bool {
    binary.starts_with(&MAGIC)
}

/// Makes a component of a core module.
pub(crate) fn to_component(module: &[u8], max_memory: u64) -> Result<Vec<u8>, LoadError> {
    let length = module.len() as u64;
    if length.saturating_mul(COPIES) > max_memory {
        return Err(LoadError::TooComplex(format!(
            "a core module of {length} bytes, and to make a component of it takes {COPIES} times as much memory (`max_memory`): raise that, or make it a component with `wasm-tools component new`"
        )));
    }
    let read = Module::read(module)?;
    let adapter = if read.is_command() {
        Some(COMMAND)
    } else {
        read.uses_wasi.then_some(REACTOR)
    };
    let mut described = match read.has_world {
        true => Cow::Borrowed(module),
        false => write::with_liftable_exports(&read, module, adapter.is_some())?.into(),
    };
    let encode = || -> Result<Vec<u8>, String> {
        if !read.has_world {
            let mut resolve = Resolve::default();
            let package = resolve.push_str("module.wit", &write::world(&read));
            let world = resolve
                .select_world(&[package.map_err(said)?], Some("module"))
                .map_err(said)?;
            let module = described.to_mut();
            embed_component_metadata(module, &resolve, world, StringEncoding::UTF8)
                .map_err(said)?;
        }
        let mut encoder = ComponentEncoder::default()
            .module(&described)
            .map_err(said)?;
        if let Some(adapter) = adapter {
            encoder = encoder.adapter(WASI_01, adapter).map_err(said)?;
        }
        encoder.encode().map_err(said)
    };
    // wit-component is made for what compilers write. This may be anything.
    match catch_unwind(AssertUnwindSafe(encode)) {
        Ok(Ok(component)) => Ok(component),
        Ok(Err(detail)) => Err(LoadError::UnusableModule(format!(
            "cannot be made a component ({}): build it for wasm32-wasip2",
            text::line(&detail)
        ))),
        Err(_) => Err(LoadError::UnusableModule(
            "cannot be made a component: build it for wasm32-wasip2".into(),
        )),
    }
}

/// With its causes, in one line.
fn said(error: impl std::fmt::Display) -> String {
    format!("{error:#}")
}
