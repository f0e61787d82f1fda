//! How much of the heap wasmtime takes for one instance of a component, beside memories and tables.
//!
//! A pool of wasmtime's has a limit for that and refuses what is beyond. The dense profile has no such pool, and a
//! small component can ask for very much: components in components multiply what is instantiated. So it is
//! counted from the binary: what a core instance holds for each import, global and function that something can
//! refer to, over all instances. The sizes are wasmtime's own or larger. So are the parts of components: wasmtime goes
//! through them as often as they are instantiated when it compiles.

use std::collections::HashSet;

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, ConstExpr, ElementItems, ExternalKind, Instance, Operator, Parser, Payload,
    TableInit, TypeRef,
};

/// Bytes of a core instance without anything in it.
const CORE_INSTANCE: u64 = 512;
/// Bytes for each function that is imported, or that a table, an export or another module may refer to.
const FUNCTION: u64 = 32;
/// Bytes for each other import, and each global.
const ITEM: u64 = 24;
/// Bytes for each memory and each table, beside what it holds.
const STORAGE: u64 = 128;
/// Bytes for each function that a component lifts, lowers or makes, and each of its imports.
const CANON: u64 = 64;
/// Steps for each of these functions: what is compiled for one takes about as much as so many other parts.
const CANON_STEPS: u32 = 24;

/// What an instance takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// Bytes that it takes, or somewhat less than this.
    pub(crate) bytes: u64,
    /// Parts of components that are gone through to make it.
    pub(crate) steps: u64,
    /// Linear memories that it has, or fewer.
    pub(crate) memories: u64,
    /// Tables that it has, or fewer.
    pub(crate) tables: u64,
}

impl Footprint {
    fn max(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.max(other.bytes),
            steps: self.steps.max(other.steps),
            memories: self.memories.max(other.memories),
            tables: self.tables.max(other.tables),
        }
    }
}

/// What one instance takes. A component that is not valid takes nothing to speak of: whoever compiles it says what the
/// matter is.
pub(crate) fn of(binary: &[u8]) -> Footprint {
    let mut reader = Reader::default();
    for payload in Parser::new(0).parse_all(binary) {
        let Ok(payload) = payload else {
            return Footprint::default();
        };
        if reader.read(payload).is_err() {
            return Footprint::default();
        }
    }
    reader.total
}

/// What is known of a module or a component in an index space: what an instance takes. Of one that comes from
/// elsewhere, nothing is.
type Known = Option<Footprint>;

#[derive(Default)]
struct Reader {
    levels: Vec<Level>,
    /// The largest so far: nothing that is unknown can be larger.
    largest_module: Footprint,
    largest_component: Footprint,
    total: Footprint,
}

/// A module or component that is being read.
#[derive(Default)]
struct Level {
    is_module: bool,
    bytes: u64,
    steps: u64,
    memories: u64,
    tables: u64,
    /// Functions that something can refer to.
    referable: HashSet<u32>,
    modules: Vec<Known>,
    components: Vec<Known>,
}

impl Level {
    fn add(&mut self, count: u32, each: u64) {
        self.bytes = self.bytes.saturating_add(u64::from(count) * each);
    }

    fn step(&mut self, count: u32) {
        self.steps = self.steps.saturating_add(u64::from(count));
    }

    /// One more instance is made, of what is known as this.
    fn instantiate(&mut self, instance: Footprint, arguments: usize) {
        self.bytes = self.bytes.saturating_add(instance.bytes);
        self.steps = self
            .steps
            .saturating_add(instance.steps)
            .saturating_add(arguments as u64);
        self.memories = self.memories.saturating_add(instance.memories);
        self.tables = self.tables.saturating_add(instance.tables);
    }

    fn refer(&mut self, expression: &ConstExpr<'_>) -> wasmparser::Result<()> {
        for operator in expression.get_operators_reader() {
            if let Operator::RefFunc { function_index } = operator? {
                self.referable.insert(function_index);
            }
        }
        Ok(())
    }
}

