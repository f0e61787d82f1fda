//! A component without its code: it imports and exports the same things, and compiles in no time.
//!
//! wasmtime links what is compiled. So that a missing import is not told after minutes, this is compiled and linked
//! first. It need not run: modules keep what others see of them, and each function that is seen is a trap.

use std::collections::BTreeMap;

use wasm_encoder::reencode::{Error, Reencode};
use wasm_encoder::{
    CodeSection, ExportSection, Function, FunctionSection, GlobalSection, RawSection, Section as _,
    TableSection,
};
use wasmparser::{
    Encoding, ExportSectionReader, GlobalSectionReader, Parser, Payload, TableSectionReader,
    TypeRef,
};

const MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";
/// Under which number a component has a module, and another component.
const NESTED: (u8, u8) = (1, 4);

/// None where that cannot be told. Whoever compiles the whole says what the matter is.
pub(crate) fn of(binary: &[u8]) -> Option<Vec<u8>> {
    let mut open: Vec<Open<'_>> = Vec::new();
    for payload in Parser::new(0).parse_all(binary) {
        let payload = payload.ok()?;
        match payload {
            Payload::Version { encoding, .. } => open.push(match encoding {
                Encoding::Module => Open::Module(Box::default()),
                Encoding::Component => Open::Component(COMPONENT.to_vec()),
            }),
            Payload::End(_) => {
                let (section, bytes) = match open.pop()? {
                    Open::Module(module) => (NESTED.0, module.skeleton().ok()?),
                    Open::Component(bytes) => (NESTED.1, bytes),
                };
                match open.last_mut() {
                    None => return Some(bytes),
                    Some(Open::Component(outer)) => raw(outer, section, &bytes),
                    Some(Open::Module(_)) => return None,
                }
            }
            payload => match open.last_mut()? {
                Open::Module(module) => module.read(binary, payload)?,
                Open::Component(bytes) => copy(bytes, binary, &payload)?,
            },
        }
    }
    None
}

/// What has begun and not ended.
enum Open<'a> {
    Module(Box<Module<'a>>),
    Component(Vec<u8>),
}

fn raw(to: &mut Vec<u8>, id: u8, data: &[u8]) {
    RawSection { id, data }.append_to(to);
}

/// Copies a section as it is. Those that are not sections of what is open, and custom ones, are left out.
fn copy(to: &mut Vec<u8>, binary: &[u8], payload: &Payload<'_>) -> Option<()> {
    let is_nested = matches!(
        payload,
        Payload::ModuleSection { .. } | Payload::ComponentSection { .. }
    );
    if let Some((id, range)) = payload.as_section()
        && id != 0
        && !is_nested
    {
        raw(to, id, binary.get(range)?);
    }
    Some(())
}

#[derive(Default)]
struct Module<'a> {
    /// Types and imports.
    before: Vec<u8>,
    /// Memories and tags.
    between: Vec<u8>,
    imported: u32,
    /// Types of its functions.
    functions: Vec<u32>,
    tables: Option<TableSectionReader<'a>>,
    globals: Option<GlobalSectionReader<'a>>,
    exports: Option<ExportSectionReader<'a>>,
}

impl<'a> Module<'a> {
    fn read(&mut self, binary: &[u8], payload: Payload<'a>) -> Option<()> {
        match &payload {
            Payload::TypeSection(_) => copy(&mut self.before, binary, &payload)?,
            Payload::ImportSection(imports) => {
                for import in imports.clone().into_imports() {
                    let is_function =
                        matches!(import.ok()?.ty, TypeRef::Func(_) | TypeRef::FuncExact(_));
                    self.imported += u32::from(is_function);
                }
                copy(&mut self.before, binary, &payload)?;
            }
            Payload::FunctionSection(functions) => {
                self.functions = functions
                    .clone()
                    .into_iter()
                    .collect::<Result<_, _>>()
                    .ok()?;
            }
            Payload::TableSection(tables) => self.tables = Some(tables.clone()),
            Payload::MemorySection(_) | Payload::TagSection(_) => {
                copy(&mut self.between, binary, &payload)?;
            }
            Payload::GlobalSection(globals) => self.globals = Some(globals.clone()),
            Payload::ExportSection(exports) => self.exports = Some(exports.clone()),
            _ => {}
        }
        Some(())
    }

