//! A component that is ready to run.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{self, ComponentExportIndex, InstancePre, Linker, Type};

use crate::base::sync::lock;
use crate::engine::compile::LoadCanceller;
use crate::engine::module::names as module_names;
use crate::engine::slots::{Kind, Needs};

/// Bytes in a page of linear memory.
pub(crate) const PAGE: u64 = 64 << 10;

/// A component that is loaded, compiled and linked, for stores that hold an `S`. Cheap to clone; belongs to the
/// [`Host`](crate::Host) that loaded it, whose [`Component`](crate::Component) it is.
pub struct Linked<S: 'static> {
    linked: Arc<InstancePre<S>>,
    interface: Arc<Interface>,
    /// Of baseline code that is being optimized.
    later: Option<Arc<Later<S>>>,
}

/// The code that takes the place of baseline code. Nobody needs it once the component is gone.
pub(crate) struct Later<S: 'static> {
    code: OnceLock<Linked<S>>,
    is_over: Mutex<bool>,
    /// Notified when that has changed.
    changed: Condvar,
    pub(crate) canceller: LoadCanceller,
}

impl<S> Later<S> {
    fn new() -> Self {
        Self {
            code: OnceLock::new(),
            is_over: Mutex::new(false),
            changed: Condvar::new(),
            canceller: LoadCanceller::default(),
        }
    }