impl Reader {
    fn read(&mut self, payload: Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::Version { encoding, .. } => self.levels.push(Level {
                is_module: encoding == wasmparser::Encoding::Module,
                bytes: CORE_INSTANCE,
                ..Level::default()
            }),
            Payload::End(_) => self.end(),
            payload => {
                let Some((level, outer)) = self.levels.split_last_mut() else {
                    return Ok(());
                };
                if level.is_module {
                    read_module(level, payload)?;
                } else {
                    let largest = (self.largest_module, self.largest_component);
                    read_component(level, outer, largest, payload)?;
                }
            }
        }
        Ok(())
    }

    fn end(&mut self) {
        let Some(mut level) = self.levels.pop() else {
            return;
        };
        level.add(
            u32::try_from(level.referable.len()).unwrap_or(u32::MAX),
            FUNCTION,
        );
        let instance = Footprint {
            bytes: level.bytes,
            steps: level.steps.saturating_add(1),
            memories: level.memories,
            tables: level.tables,
        };
        let Some(outer) = self.levels.last_mut() else {
            self.total = instance;
            return;
        };
        if level.is_module {
            self.largest_module = self.largest_module.max(instance);
            outer.modules.push(Some(instance));
        } else {
            self.largest_component = self.largest_component.max(instance);
            outer.components.push(Some(instance));
        }
    }
}