    /// Its parts that refer to functions.
    fn encode(&self, functions: &mut Functions) -> Result<Encoded, Error> {
        let mut encoded = Encoded::default();
        if let Some(tables) = &self.tables {
            functions.parse_table_section(&mut encoded.tables, tables.clone())?;
        }
        if let Some(globals) = &self.globals {
            functions.parse_global_section(&mut encoded.globals, globals.clone())?;
        }
        if let Some(exports) = &self.exports {
            functions.parse_export_section(&mut encoded.exports, exports.clone())?;
        }
        Ok(encoded)
    }

    fn skeleton(&self) -> Result<Vec<u8>, Error> {
        // Once to learn which functions are seen, and once with their new numbers, which keep the order.
        let mut seen = Functions {
            imported: self.imported,
            kept: BTreeMap::new(),
        };
        self.encode(&mut seen)?;
        let (mut types, mut code) = (FunctionSection::new(), CodeSection::new());
        for (new, (old, number)) in (self.imported..).zip(&mut seen.kept) {
            let ty = self.functions.get((*old - self.imported) as usize);
            types.function(*ty.ok_or(Error::InvalidConstExpr)?);
            *number = new;
            let mut body = Function::new([]);
            body.instructions().unreachable().end();
            code.function(&body);
        }
        let encoded = self.encode(&mut seen)?;
        let mut module = MODULE.to_vec();
        module.extend(&self.before);
        types.append_to(&mut module);
        encoded.tables.append_to(&mut module);
        module.extend(&self.between);
        encoded.globals.append_to(&mut module);
        encoded.exports.append_to(&mut module);
        code.append_to(&mut module);
        Ok(module)
    }
}

#[derive(Default)]
struct Encoded {
    tables: TableSection,
    globals: GlobalSection,
    exports: ExportSection,
}

/// The functions that are seen, and their new numbers.
struct Functions {
    imported: u32,
    kept: BTreeMap<u32, u32>,
}

impl Reencode for Functions {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Error> {
        if function < self.imported {
            return Ok(function);
        }
        Ok(*self.kept.entry(function).or_insert(function))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fault: a skeleton that is another component, or none, so that a component is refused that could be linked, or a
    /// missing import is told late.
    #[test]
    fn a_skeleton_has_the_same_type() {
        let filler = "(func (drop (i32.const 1)))".repeat(1_000);
        let text = format!(
            r#"(component
                (import "a" (func $a (param "x" u32)))
                (core func $a (canon lower (func $a)))
                (core module $m
                    (import "" "a" (func $a (param i32)))
                    {filler}
                    (type $pair (func (param i32) (result i32 i32)))
                    (func $f (type $pair) (i32.const 1) (i32.const 2))
                    (func $g (result i32) (i32.const 3))
                    (table $t 2 funcref) (elem (table $t) (i32.const 0) func $f $g)
                    (memory (export "m") 1) (data (i32.const 0) "data")
                    (global (export "r") (ref func) (ref.func $g))
                    (tag (export "e") (param i32))
                    (start $s) (func $s)
                    (export "t" (table $t)) (export "a" (func $a)) (export "g" (func $g)))
                (core instance $i (instantiate $m
                    (with "" (instance (export "a" (func $a))))))
                (component $c (core module (func (export "f")) {filler}))
                (instance (instantiate $c))
                (func (export "g") (result u32) (canon lift (core func $i "g")))
                (import "late" (func)))"#
        );
        let binary = wat::parse_str(text).unwrap();
        let skeleton = of(&binary).unwrap();
        assert!(
            skeleton.len() < 600 && binary.len() > 8_000,
            "{} of {}",
            skeleton.len(),
            binary.len()
        );
        let engine = wasmtime::Engine::default();
        let names = |bytes: &[u8]| {
            let component = wasmtime::component::Component::from_binary(&engine, bytes).unwrap();
            let ty = component.component_type();
            let imports = ty.imports(&engine).map(|(name, _)| name.to_owned());
            let exports = ty.exports(&engine).map(|(name, _)| name.to_owned());
            imports.chain(exports).collect::<Vec<_>>()
        };
        assert_eq!(names(&skeleton), ["a", "late", "g"]);
        assert_eq!(names(&skeleton), names(&binary));
    }
}
