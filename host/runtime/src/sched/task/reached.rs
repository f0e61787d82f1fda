//! The limit that an error of a guest's call tells of.

use std::sync::atomic::Ordering;

use wasmtime::Trap;
use wasmtime::component::ResourceTableError;

use crate::quota::kill::{Kill, Killed};
use crate::quota::limits::{LimitKind, LimitReached};
use crate::sched::task::control::Control;

/// The limit that ended a call of the task's guest, if it was one.
pub(crate) fn limit_of(error: &wasmtime::Error, control: &Control) -> Option<LimitReached> {
    if let Some(limit) = error.downcast_ref::<LimitReached>() {
        return Some(*limit);
    }
    if let Some(Killed(Kill::Limit(limit))) = error.downcast_ref() {
        return Some(*limit);
    }
    if let Some(Trap::OutOfFuel) = error.downcast_ref() {
        return control.fuel_limit();
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return control.handles_limit();
    }
    // Of these wasmtime says no more than a text; there is a test for each.
    let limits = &control.account.limits;
    let text = error.root_cause().to_string();
    let (kind, value) = if text.contains("store handle limit exceeded") {
        let most = control.own_handles.load(Ordering::Relaxed);
        (LimitKind::Handles, u64::from(most))
    } else if text.contains("fuel allocated for hostcalls has been exhausted") {
        (LimitKind::HostcallFuel, limits.hostcall_fuel_or_default())
    } else if text.starts_with("requested len ") && text.contains(" exceeds limit ") {
        (LimitKind::RandomBytes, limits.random_bytes_or_default())
    } else {
        return None;
    };
    Some(LimitReached::new(kind, value))
}
