//! A core module as wit-component takes it, and its world.

use std::borrow::Cow;
use std::fmt::Write as _;

use wasm_encoder::{
    EntityType, ExportKind, ExportSection, ImportSection, MemorySection, MemoryType, RawSection,
    Section as _,
};
use wasmparser::{ExternalKind, Parser, Payload};

use super::names;
use super::read::{
    EXIT_01, MAGIC, Module, Signature, WASI_01, invalid, is_function, is_known, is_world,
};
use crate::engine::error::LoadError;

/// Sections in the order of the binary format that come before memories, and those that come after exports.
const BEFORE_MEMORIES: [u8; 4] = [1, 2, 3, 4];
const AFTER_EXPORTS: [u8; 5] = [8, 9, 12, 10, 11];
/// The section of exports.
const EXPORTS: u8 = 7;

/// The name by which an adapter has the module's memory.
const MEMORY: &str = "memory";

/// What ends a program with a code in WASI 0.2. The adapter's own `proc_exit` knows success and failure alone.
const EXIT: &str = "wasi:cli/exit@0.2.12";
const EXIT_WITH_CODE: &str = "exit-with-code";
const EXIT_WIT: &str = "package wasi:cli@0.2.12 {
    interface exit { exit-with-code: func(status-code: u8); }
}
";

/// The module with other exports, and without what it says of a world of its own. With the memory that an adapter
/// needs, if it is to be joined with one.
pub(super) fn with_liftable_exports(
    module: &Module<'_>,
    bytes: &[u8],
    for_adapter: bool,
) -> Result<Vec<u8>, LoadError> {
    let lacks_memory = for_adapter && !module.has_memory;
    let mut memory = lacks_memory.then(|| {
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: 0,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        memories
    });
    let mut exports = Some(exports(module, for_adapter));
    let mut written = Vec::with_capacity(bytes.len());
    written.extend(MAGIC);
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(invalid)?;
        if matches!(&payload, Payload::CustomSection(section) if is_world(section.name())) {
            continue;
        }
        let Some((id, range)) = payload.as_section() else {
            continue;
        };
        if id != 0 && !BEFORE_MEMORIES.contains(&id) {
            memory
                .take()
                .inspect(|memory| memory.append_to(&mut written));
        }
        if id == EXPORTS || AFTER_EXPORTS.contains(&id) {
            exports
                .take()
                .inspect(|exports| exports.append_to(&mut written));
        }
        match payload {
            Payload::ExportSection(_) => {}
            Payload::ImportSection(_) if module.exits => imports(module).append_to(&mut written),
            _ => {
                let data = bytes.get(range).ok_or(LoadError::Truncated)?;
                RawSection { id, data }.append_to(&mut written);
            }
        }
    }
    memory.inspect(|memory| memory.append_to(&mut written));
    exports.inspect(|exports| exports.append_to(&mut written));
    Ok(written)
}

/// All its imports are functions of WASI 0.1, or it would have been refused.
fn imports(module: &Module<'_>) -> ImportSection {
    let mut imports = ImportSection::new();
    for (name, ty) in &module.imports {
        let ty = EntityType::Function(*ty);
        match *name {
            EXIT_01 => imports.import(EXIT, EXIT_WITH_CODE, ty),
            name => imports.import(WASI_01, name, ty),
        };
    }
    imports
}

fn exports(module: &Module<'_>, for_adapter: bool) -> ExportSection {
    let mut exports = ExportSection::new();
    for (export, signature) in module.exports() {
        let kind = match export.kind {
            ExternalKind::Func | ExternalKind::FuncExact => ExportKind::Func,
            ExternalKind::Table => ExportKind::Table,
            ExternalKind::Memory => ExportKind::Memory,
            ExternalKind::Global => ExportKind::Global,
            ExternalKind::Tag => ExportKind::Tag,
        };
        let name = if !is_function(export.kind) || is_known(export.name) {
            Cow::Borrowed(export.name)
        } else if signature.is_some() {
            names::lifted(export.name)
        } else {
            continue;
        };
        exports.export(&name, kind, export.index);
    }
    if for_adapter && !module.has_export(MEMORY) {
        exports.export(MEMORY, ExportKind::Memory, 0);
    }
    exports
}

/// The world of its functions.
pub(super) fn world(module: &Module<'_>) -> String {
    let mut wit = String::from("package hart:module;\n");
    if module.exits {
        wit += EXIT_WIT;
    }
    wit += "world module {\n";
    if module.exits {
        let _ = writeln!(wit, "import {EXIT};");
    }
    for (export, signature) in module.exports() {
        let Some(Signature { parameters, result }) = signature else {
            continue;
        };
        let _ = write!(wit, "export %{}: func(", names::lifted(export.name));
        for (at, ty) in parameters.iter().enumerate() {
            let _ = write!(wit, "p{at}: {ty}, ");
        }
        wit += ")";
        if let Some(result) = result {
            let _ = write!(wit, " -> {result}");
        }
        wit += ";\n";
    }
    wit += "}\n";
    wit
}
