//! What is to be known of a core module, and what it must not import.

use std::collections::HashSet;
use std::sync::LazyLock;

pub(super) use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as WASI_01,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as REACTOR,
};
use wasmparser::{
    BinaryReaderError, CompositeInnerType, Export, ExternalKind, Import, Parser, Payload, TypeRef,
    ValType,
};

use crate::base::text;
use crate::engine::cost;
use crate::engine::error::LoadError;

/// How a core module begins.
pub(super) const MAGIC: [u8; 8] = *b"\0asm\x01\0\0\0";

/// Functions that are lifted: the first of them. What wit-component does takes time by the square of them.
const MOST_FUNCTIONS: usize = 1_000;
/// Imports. WASI 0.1 has less than a hundred functions.
const MOST_IMPORTS: usize = 1_000;
/// Bytes of a lifted function's name.
const LONGEST_NAME: usize = 256;
/// Imports and exports of a module that says which component it is to be, and bytes in which it does.
const MOST_PARTS: usize = 3_000;
const LONGEST_WORLD: usize = 1 << 18;
/// Parameters that the canonical ABI passes as they are.
const MOST_PARAMETERS: usize = 16;

/// WASI 0.1's way to end a program with a code.
pub(super) const EXIT_01: &str = "proc_exit";

/// A function that wit-component knows by its own name.
pub(super) fn is_known(name: &str) -> bool {
    matches!(name, "_start" | "_initialize" | "cabi_realloc")
}

/// Whether a custom section has the world of a component that the module was to become.
pub(crate) fn is_world(section: &str) -> bool {
    section.starts_with("component-type")
}

pub(super) fn is_function(kind: ExternalKind) -> bool {
    matches!(kind, ExternalKind::Func | ExternalKind::FuncExact)
}

/// A module that a component can be made of.
#[derive(Default)]
pub(super) struct Module<'a> {
    /// Of its types, those of functions that can be lifted.
    types: Vec<Option<Signature>>,
    /// The type of each function, imported ones first.
    functions: Vec<u32>,
    exports: Vec<Export<'a>>,
    /// Which of its exports is the first that is not lifted because there are so many.
    lifted_until: usize,
    pub(super) uses_wasi: bool,
    /// The functions of WASI 0.1 that it imports, with their types.
    pub(super) imports: Vec<(&'a str, u32)>,
    /// [`EXIT_01`] is among them.
    pub(super) exits: bool,
    /// It has a memory.
    pub(super) has_memory: bool,
    /// It says itself which component it is to be.
    pub(super) has_world: bool,
    import_count: usize,
}

/// The type of a function of numbers, as WIT writes them.
pub(super) struct Signature {
    pub(super) parameters: Vec<&'static str>,
    pub(super) result: Option<&'static str>,
}

impl Signature {
    fn of(ty: &CompositeInnerType) -> Option<Self> {
        let CompositeInnerType::Func(ty) = ty else {
            return None;
        };
        if ty.params().len() > MOST_PARAMETERS || ty.results().len() > 1 {
            return None;
        }
        let numbers = |types: &[ValType]| types.iter().map(number).collect::<Option<Vec<_>>>();
        Some(Self {
            parameters: numbers(ty.params())?,
            result: numbers(ty.results())?.pop(),
        })
    }
}

fn number(ty: &ValType) -> Option<&'static str> {
    match ty {
        ValType::I32 => Some("s32"),
        ValType::I64 => Some("s64"),
        ValType::F32 => Some("f32"),
        ValType::F64 => Some("f64"),
        ValType::V128 | ValType::Ref(_) => None,
    }
}

/// An import that nobody provides.
struct Unprovided<'a> {
    import: Import<'a>,
    /// One of `hart:exec`, which says most about what was meant.
    is_hart: bool,
}

