//! What the bindings of `wasi:keyvalue` are made with.

use wasmtime::component::ResourceTableError;

use super::store::Refused;

/// What a guest has a handle of. What is in it belongs to the run.
#[expect(
    unreachable_pub,
    reason = "the generated bindings re-export it inside this crate"
)]
pub struct Bucket;

/// Why a call failed.
#[expect(
    unreachable_pub,
    reason = "the generated bindings re-export it inside this crate"
)]
pub enum Error {
    NoSuchStore,
    AccessDenied,
    Other(String),
    /// The guest's fault, or a limit that ends it.
    Trap(wasmtime::Error),
}

impl From<ResourceTableError> for Error {
    fn from(error: ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Other(refused.to_string())
    }
}
