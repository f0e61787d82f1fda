//! Code that is there sooner and runs slower: compiled in one pass, by Winch.
//!
//! In wasmtime the compiler belongs to the engine, and an engine refuses code of the other compiler, because functions of
//! the two call each other in different ways. A second engine would have a pool, a queue and a linker of its own, and a
//! run whose tasks are on both. None of that is needed:
//!
//! 1. All code of a component is compiled together. It calls its own functions, and the host's by the host's convention,
//!    through trampolines that are compiled with it. The host calls it by such trampolines too.
//! 2. Functions of the two compilers could meet only where a core module leaves a component, or comes into one: the
//!    embedder can instantiate that beside others. What has modules among its imports or exports gets no baseline code
//!    ([`is_closed`]).
//! 3. So an engine that only compiles makes the code, and what the code says of itself is changed in one place: the
//!    convention. Everything else in there is compared by wasmtime, as always.
//!
//! Nothing that runs asks the engine for the convention, in wasmtime 48. Tests run both kinds of code in one engine.

use std::sync::OnceLock;

use object::Endianness;
use object::read::elf::ElfFile64;
use object::{Object as _, ObjectSection as _};
use serde::{Deserialize, Serialize};
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;
use wasmtime::{Config, Engine, Strategy};
use wasmtime_environ::{FlagValue, Tunables, obj};

use crate::sched::preemption::Preemption;

/// What compiles baseline code, if there is such a thing for a host's settings. Made when it is first needed.
pub(crate) struct Baseline {
    config: Option<Config>,
    engine: OnceLock<Option<Engine>>,
    /// Whether code may be replaced while guests run.
    pub(crate) may_improve: bool,
}

impl Baseline {
    /// For an engine with this configuration, apart from its allocator.
    pub(crate) fn new(config: &Config, preemption: Preemption) -> Self {
        Self {
            config: Some(config.clone()),
            engine: OnceLock::new(),
            may_improve: !matches!(preemption, Preemption::Fuel { .. }),
        }
    }

    pub(crate) fn none() -> Self {
        Self {
            config: None,
            engine: OnceLock::new(),
            may_improve: false,
        }
    }

    /// What compiles it. No code of its runs there.
    pub(crate) fn engine(&self) -> Option<&Engine> {
        let make = || {
            let mut config = self.config.clone()?;
            config.strategy(Strategy::Winch);
            Engine::new(&config)
                .inspect_err(|error| tracing::debug!("there is no baseline code: {error:#}"))
                .ok()
        };
        self.engine.get_or_init(make).as_ref()
    }
}

/// What compiled code says of itself, as wasmtime writes it.
#[derive(Serialize, Deserialize)]
struct Metadata<'a> {
    target: String,
    #[serde(borrow)]
    shared_flags: Vec<(&'a str, FlagValue<'a>)>,
    #[serde(borrow)]
    isa_flags: Vec<(&'a str, FlagValue<'a>)>,
    tunables: Tunables,
    features: u64,
}

/// Has code of [`Baseline::engine`] say that it is for an engine of Cranelift's; `None` if it may not be, or says something
/// that this does not understand.
pub(crate) fn adopt(code: &mut [u8]) -> Option<()> {
    let elf = ElfFile64::<Endianness>::parse(&*code).ok()?;
    let section = elf.section_by_name(obj::ELF_WASM_ENGINE)?;
    let (offset, length) = section.file_range()?;
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    // A byte for the format, and wasmtime's version after its length.
    let version = usize::from(*code.get(start + 1)?);
    let place = start + 2 + version..end;
    let old = code.get(place.clone())?;
    let mut metadata: Metadata<'_> = postcard::from_bytes(old).ok()?;
    if postcard::to_stdvec(&metadata).ok()? != old || !metadata.tunables.winch_callable {
        return None;
    }
    // Winch does not know this flag, and says nothing.
    let is_canonical = |(name, value): &(&str, FlagValue<'_>)| {
        *name == "enable_nan_canonicalization" && matches!(value, FlagValue::Bool(true))
    };
    if metadata.shared_flags.iter().any(is_canonical) {
        return None;
    }
    metadata.tunables.winch_callable = false;
    let new = postcard::to_stdvec(&metadata).ok()?;
    let place = code.get_mut(place).filter(|old| old.len() == new.len())?;
    place.copy_from_slice(&new);
    Some(())
}

/// Whether no core module comes into a component or leaves it. Step 2.
pub(crate) fn is_closed(component: &Component) -> bool {
    let engine = component.engine();
    let ty = component.component_type();
    let mut items = ty.imports(engine).chain(ty.exports(engine));
    items.all(|(_, item)| has_no_module(engine, &item.ty))
}

fn has_no_module(engine: &Engine, item: &ComponentItem) -> bool {
    match item {
        ComponentItem::ComponentFunc(_)
        | ComponentItem::CoreFunc(_)
        | ComponentItem::Type(_)
        | ComponentItem::Resource(_) => true,
        ComponentItem::ComponentInstance(instance) => instance
            .exports(engine)
            .all(|(_, item)| has_no_module(engine, &item.ty)),
        ComponentItem::Module(_) | ComponentItem::Component(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let mut config = Config::new();
        config.epoch_interruption(true);
        config
    }

    fn code(config: &Config) -> Vec<u8> {
        let baseline = Baseline::new(config, Preemption::epoch());
        let engine = baseline.engine().unwrap();
        engine.precompile_component(b"(component)").unwrap()
    }

    fn refuses(config: &Config, code: &[u8]) -> bool {
        let engine = Engine::new(config).unwrap();
        // SAFETY: wasmtime has just compiled it, and nothing of it runs.
        unsafe { Component::deserialize(&engine, code) }.is_err()
    }

    /// Fault: an upgrade of wasmtime that writes something else about code, so that there is no baseline code any more, or
    /// code of other settings that is accepted.
    #[test]
    fn only_the_convention_is_changed() {
        let config = config();
        let mut code = code(&config);
        assert!(refuses(&config, &code));
        let before = code.clone();
        adopt(&mut code).unwrap();
        let changed = before.iter().zip(&code).filter(|(old, new)| old != new);
        assert_eq!(changed.count(), 1);
        assert!(!refuses(&config, &code));
        let mut fuel = Config::new();
        fuel.consume_fuel(true);
        assert!(refuses(&fuel, &code));
        // It is not Winch's any more.
        assert!(adopt(&mut code).is_none());
    }

    /// Fault: functions of two compilers that meet, and take each other's arguments for something else.
    #[test]
    fn modules_come_in_and_go_out_by_themselves() {
        let engine = Engine::default();
        for (text, closed) in [
            (r#"(import "f" (func (param "a" u32)))"#, true),
            (
                r#"(import "i" (instance (export "r" (type (sub resource)))))"#,
                true,
            ),
            (r#"(core module $m) (core instance (instantiate $m))"#, true),
            (r#"(import "m" (core module))"#, false),
            (r#"(core module $m) (export "m" (core module $m))"#, false),
            (
                r#"(import "i" (instance (export "m" (core module))))"#,
                false,
            ),
            (
                r#"(core module $m) (instance $i (export "m" (core module $m))) (export "i" (instance $i))"#,
                false,
            ),
        ] {
            let component = Component::new(&engine, format!("(component {text})")).unwrap();
            assert_eq!(is_closed(&component), closed, "{text}");
        }
    }

    /// Fault: guests that must compute the same everywhere, and do not.
    #[test]
    fn no_baseline_code_where_nans_are_canonical() {
        let mut config = config();
        config.cranelift_nan_canonicalization(true);
        assert!(adopt(&mut code(&config)).is_none());
    }
}