impl<'a> Module<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, LoadError> {
        let mut module = Self::default();
        let mut unprovided = None;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(invalid)?;
            if let Payload::CustomSection(section) = &payload
                && is_world(section.name())
            {
                check_world(section.data())?;
                module.has_world = true;
            }
            module.look(payload, &mut unprovided).map_err(invalid)?;
        }
        if module.has_world {
            let parts = module.import_count + module.exports.len();
            if parts > MOST_PARTS {
                return Err(LoadError::TooComplex(format!(
                    "a core module with {parts} imports and exports that says what component it is to be, and {MOST_PARTS} are the most; no setting allows more: make it a component with `wasm-tools component new`"
                )));
            }
            return Ok(module);
        }
        if let Some(Unprovided { import, .. }) = unprovided {
            let said = refuse(&import, module.uses_wasi);
            return Err(LoadError::UnusableModule(said));
        }
        if module.imports.len() > MOST_IMPORTS {
            return Err(LoadError::TooComplex(format!(
                "a core module with more than {MOST_IMPORTS} imports; no setting allows more: make it a component with `wasm-tools component new`"
            )));
        }
        let mut callable = { module.exports.iter().enumerate() }
            .filter(|(_, export)| module.signature(export).is_some());
        module.lifted_until = callable
            .nth(MOST_FUNCTIONS)
            .map_or(module.exports.len(), |(at, _)| at);
        Ok(module)
    }

    fn look(
        &mut self,
        payload: Payload<'a>,
        unprovided: &mut Option<Unprovided<'a>>,
    ) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::TypeSection(groups) => {
                for group in groups {
                    let group = group?;
                    let types = group.types().map(|ty| &ty.composite_type.inner);
                    self.types.extend(types.map(Signature::of));
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    self.import(import?, unprovided);
                }
            }
            Payload::FunctionSection(functions) => {
                for ty in functions {
                    self.functions.push(ty?);
                }
            }
            Payload::MemorySection(memories) => self.has_memory |= memories.count() > 0,
            Payload::ExportSection(exports) => {
                for export in exports {
                    self.exports.push(export?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, import: Import<'a>, unprovided: &mut Option<Unprovided<'a>>) {
        self.import_count += 1;
        let function = match import.ty {
            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => Some(ty),
            _ => None,
        };
        self.functions.extend(function);
        let is_wasi = import.module == WASI_01;
        self.uses_wasi |= is_wasi;
        if let Some(ty) = function
            && is_wasi
            && ADAPTED.contains(import.name)
        {
            self.exits |= import.name == EXIT_01;
            self.imports.push((import.name, ty));
            return;
        }
        let is_hart = import.module.starts_with("hart:exec/");
        if unprovided
            .as_ref()
            .is_none_or(|first| is_hart && !first.is_hart)
        {
            *unprovided = Some(Unprovided { import, is_hart });
        }
    }

    /// Whether it is a program: it exports the function `_start`.
    pub(super) fn is_command(&self) -> bool {
        self.exports
            .iter()
            .any(|export| is_function(export.kind) && export.name == "_start")
    }

    /// Whether it exports something under this name.
    pub(super) fn has_export(&self, name: &str) -> bool {
        self.exports.iter().any(|export| export.name == name)
    }

    /// Its exports, each with its signature if it is a function that is lifted.
    pub(super) fn exports(&self) -> impl Iterator<Item = (&Export<'a>, Option<&Signature>)> {
        self.exports.iter().enumerate().map(|(at, export)| {
            let signature = self.signature(export);
            (export, signature.filter(|_| at < self.lifted_until))
        })
    }

    /// The signature of an exported function that can be lifted.
    fn signature(&self, export: &Export<'_>) -> Option<&Signature> {
        let is_callable =
            is_function(export.kind) && !is_known(export.name) && export.name.len() <= LONGEST_NAME;
        if !is_callable {
            return None;
        }
        let ty = self.functions.get(export.index as usize)?;
        self.types.get(*ty as usize)?.as_ref()
    }
}

/// The functions that the adapter provides.
static ADAPTED: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let mut names = HashSet::new();
    for payload in Parser::new(0).parse_all(REACTOR).flatten() {
        if let Payload::ExportSection(exports) = payload {
            let functions = exports.into_iter().flatten();
            let functions = functions.filter(|export| is_function(export.kind));
            names.extend(functions.map(|export| export.name));
        }
    }
    names
});

pub(super) fn invalid(error: BinaryReaderError) -> LoadError {
    if error.message().contains("unexpected end") {
        LoadError::Truncated
    } else {
        LoadError::Invalid(text::line(&error.to_string()))
    }
}

/// Refuses a world that takes long to read. What toolchains write has a few kilobytes.
fn check_world(world: &[u8]) -> Result<(), LoadError> {
    if world.len() > LONGEST_WORLD {
        return Err(LoadError::TooComplex(format!(
            "a core module that says in {} bytes what component it is to be, and {LONGEST_WORLD} are the most; no setting allows more: make it a component with `wasm-tools component new`",
            world.len()
        )));
    }
    cost::check_types(world)
}

/// What is the matter with an import, and the way out.
fn refuse(import: &Import<'_>, uses_wasi: bool) -> String {
    let name = text::line(&format!("`{}` `{}`", import.module, import.name));
    let way_out = if import.module.contains(':') {
        let adapt = match uses_wasi {
            true => " --adapt wasi_snapshot_preview1.reactor.wasm",
            false => "",
        };
        format!(
            "components do: make it one with `wasm-tools component embed wit app.wasm -o app.wasm`, then `wasm-tools component new app.wasm -o app.component.wasm{adapt}`"
        )
    } else if import.module == "wasi_unstable" {
        "that is WASI before 0.1: build it with a toolchain for wasm32-wasip1 or wasm32-wasip2"
            .into()
    } else if import.name == "thread-spawn" {
        "modules have no threads here: build it for wasm32-wasip2, and spawn tasks with `hart:exec`"
            .into()
    } else {
        "modules get WASI 0.1 alone: link into it what provides that, or build it for wasm32-wasip2"
            .into()
    };
    format!("imports {name}, which hart does not provide to core modules; {way_out}")
}
