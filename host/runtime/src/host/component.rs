//! A component that is ready to run.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{self, ComponentExportIndex, InstancePre, Linker, Type};

use super::engine::Kind;
use super::pool::{MEMORIES_PER_PLACE, TABLES_PER_PLACE};
use super::pools::{Pool, Seat, Which};
use super::state::GuestState;

/// Bytes in a page of linear memory.
pub(super) const PAGE: u64 = 64 << 10;

/// A component that is loaded, compiled and linked. Cheap to clone; belongs to the
/// [`Host`](crate::Host) that loaded it.
#[derive(Clone)]
pub struct Component {
    loaded: Arc<Loaded>,
}

struct Loaded {
    /// For each pool of its site that it is in.
    copies: [OnceLock<Copy>; 2],
    /// Places in the pool that an instance takes.
    slots: u64,
    /// Bytes of linear memory that an instance begins with, at most.
    initial_memory: u64,
    /// Which of the functions.
    command: Option<usize>,
    /// The same.
    entry: Option<usize>,
    functions: Vec<Function>,
}

/// A component in one pool.
pub(super) struct Copy {
    component: component::Component,
    pre: InstancePre<GuestState>,
    /// Of its functions.
    indices: Vec<ComponentExportIndex>,
}

/// A component, if anybody has it still.
pub(super) struct WeakComponent(Weak<Loaded>);

/// A function that the component exports.
pub(super) struct Function {
    /// `name`, or `interface#name`.
    pub(super) name: String,
    /// Which of the component's functions it is.
    pub(super) at: usize,
    pub(super) ty: ComponentFunc,
}

impl Copy {
    /// Links `component` with what `linker` has.
    pub(super) fn new(
        component: component::Component,
        linker: &Linker<GuestState>,
    ) -> wasmtime::Result<Self> {
        let pre = linker.instantiate_pre(&component)?;
        let indices = exports(&component)
            .into_iter()
            .map(|export| export.index)
            .collect();
        Ok(Self {
            component,
            pre,
            indices,
        })
    }

    pub(super) fn engine(&self) -> &Engine {
        self.component.engine()
    }

    pub(super) fn pre(&self) -> &InstancePre<GuestState> {
        &self.pre
    }

    /// One of the component's functions.
    pub(super) fn index(&self, function: usize) -> &ComponentExportIndex {
        &self.indices[function]
    }
}

impl WeakComponent {
    pub(super) fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }

    pub(super) fn upgrade(&self) -> Option<Component> {
        let loaded = self.0.upgrade()?;
        Some(Component { loaded })
    }
}

impl Component {
    /// Its first copy, for the pool `which`. `instances` is how many component instances in it can be in a call at
    /// the same time; with a `heap`, its store takes a memory for that.
    pub(super) fn new(copy: Copy, which: Which, kind: Kind, instances: u64, heap: bool) -> Self {
        let functions: Vec<Function> = exports(&copy.component)
            .into_iter()
            .enumerate()
            .map(|(at, export)| Function {
                name: export.name,
                at,
                ty: export.ty,
            })
            .collect();
        let in_interface = |interface: &str, name: &str| {
            functions.iter().position(|f| {
                f.name.starts_with(interface) && f.name.ends_with(name) && f.name.contains("#")
            })
        };
        let (slots, initial_memory) = needs(&copy.component, heap);
        let slots = match kind {
            Kind::Plain => slots,
            // One instance is in a call on one stack at a time, and one stack more does what is left to do
            // meanwhile.
            Kind::Concurrent => (instances.saturating_add(1))
                .div_ceil(u64::from(kind.stacks_per_place()))
                .max(slots),
        };
        let loaded = Loaded {
            command: in_interface("wasi:cli/run@0.3.", "#run")
                .or_else(|| in_interface("wasi:cli/run@0.2.", "#run")),
            entry: in_interface("hart:exec/entry-async@0.1.", "#run")
                .or_else(|| in_interface("hart:exec/entry@0.1.", "#run")),
            copies: Default::default(),
            slots,
            initial_memory,
            functions,
        };
        let component = Self {
            loaded: Arc::new(loaded),
        };
        component.put(which, copy);
        component
    }

    /// Loads it once more, for another pool of the same site.
    pub(super) fn copy_for(&self, pool: &Pool) -> wasmtime::Result<Copy> {
        let code = self.as_wasmtime().serialize()?;
        // SAFETY: it is what an engine of this process has compiled or was vouched for, and both engines have the same
        // settings: whatever else, wasmtime compares them.
        let component = unsafe { component::Component::deserialize(&pool.engine, &code) }?;
        Copy::new(component, &pool.linker)
    }

    /// It is in this pool from now on.
    pub(super) fn put(&self, which: Which, copy: Copy) {
        // It is put there once; a second copy would do as well as the first.
        let _ = self.loaded.copies[which as usize].set(copy);
    }

