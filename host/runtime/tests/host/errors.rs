//! What all errors have in common.

use std::error::Error;

use hart_host::budget::Exceeded;
use hart_host::{
    AllowedHostError, BodyError, BuildError, CallError, InstanceError, Killed, LimitReached,
    LoadError, RunError, ServiceError, TaskError,
};

/// Fault: an error that cannot be sent to another thread, kept, or made one of the embedder's.
const _: fn() = || {
    fn is_portable<E: Error + Send + Sync + 'static>() {}
    is_portable::<AllowedHostError>();
    is_portable::<BodyError>();
    is_portable::<BuildError>();
    is_portable::<CallError>();
    is_portable::<Exceeded>();
    is_portable::<InstanceError>();
    is_portable::<Killed>();
    is_portable::<LimitReached>();
    is_portable::<LoadError>();
    is_portable::<RunError>();
    is_portable::<ServiceError>();
    is_portable::<TaskError>();
};
