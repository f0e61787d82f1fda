//! What a component uses of component-model async, how many of its instances can be in a call at once, and whether it
//! has a heap that is collected.

use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentDefinedType, ComponentInstance, ComponentType,
    ComponentTypeDeclaration, CompositeInnerType, InstanceTypeDeclaration, Payload, SubType,
};

use crate::engine::slots::{Kind, Needs};

/// Reads a component's payloads, in the order of the parser.
#[derive(Default)]
pub(crate) struct Uses {
    /// Any part of it uses component-model async or WASI 0.3.
    concurrent: bool,
    /// Its store may have a heap for structs, arrays, exceptions and host references, which takes a memory of the pool.
    /// May over-report, never under-report.
    heap: bool,
    /// It imports something of `hart:exec`.
    spawns: bool,
    /// Components that have begun and not ended.
    open: Vec<Level>,
    /// The most [`instances`](Self::instances) of any component that has ended.
    most: u64,
}

#[derive(Default)]
struct Level {
    /// It has functions of its own, so that an instance of it can be in a call.
    lifts: bool,
    /// Instances of other components that it makes.
    makes: u64,
}

impl Uses {
    /// How many component instances, at most, can be in a call at the same time. Too many rather than too few:
    /// each one that is made counts as the largest that could be.
    fn instances(&self) -> u64 {
        self.most.max(1)
    }

    /// Which engine it needs.
    pub(crate) fn kind(&self) -> Kind {
        if self.concurrent {
            Kind::Concurrent
        } else {
            Kind::Plain
        }
    }

    /// What its instances need, with so many bytes of bookkeeping.
    pub(crate) fn needs(&self, bookkeeping: u64) -> Needs {
        Needs {
            instances: self.instances(),
            heap: self.heap,
            bookkeeping,
        }
    }

    /// Whether it may spawn tasks.
    pub(crate) fn spawns(&self) -> bool {
        self.spawns
    }