    pub(super) fn is_in(&self, which: Which) -> bool {
        self.loaded.copies[which as usize].get().is_some()
    }

    /// What is in a pool where it has a seat.
    pub(super) fn copy(&self, seat: &Seat) -> &Copy {
        self.loaded.copies[seat.which() as usize]
            .get()
            .expect("a seat is in a pool that the component is in")
    }

    pub(super) fn downgrade(&self) -> WeakComponent {
        WeakComponent(Arc::downgrade(&self.loaded))
    }

    /// Whether it can be run as a command: it exports `wasi:cli/run`.
    pub fn is_command(&self) -> bool {
        self.loaded.command.is_some()
    }

    /// Whether it can spawn tasks of itself: it exports `hart:exec/entry` or `hart:exec/entry-async`.
    pub fn has_entry(&self) -> bool {
        self.loaded.entry.is_some()
    }

    /// The functions it exports, by the names that [`Host::call`](crate::Host::call) takes: `name`, or
    /// `interface#name` for a function of an interface.
    pub fn exports(&self) -> Vec<String> {
        self.loaded
            .functions
            .iter()
            .map(|function| function.name.clone())
            .collect()
    }

    /// wasmtime's own component. Of a host that [grows](crate::HostBuilder::grows) it is one of two, and an index that
    /// was looked up in it is of no use to instances of the other one: there, look exports up by name, in the instance.
    pub fn as_wasmtime(&self) -> &component::Component {
        let copy = self.loaded.copies.iter().find_map(OnceLock::get);
        &copy
            .expect("it was put into a pool when it was made")
            .component
    }

    pub(super) fn slots(&self) -> u64 {
        self.loaded.slots
    }

    pub(super) fn initial_memory(&self) -> u64 {
        self.loaded.initial_memory
    }

    /// Which of its functions is `wasi:cli/run`.
    pub(super) fn command(&self) -> Option<usize> {
        self.loaded.command
    }

    /// Which is `hart:exec/entry`.
    pub(super) fn entry(&self) -> Option<usize> {
        self.loaded.entry
    }

    /// The function of this name: the full one, or the bare name of one in an interface where no
    /// other has it.
    pub(super) fn function(&self, name: &str) -> Option<&Function> {
        let functions = &self.loaded.functions;
        if let Some(function) = functions.iter().find(|function| function.name == name) {
            return Some(function);
        }
        let mut found = functions
            .iter()
            .filter(|f| f.name.split_once('#').is_some_and(|(_, bare)| bare == name));
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("command", &self.is_command())
            .field("entry", &self.has_entry())
            .field("exports", &self.exports())
            .finish_non_exhaustive()
    }
}

/// Places and initial bytes that an instance takes.
fn needs(component: &component::Component, heap: bool) -> (u64, u64) {
    // `None` means that it imports core modules, which this host's linker does not have.
    let Some(needs) = component.resources_required() else {
        return (1 + u64::from(heap), 0);
    };
    let places = |count: u32, each: u32| u64::from(count.div_ceil(each));
    let memories = needs.num_memories.saturating_add(u32::from(heap));
    let slots = places(memories, MEMORIES_PER_PLACE)
        .max(places(needs.num_tables, TABLES_PER_PLACE))
        .max(1);
    let largest = needs
        .max_initial_memory_size
        .unwrap_or(0)
        .saturating_mul(PAGE);
    (slots, largest.saturating_mul(u64::from(needs.num_memories)))
}

struct Export {
    name: String,
    index: ComponentExportIndex,
    ty: ComponentFunc,
}

/// The functions that a component exports, in an order that is the same in every copy.
fn exports(component: &component::Component) -> Vec<Export> {
    let engine = component.engine();
    let mut functions = Vec::new();
    for (name, export) in component.component_type().exports(engine) {
        match export.ty {
            ComponentItem::ComponentFunc(ty) => {
                if let Some(index) = component.get_export_index(None, name) {
                    functions.push(Export {
                        name: name.to_owned(),
                        index,
                        ty,
                    });
                }
            }
            ComponentItem::ComponentInstance(instance) => {
                let Some(outer) = component.get_export_index(None, name) else {
                    continue;
                };
                for (inner, export) in instance.exports(engine) {
                    if let ComponentItem::ComponentFunc(ty) = export.ty
                        && let Some(index) = component.get_export_index(Some(&outer), inner)
                    {
                        functions.push(Export {
                            name: format!("{name}#{inner}"),
                            index,
                            ty,
                        });
                    }
                }
            }
            _ => {}
        }
    }
    functions
}

/// Whether a value of this type can come from outside or go there: no handles of any sort.
pub(super) fn is_plain(ty: &Type) -> bool {
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
