//! What can be said of a guest without compiling it.

use wasmparser::{Encoding, Parser, Payload};

use crate::engine::module::names;
use crate::engine::profile::Profile;

/// What [`inspect`](crate::inspect) says of a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// It is a core module, and all else is said of the component that is made of it.
    pub is_core_module: bool,
    /// It is compiled code, of which only its needs are known: whether it spawns, and whether it uses async.
    pub precompiled: Option<Precompiled>,
    /// The names of what it imports.
    pub imports: Vec<String>,
    /// The names of what it exports: interfaces and functions.
    pub exports: Vec<String>,
    /// It uses component-model async or WASI 0.3.
    pub uses_async: bool,
    /// It imports something of `hart:exec`.
    pub spawns: bool,
    /// Linear memories of an instance.
    pub memories: u64,
    /// Bytes that the largest of them begins with.
    pub largest_memory: u64,
    /// Tables of an instance.
    pub tables: u64,
    /// Slots of the pool that an instance takes.
    pub slots: u64,
    /// Bytes of WebAssembly code.
    pub code: u64,
}

/// What compiled code was compiled for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Precompiled {
    /// The preemption mode: `epoch`, `fuel` or `none`.
    pub preemption: &'static str,
    /// The pool.
    pub profile: Profile,
}

impl Inspection {
    /// Reads the names of the imports and exports of a component that was looked at before.
    pub(crate) fn read_names(&mut self, component: &[u8]) {
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(component).flatten() {
            match payload {
                Payload::Version { encoding, .. } => {
                    depth += 1;
                    debug_assert!(depth > 1 || encoding == Encoding::Component);
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(imports) if depth == 1 => {
                    let imports = imports.into_iter().flatten();
                    self.imports
                        .extend(imports.map(|import| import.name.name.to_owned()));
                }
                Payload::ComponentExportSection(exports) if depth == 1 => {
                    for export in exports.into_iter().flatten() {
                        let name = export.name.name;
                        self.exports
                            .push(names::in_module(name).unwrap_or_else(|| name.to_owned()));
                    }
                }
                _ => {}
            }
        }
    }
}