    /// It is there, or it will never be. Called once.
    pub(crate) fn finish(&self, code: Option<Linked<S>>) {
        if let Some(code) = code {
            // Nobody else sets it.
            let _ = self.code.set(code);
        }
        *lock(&self.is_over) = true;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let mut is_over = lock(&self.is_over);
        while !*is_over {
            let waited = self.changed.wait(is_over);
            is_over = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<S> Drop for Later<S> {
    fn drop(&mut self) {
        self.canceller.cancel();
    }
}

impl<S> Clone for Linked<S> {
    fn clone(&self) -> Self {
        Self {
            linked: self.linked.clone(),
            interface: self.interface.clone(),
            later: self.later.clone(),
        }
    }
}

/// What a component has and takes, whatever its stores hold.
pub(crate) struct Interface {
    /// Whether its code is baseline code.
    is_baseline: bool,
    /// Slots of the pool that an instance takes.
    slots: u64,
    /// Bytes that an instance begins with, at most: of linear memory and of bookkeeping.
    initial_memory: u64,
    /// Which of the functions are `wasi:cli/run`: that of WASI 0.2 and that of 0.3.
    commands: [Option<usize>; 2],
    /// The same of what a task may begin with, in the order in which they are asked for it.
    entries: Vec<usize>,
    /// Those of bookkeeping.
    bookkeeping: u64,
    functions: Vec<Function>,
    /// Of the functions.
    indices: Vec<ComponentExportIndex>,
}

/// Bytes of bookkeeping that are counted with what any guest takes.
const SMALL_BOOKKEEPING: u64 = 64 << 10;

/// A function that the component exports.
pub(crate) struct Function {
    /// `name`, or `interface#name`; `outer#inner#name` where instances nest.
    pub(crate) name: String,
    /// Which of the component's functions it is.
    pub(crate) at: usize,
    pub(crate) ty: ComponentFunc,
}

impl Interface {
    fn new(component: &component::Component, kind: Kind, needs: Needs, is_baseline: bool) -> Self {
        let bookkeeping = needs.bookkeeping.saturating_sub(SMALL_BOOKKEEPING);
        let (indices, functions): (Vec<_>, Vec<_>) = exports(component)
            .into_iter()
            .enumerate()
            .map(|(at, Export { name, index, ty })| (index, Function { name, at, ty }))
            .unzip();
        let in_interface = |interface: &str, name: &str| {
            functions.iter().position(|f| {
                f.name.starts_with(interface) && f.name.ends_with(name) && f.name.contains("#")
            })
        };
        // `None` means that it imports core modules, which this host's linker does not have.
        let resources = component.resources_required();
        let count = |number: u32| u64::from(number);
        let memories = resources.as_ref().map_or(0, |all| count(all.num_memories));
        let tables = resources.as_ref().map_or(0, |all| count(all.num_tables));
        let largest = resources
            .and_then(|all| all.max_initial_memory_size)
            .unwrap_or(0)
            .saturating_mul(PAGE);
        Self {
            is_baseline,
            commands: ["wasi:cli/run@0.2.", "wasi:cli/run@0.3."]
                .map(|interface| in_interface(interface, "#run")),
            entries: in_interface("hart:exec/entry-async@0.1.", "#run")
                .or_else(|| in_interface("hart:exec/entry@0.1.", "#run"))
                .into_iter()
                .chain(entries_of_parts(&functions))
                .collect(),
            slots: needs.slots(kind, memories, tables),
            initial_memory: largest.saturating_mul(memories).saturating_add(bookkeeping),
            bookkeeping,
            functions,
            indices,
        }
    }

    /// Whether this is baseline code, of a component that may have better code by now.
    pub(crate) fn is_baseline(&self) -> bool {
        self.is_baseline
    }

    /// Slots of a pool that an instance takes.
    pub(crate) fn slots(&self) -> u64 {
        self.slots
    }

    /// Bytes that an instance begins with, at most.
    pub(crate) fn initial_memory(&self) -> u64 {
        self.initial_memory
    }

    /// Bytes that an instance takes of the host's heap, where that is more than a little.
    pub(crate) fn bookkeeping(&self) -> u64 {
        self.bookkeeping
    }

    /// One of the component's functions.
    pub(crate) fn index(&self, function: usize) -> &ComponentExportIndex {
        &self.indices[function]
    }

    /// Which of its functions is `wasi:cli/run`. Where there are two, that of WASI 0.3 is mostly in a library, and
    /// that of 0.2 is the `main` which that was linked with: what tests it.
    pub(crate) fn command(&self, prefer_wasi03: bool) -> Option<usize> {
        let [wasi02, wasi03] = self.commands;
        if prefer_wasi03 {
            wasi03.or(wasi02)
        } else {
            wasi02.or(wasi03)
        }
    }

    /// Which are `hart:exec/entry`, its own first.
    pub(crate) fn entries(&self) -> &[usize] {
        &self.entries
    }

    /// Whether it can spawn tasks of itself.
    pub(crate) fn has_entry(&self) -> bool {
        !self.entries.is_empty()
    }

    /// Its functions.
    pub(crate) fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// Those that can be written down.
    pub(crate) fn invocable(&self) -> Vec<String> {
        self.names(Function::is_plain)
    }

    fn names(&self, which: impl Fn(&Function) -> bool) -> Vec<String> {
        let functions = self.functions.iter().filter(|f| which(f));
        functions.map(|function| function.name.clone()).collect()
    }
}

impl<S> Linked<S> {
    /// Links `component` with what `linker` has.
    pub(crate) fn new(
        component: &component::Component,
        linker: &Linker<S>,
        kind: Kind,
        needs: Needs,
        is_baseline: bool,
    ) -> wasmtime::Result<Self> {
        Ok(Self {
            linked: Arc::new(linker.instantiate_pre(component)?),
            interface: Arc::new(Interface::new(component, kind, needs, is_baseline)),
            later: None,
        })
    }

    /// Other code is to take the place of this.
    pub(crate) fn improves(&mut self) -> &Arc<Later<S>> {
        self.later.insert(Arc::new(Later::new()))
    }

    /// What a task that starts now runs. It has the same functions, in the same order, but wasmtime's indices of them are
    /// others.
    pub(crate) fn newest(&self) -> &Self {
        let later = self.later.as_ref().and_then(|later| later.code.get());
        later.unwrap_or(self)
    }

    pub(crate) fn pre(&self) -> &InstancePre<S> {
        &self.linked
    }

    pub(crate) fn interface(&self) -> &Arc<Interface> {
        &self.interface
    }

    /// Whether it can be run as a command: it exports `wasi:cli/run`.
    pub fn is_command(&self) -> bool {
        self.interface.command(false).is_some()
    }

    /// What it exports as `wasi:cli/run`, which may be that of WASI 0.2, that of 0.3, or both: first the one that
    /// [`Host::command`](crate::Host::command) runs where
    /// [`RunBuilder::prefer_wasi03`](crate::RunBuilder::prefer_wasi03) does not say otherwise.
    pub fn commands(&self) -> Vec<String> {
        let found = self.interface.commands.iter().flatten();
        found
            .map(|at| self.interface.functions[*at].name.clone())
            .collect()
    }

    /// Whether it can spawn tasks of itself: it exports `hart:exec/entry` or `hart:exec/entry-async`, its own or that of
    /// a component that was composed into it (under a plain name, `entry` or one that ends in `-entry`).
    pub fn has_entry(&self) -> bool {
        self.interface.has_entry()
    }

    /// The functions it exports, by their full names: `name`, or `interface#name` for a function of an
    /// interface. [`Host::call`](crate::Host::call) says what shorter names it takes.
    pub fn exports(&self) -> Vec<String> {
        self.interface.names(|_| true)
    }

    /// Those of [`exports`](Self::exports) that [`Host::invoke`](crate::Host::invoke) can call: no handle goes in or
    /// comes out.
    pub fn invocable(&self) -> Vec<String> {
        self.interface.invocable()
    }

    /// Whether a task that starts now runs [baseline](crate::Tier::Baseline) code.
    pub fn is_baseline(&self) -> bool {
        self.newest().interface.is_baseline
    }

    /// Waits while [optimized](crate::Tier::Auto) code is made for it, if that is so: until it is there, or cannot be had.
    pub fn wait_optimized(&self) {
        if let Some(later) = &self.later {
            later.wait();
        }
    }

    /// wasmtime's own component: the code that a task which starts now runs.
    ///
    /// While that is [baseline](Self::is_baseline) code, optimized code may take its place at any time, and indices of
    /// exports that were made of one are not found in instances of the other. Names are.
    pub fn as_wasmtime(&self) -> &component::Component {
        self.newest().linked.component()
    }
}

impl Function {
    /// Whether a call of it can be written down, and what it returns: no handles in its type.
    pub(crate) fn is_plain(&self) -> bool {
        self.ty.params().all(|(_, ty)| is_plain(&ty)) && self.ty.results().all(|ty| is_plain(&ty))
    }
}

impl<S> fmt::Debug for Linked<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("command", &self.is_command())
            .field("entry", &self.has_entry())
            .field("exports", &self.exports())
            .finish_non_exhaustive()
    }
}

struct Export {
    name: String,
    index: ComponentExportIndex,
    ty: ComponentFunc,
}

/// The entries of components that were composed into this one. Only one can have the name of the interface; the others
/// have plain names, as `wac` gives with `as`.
fn entries_of_parts(functions: &[Function]) -> impl Iterator<Item = usize> {
    functions
        .iter()
        .filter(|function| {
            let Some((name, "run")) = function.name.split_once('#') else {
                return false;
            };
            let is_plain = !name.contains([':', '#']);
            is_plain && (name == "entry" || name.ends_with("-entry")) && is_entry(&function.ty)
        })
        .map(|function| function.at)
}

/// Whether it takes and returns what `hart:exec/entry.run` does.
fn is_entry(ty: &ComponentFunc) -> bool {
    let is_bytes = |ty: Type| matches!(ty, Type::List(list) if list.ty() == Type::U8);
    let params: Vec<Type> = ty.params().map(|(_, ty)| ty).collect();
    let results: Vec<Type> = ty.results().collect();
    let ([Type::String, input], [Type::Result(result)]) = (&params[..], &results[..]) else {
        return false;
    };
    is_bytes(input.clone())
        && result.ok().is_some_and(is_bytes)
        && result.err().is_some_and(is_bytes)
}

/// How many instances deep an exported function is looked for.
const MAX_NESTING: usize = 8;

/// The functions that a component exports.
fn exports(component: &component::Component) -> Vec<Export> {
    let mut found = Vec::new();
    let exports = component.component_type();
    for (name, export) in exports.exports(component.engine()) {
        let full = module_names::in_module(name).filter(|name| !name.contains('#'));
        export_of(
            component,
            None,
            full.unwrap_or_else(|| name.to_owned()),
            name,
            export.ty,
            &mut found,
        );
    }
    found
}

/// Adds the export `name` of `outer` to `found`, or all functions in it.
fn export_of(
    component: &component::Component,
    outer: Option<&ComponentExportIndex>,
    full: String,
    name: &str,
    ty: ComponentItem,
    found: &mut Vec<Export>,
) {
    let depth = full.bytes().filter(|byte| *byte == b'#').count();
    let Some(index) = component.get_export_index(outer, name) else {
        return;
    };
    match ty {
        ComponentItem::ComponentInstance(_) if depth >= MAX_NESTING => {}
        ComponentItem::ComponentFunc(ty) => found.push(Export {
            name: full,
            index,
            ty,
        }),
        ComponentItem::ComponentInstance(instance) => {
            for (inner, export) in instance.exports(component.engine()) {
                let full = format!("{full}#{inner}");
                export_of(component, Some(&index), full, inner, export.ty, found);
            }
        }
        _ => {}
    }
}

/// Whether a value of this type can come from outside or go there: no handles of any sort.
pub(crate) fn is_plain(ty: &Type) -> bool {
    match ty {
        Type::Own(_) | Type::Borrow(_) | Type::Future(_) | Type::Stream(_) | Type::ErrorContext => {
            false
        }
        Type::List(list) => is_plain(&list.ty()),
        Type::Record(record) => record.fields().all(|field| is_plain(&field.ty)),
        Type::Tuple(tuple) => tuple.types().all(|ty| is_plain(&ty)),
        Type::Variant(variant) => variant
            .cases()
            .all(|case| case.ty.is_none_or(|ty| is_plain(&ty))),
        Type::Option(option) => is_plain(&option.ty()),
        Type::Result(result) => {
            result.ok().is_none_or(|ty| is_plain(&ty))
                && result.err().is_none_or(|ty| is_plain(&ty))
        }
        Type::Map(map) => is_plain(&map.key()) && is_plain(&map.value()),
        Type::FixedLengthList(list) => is_plain(&list.ty()),
        Type::Bool
        | Type::S8
        | Type::U8
        | Type::S16
        | Type::U16
        | Type::S32
        | Type::U32
        | Type::S64
        | Type::U64
        | Type::Float32
        | Type::Float64
        | Type::Char
        | Type::String
        | Type::Enum(_)
        | Type::Flags(_) => true,
    }
}