fn read_module(level: &mut Level, payload: Payload<'_>) -> wasmparser::Result<()> {
    match payload {
        Payload::ImportSection(imports) => {
            for import in imports.into_imports() {
                let is_function = matches!(import?.ty, TypeRef::Func(_) | TypeRef::FuncExact(_));
                level.add(1, if is_function { FUNCTION } else { ITEM });
            }
        }
        Payload::TableSection(tables) => {
            for table in tables {
                level.add(1, STORAGE);
                level.tables += 1;
                if let TableInit::Expr(expression) = table?.init {
                    level.refer(&expression)?;
                }
            }
        }
        Payload::MemorySection(memories) => {
            level.memories += u64::from(memories.count());
            level.add(memories.count(), STORAGE);
        }
        Payload::TagSection(tags) => level.add(tags.count(), ITEM),
        Payload::TypeSection(types) => level.add(types.count(), size_of::<u32>() as u64),
        Payload::GlobalSection(globals) => {
            for global in globals {
                level.add(1, ITEM);
                level.refer(&global?.init_expr)?;
            }
        }
        Payload::ExportSection(exports) => {
            for export in exports {
                let export = export?;
                if export.kind == ExternalKind::Func {
                    level.referable.insert(export.index);
                }
            }
        }
        Payload::ElementSection(elements) => {
            for element in elements {
                match element?.items {
                    ElementItems::Functions(functions) => {
                        for function in functions {
                            level.referable.insert(function?);
                        }
                    }
                    ElementItems::Expressions(_, expressions) => {
                        for expression in expressions {
                            level.refer(&expression?)?;
                        }
                    }
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn read_component(
    level: &mut Level,
    outer: &[Level],
    largest: (Footprint, Footprint),
    payload: Payload<'_>,
) -> wasmparser::Result<()> {
    let known = |list: &[Known], index: u32, largest: Footprint| {
        list.get(index as usize)
            .copied()
            .flatten()
            .unwrap_or(largest)
    };
    match payload {
        Payload::InstanceSection(instances) => {
            for instance in instances {
                if let Instance::Instantiate { module_index, args } = instance? {
                    let instance = known(&level.modules, module_index, largest.0);
                    level.instantiate(instance, args.len());
                }
            }
        }
        Payload::ComponentInstanceSection(instances) => {
            for instance in instances {
                if let ComponentInstance::Instantiate {
                    component_index,
                    args,
                } = instance?
                {
                    let instance = known(&level.components, component_index, largest.1);
                    level.instantiate(instance, args.len());
                }
            }
        }
        Payload::ComponentAliasSection(aliases) => {
            level.step(aliases.count());
            for alias in aliases {
                match alias? {
                    ComponentAlias::InstanceExport { kind, .. } => {
                        define(level, kind, None);
                    }
                    ComponentAlias::Outer { kind, count, index } => {
                        let count = count as usize;
                        let source = match count.checked_sub(1) {
                            None => Some(&*level),
                            Some(out) => outer.iter().rev().nth(out),
                        };
                        let of = |list: fn(&Level) -> &Vec<Known>| {
                            source.and_then(|source| *list(source).get(index as usize)?)
                        };
                        match kind {
                            ComponentOuterAliasKind::CoreModule => {
                                let module = of(|level| &level.modules);
                                level.modules.push(module);
                            }
                            ComponentOuterAliasKind::Component => {
                                let component = of(|level| &level.components);
                                level.components.push(component);
                            }
                            ComponentOuterAliasKind::CoreType | ComponentOuterAliasKind::Type => {}
                        }
                    }
                    ComponentAlias::CoreInstanceExport { .. } => {}
                }
            }
        }
        Payload::ComponentImportSection(imports) => {
            level.add(imports.count(), CANON);
            level.step(imports.count());
            for import in imports {
                match import?.ty {
                    ComponentTypeRef::Module(_) => level.modules.push(None),
                    ComponentTypeRef::Component(_) => level.components.push(None),
                    _ => {}
                }
            }
        }
        Payload::ComponentExportSection(exports) => {
            level.step(exports.count());
            for export in exports {
                let export = export?;
                // What is exported is defined once more.
                let again = match export.kind {
                    ComponentExternalKind::Module => level.modules.get(export.index as usize),
                    ComponentExternalKind::Component => level.components.get(export.index as usize),
                    _ => None,
                };
                let again = again.copied().flatten();
                define(level, export.kind, again);
            }
        }
        Payload::ComponentTypeSection(types) => level.step(types.count()),
        Payload::CoreTypeSection(types) => level.step(types.count()),
        Payload::ComponentCanonicalSection(functions) => {
            level.add(functions.count(), CANON);
            // Most become a function each.
            level.step(functions.count().saturating_mul(CANON_STEPS));
        }
        _ => {}
    }
    Ok(())
}

/// One more module or component in the index space of its kind.
fn define(level: &mut Level, kind: ComponentExternalKind, known: Known) {
    match kind {
        ComponentExternalKind::Module => level.modules.push(known),
        ComponentExternalKind::Component => level.components.push(known),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> u64 {
        of(&wat::parse_str(text).unwrap()).bytes
    }

    /// Fault: bytes that are not counted: of globals, of functions that can be referred to, of instances in
    /// components that are instantiated more than once, by whatever name.
    #[test]
    fn what_is_instantiated_is_counted_as_often() {
        let globals = "(global i32 (i32.const 0))".repeat(1_000);
        let functions = "(func)".repeat(1_000);
        let names: String = (0..1_000).map(|n| format!(" {n}")).collect();
        let module = format!("(core module $m {globals})");
        let one = 1_000 * ITEM;
        assert!(bytes(&format!("(component {module})")) < one);
        let instances = |count: usize| "(core instance (instantiate $m))".repeat(count);
        assert!(bytes(&format!("(component {module} {})", instances(1))) >= one);
        let three = bytes(&format!("(component {module} {})", instances(3)));
        assert!((3 * one..4 * one).contains(&three), "{three}");

        let table = format!(
            "(core module $m {functions} (table 1000 funcref) (elem (i32.const 0) func{names}))"
        );
        assert!(bytes(&format!("(component {table} {})", instances(1))) >= 1_000 * FUNCTION);

        // Two, of two, of two.
        let nested = format!(
            "(component {module}
                (component $a (alias outer 1 $m (core module $n))
                    (core instance (instantiate $n)) (core instance (instantiate $n)))
                (component $b (alias outer 1 $a (component $c))
                    (instance (instantiate $c)) (instance (instantiate $c)))
                (instance (instantiate $b)) (instance (instantiate $b)))"
        );
        assert!(bytes(&nested) >= 8 * one);

        // A module that comes from another component.
        let exported = format!(
            "(component
                (component $a {module} (export \"m\" (core module $m)))
                (instance $i (instantiate $a))
                (alias export $i \"m\" (core module $n))
                (core instance (instantiate $n)))"
        );
        assert!(bytes(&exported) >= one);
    }

    /// Fault: a component in components whose instances are more than any number, counted as few.
    #[test]
    fn very_many_instances_do_not_wrap() {
        let mut text = String::from(
            "(component (core module $m) (component $c0 (alias outer 1 $m (core module $m)) (core instance (instantiate $m)))",
        );
        for level in 1..80 {
            let below = level - 1;
            text += &format!(
                "(component $c{level} (alias outer 1 $c{below} (component $c)) (instance (instantiate $c)) (instance (instantiate $c)))"
            );
        }
        text += "(instance (instantiate $c79)))";
        let takes = of(&wat::parse_str(text).unwrap());
        assert_eq!((takes.bytes, takes.steps), (u64::MAX, u64::MAX));
    }
}
