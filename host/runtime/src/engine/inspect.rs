//! Looking at a guest without a host.

use crate::engine::error::LoadError;
use crate::engine::header;
use crate::engine::inspection::{Inspection, Precompiled};
use crate::engine::load::{MAX_MEMORY, Unloaded};
use crate::engine::slots::Kind;

/// Says what a guest imports and exports and what an instance of it needs, without compiling it: a component or a core
/// module, binary or text, or what [`Host::precompile`](crate::Host::precompile) made of one.
///
/// # Errors
///
/// As [`Host::load`](crate::Host::load), for what can be seen without compiling.
///
/// # Examples
///
/// ```
/// let found = hart_host::inspect(br#"(component (import "a:b/c" (instance)))"#)?;
/// assert_eq!(found.imports, ["a:b/c"]);
/// assert!(!found.spawns && !found.is_core_module);
/// # Ok::<(), hart_host::LoadError>(())
/// ```
pub fn inspect(bytes: &[u8]) -> Result<Inspection, LoadError> {
    if header::is_precompiled(bytes) {
        let (header, _) = header::read(bytes)?;
        return Ok(Inspection {
            precompiled: Some(Precompiled {
                preemption: header.preemption,
                profile: header.profile,
            }),
            uses_async: header.kind == Kind::Concurrent,
            spawns: header.spawns,
            ..Inspection::default()
        });
    }
    let (unloaded, is_core_module) = match Unloaded::new(bytes, MAX_MEMORY, false) {
        Err(LoadError::CoreModule) => (Unloaded::new(bytes, MAX_MEMORY, true)?, true),
        unloaded => (unloaded?, false),
    };
    Ok(Inspection {
        is_core_module,
        ..unloaded.inspection()?
    })
}