    pub(crate) fn read(&mut self, payload: &Payload<'_>) {
        match payload {
            Payload::TypeSection(groups) => {
                let mut types = groups.clone().into_iter().flatten();
                self.heap |= types.any(|group| group.types().any(is_in_heap));
            }
            Payload::TableSection(tables) => {
                let mut tables = tables.clone().into_iter().flatten();
                self.heap |= tables.any(|table| !table.ty.element_type.is_func_ref());
            }
            Payload::TagSection(_) => self.heap = true,
            Payload::Version { .. } => self.open.push(Level::default()),
            Payload::End(_) => {
                let level = self.open.pop().unwrap_or_default();
                let below = level.makes.saturating_mul(self.most);
                self.most = self.most.max(below.saturating_add(u64::from(level.lifts)));
            }
            Payload::ComponentInstanceSection(instances) => {
                let made = instances.clone().into_iter().flatten();
                let made = made.filter(|one| matches!(one, ComponentInstance::Instantiate { .. }));
                let made = made.count() as u64;
                if let Some(level) = self.open.last_mut() {
                    level.makes = level.makes.saturating_add(made);
                }
            }
            Payload::ComponentCanonicalSection(functions) => {
                for function in functions.clone().into_iter().flatten() {
                    self.function(&function);
                }
            }
            Payload::ComponentTypeSection(types) => {
                let mut types = types.clone().into_iter().flatten();
                self.concurrent |= types.any(|ty| is_concurrent(&ty));
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports.clone().into_iter().flatten() {
                    self.spawns |= import.name.name.starts_with("hart:exec/");
                    self.concurrent |= is_wasi_03(import.name.name);
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports.clone().into_iter().flatten() {
                    self.concurrent |= is_wasi_03(export.name.name);
                }
            }
            _ => {}
        }
    }

    fn function(&mut self, function: &CanonicalFunction) {
        match function {
            CanonicalFunction::Lift { options, .. } => {
                if let Some(level) = self.open.last_mut() {
                    level.lifts = true;
                }
                self.concurrent |= has_async(options);
            }
            CanonicalFunction::Lower { options, .. } => self.concurrent |= has_async(options),
            CanonicalFunction::ResourceNew { .. }
            | CanonicalFunction::ResourceDrop { .. }
            | CanonicalFunction::ResourceRep { .. } => {}
            // All the others came with component-model async.
            _ => self.concurrent = true,
        }
    }
}

fn is_in_heap(ty: &SubType) -> bool {
    matches!(
        ty.composite_type.inner,
        CompositeInnerType::Struct(_) | CompositeInnerType::Array(_)
    )
}

fn has_async(options: &[CanonicalOption]) -> bool {
    options.contains(&CanonicalOption::Async)
}

/// Whether this names an interface of WASI 0.3.
pub(crate) fn is_wasi_03(name: &str) -> bool {
    let versioned = name.strip_prefix("wasi:");
    versioned
        .and_then(|rest| rest.split_once('@'))
        .is_some_and(|(_, version)| version.starts_with("0.3."))
}

fn is_concurrent(ty: &ComponentType<'_>) -> bool {
    match ty {
        ComponentType::Func(function) => function.async_,
        ComponentType::Defined(defined) => matches!(
            defined,
            ComponentDefinedType::Future(_) | ComponentDefinedType::Stream(_)
        ),
        ComponentType::Component(declarations) => {
            declarations.iter().any(|declaration| match declaration {
                ComponentTypeDeclaration::Type(ty) => is_concurrent(ty),
                _ => false,
            })
        }
        ComponentType::Instance(declarations) => {
            declarations.iter().any(|declaration| match declaration {
                InstanceTypeDeclaration::Type(ty) => is_concurrent(ty),
                _ => false,
            })
        }
        ComponentType::Resource { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(text: &str) -> Uses {
        let binary = wat::parse_str(text).expect("correct text");
        let mut uses = Uses::default();
        for payload in wasmparser::Parser::new(0).parse_all(&binary) {
            uses.read(&payload.expect("a correct binary"));
        }
        uses
    }

    /// Fault: a component on the wrong engine, which refuses it or makes its calls slow.
    #[test]
    fn async_is_seen_wherever_it_is() {
        let concurrent = [
            r#"(component (import "wasi:cli/environment@0.3.0" (instance)))"#,
            r#"(component (import "f" (func async)))"#,
            r#"(component (import "i" (instance (export "f" (func (result (stream u8)))))))"#,
            r#"(component (component (type (future u32))))"#,
            r#"(component (core func (canon waitable-set.new)))"#,
            r#"(component (type (component (import "i" (instance (export "f" (func async)))))))"#,
        ];
        for text in concurrent {
            assert!(uses(text).concurrent, "{text}");
        }
        let plain = [
            r#"(component (import "wasi:cli/environment@0.2.3" (instance)))"#,
            r#"(component (import "acme:cli/environment@0.3.0" (instance)))"#,
            r#"(component (type $r (resource (rep i32))) (core func (canon resource.new $r)))"#,
            r#"(component (import "f" (func (param "a" (list u8)))))"#,
        ];
        for text in plain {
            assert!(!uses(text).concurrent, "{text}");
        }
    }

    /// Fault: a component whose instances take a memory more than its slots stand for.
    #[test]
    fn heaps_are_seen() {
        for module in [
            "(type (struct (field i32)))",
            "(type (array i8))",
            "(rec (type (func)) (type (struct)))",
            "(table 1 externref)",
            "(table 1 anyref)",
            "(tag)",
        ] {
            assert!(uses(&format!("(component (core module {module}))")).heap);
        }
        let none = "(memory 1) (table 1 funcref) (type (func (param externref)))";
        assert!(!uses(&format!("(component (core module {none}))")).heap);
    }

    /// Fault: a component whose instances hold more stacks than its slots stand for.
    #[test]
    fn instances_that_can_be_in_a_call_are_counted() {
        let leaf = r#"
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func (export "f") (canon lift (core func $i "f")))"#;
        assert_eq!(uses("(component)").instances(), 1);
        assert_eq!(uses(&format!("(component {leaf})")).instances(), 1);
        let twice = format!(
            "(component (component $c {leaf}) (instance (instantiate $c)) (instance (instantiate $c)))"
        );
        assert_eq!(uses(&twice).instances(), 2);
        let nested = format!(
            "(component (component $d (component $c {leaf}) (instance (instantiate $c)) (instance (instantiate $c))) (instance (instantiate $d)) (instance (instantiate $d)) {leaf})"
        );
        assert_eq!(uses(&nested).instances(), 5);
        // What a toolchain wraps an exported interface in.
        let shim = format!("(component {leaf} (component $s) (instance (instantiate $s)))");
        assert_eq!(uses(&shim).instances(), 1);
    }
}
