//! From bytes to a component, with a clear word about everything that is not one.
//!
//! Compilation happens on the caller's thread (and the compiler's own pool), never on a worker.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use wasmparser::{Encoding, Parser, Payload};
use wasmtime::component::{self, Linker};
use wasmtime::{Engine, Precompiled};

use super::cache::{Entries, Key};
use super::component::{Component, Copy, PAGE};
use super::engine::{Kind, MEMORIES_PER_MODULE, TABLES_PER_MODULE};
use super::pool::Bounds;
use super::pools::{Pool, Which};
use super::site::Site;
use super::state::GuestState;
use super::uses::{Uses, is_wasi_03};
use super::{footprint, too_big};
use crate::{BuildError, LoadError, Preemption, text};

/// The most bytes that are read and compiled.
pub(super) const MAX_BYTES: u64 = 256 << 20;

/// A component that was looked at and not compiled yet.
pub(super) struct Unloaded<'a> {
    binary: Cow<'a, [u8]>,
    uses: Uses,
    sizes: Sizes,
}

/// What its largest parts begin with.
#[derive(Default)]
struct Sizes {
    /// Bytes of a memory.
    memory: u64,
    /// Elements of a table.
    table: u64,
}

impl<'a> Unloaded<'a> {
    /// Looks at a binary component or its text.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, LoadError> {
        let binary = to_binary(bytes)?;
        let (uses, sizes) = inspect(&binary)?;
        Ok(Self {
            binary,
            uses,
            sizes,
        })
    }

    /// Which engine it needs.
    pub(super) fn kind(&self) -> Kind {
        if self.uses.is_concurrent() {
            Kind::Concurrent
        } else {
            Kind::Plain
        }
    }

    /// Compiles it, or takes it from the cache, and links it with what the site provides.
    pub(super) fn load(
        &self,
        site: &Site,
        cache: Option<&Entries>,
    ) -> Result<Component, LoadError> {
        let (which, pool) = site.pools.newest();
        let component = self.load_for(site, (which, pool), cache, &pool.linker)?;
        adopt(site, &component, which)?;
        Ok(component)
    }

    /// The same for one pool, and with what `linker` has.
    pub(super) fn load_for(
        &self,
        site: &Site,
        (which, pool): (Which, &Pool),
        cache: Option<&Entries>,
        linker: &Linker<GuestState>,
    ) -> Result<Component, LoadError> {
        self.check_sizes(site.bounds)?;
        let engine = &pool.engine;
        let component = match cache {
            Some(cache) => cached(engine, cache, &self.binary)?,
            None => guarded(|| component::Component::from_binary(engine, &self.binary))?,
        };
        let copy = link(linker, component)?;
        Ok(Component::new(
            copy,
            which,
            site.kind,
            self.uses.instances(),
            self.uses.has_heap(),
        ))
    }

    /// Compiles it to native code.
    pub(super) fn precompile(&self, site: &Site) -> Result<Vec<u8>, LoadError> {
        self.check_sizes(site.bounds)?;
        compile(&site.pools.first().engine, &self.binary)
    }

    /// Refuses what the pool has no room for.
    fn check_sizes(&self, bounds: Bounds) -> Result<(), LoadError> {
        let Sizes { memory, table } = self.sizes;
        if memory > bounds.memory {
            return Err(LoadError::TooBig(too_big::memory(memory, bounds.memory)));
        }
        if table > bounds.table as u64 {
            return Err(LoadError::TooBig(too_big::table(table, bounds.table)));
        }
        if let Some(most) = bounds.bookkeeping {
            let takes = footprint::of(&self.binary);
            if takes > most {
                return Err(LoadError::TooBig(too_big::bookkeeping(
                    "an instance",
                    takes,
                    most,
                )));
            }
        }
        Ok(())
    }
}

/// Compiles it, or takes what was compiled before.
fn cached(
    engine: &Engine,
    cache: &Entries,
    binary: &[u8],
) -> Result<component::Component, LoadError> {
    let key = Key::new(engine, binary);
    if let Some(code) = cache.find(&key) {
        // SAFETY: the entry is what `precompile_component` has made of these bytes with these settings, and what was
        // kept: nobody but us can write to the directory, or has written the file. The checksum finds accidents.
        match unsafe { component::Component::deserialize(engine, &code) } {
            Ok(component) => return Ok(component),
            Err(error) => tracing::warn!("what the cache has cannot be used: {error:#}"),
        }
    }
    let code = compile(engine, binary)?;
    cache.keep(&key, &code);
    // SAFETY: compiled just now, by this engine.
    unsafe { component::Component::deserialize(engine, &code) }.map_err(|error| invalid(&error))
}

fn compile(engine: &Engine, binary: &[u8]) -> Result<Vec<u8>, LoadError> {
    guarded(|| engine.precompile_component(binary))
}

/// The compiler is large, and what it gets may be anybody's.
fn guarded<T>(compile: impl FnOnce() -> wasmtime::Result<T>) -> Result<T, LoadError> {
    match catch_unwind(AssertUnwindSafe(compile)) {
        Ok(compiled) => compiled.map_err(|error| invalid(&error)),
        Err(_) => Err(LoadError::Invalid(
            "the compiler failed on it; please report this".into(),
        )),
    }
}

/// Loads native code.
///
/// # Safety
///
/// As for [`component::Component::deserialize`]: the bytes must come from [`Unloaded::precompile`], unchanged.
pub(super) unsafe fn load_precompiled(
    site: &Site,
    preemption: Preemption,
    bytes: &[u8],
) -> Result<Component, LoadError> {
    match Engine::detect_precompiled(bytes) {
        Some(Precompiled::Component) => {}
        Some(Precompiled::Module) | None => return Err(LoadError::NotPrecompiled),
    }
    let (which, pool) = site.pools.newest();
    // SAFETY: the caller promises that the bytes come from `Unloaded::precompile`, unchanged.
    let component =
        unsafe { component::Component::deserialize(&pool.engine, bytes) }.map_err(|error| {
            let detail = format!("{error:#}");
            if detail.contains("epoch interruption") || detail.contains("fuel support") {
                LoadError::PreemptionMismatch {
                    host: preemption.mode(),
                }
            } else {
                LoadError::Incompatible(text::line(&detail))
            }
        })?;
    // How its instances are nested is not in there. One that can wait in a call has a memory, mostly. Nor is it there
    // whether it has a heap: that of one in a full pool may have to wait for another's memory.
    let memories = component
        .resources_required()
        .map_or(0, |needs| needs.num_memories);
    let copy = link(&pool.linker, component)?;
    let instances = u64::from(memories.max(1));
    let component = Component::new(copy, which, site.kind, instances, false);
    adopt(site, &component, which)?;
    Ok(component)
}

/// Whether native code was compiled for the host's other engine.
pub(super) fn is_for_the_other_engine(error: &LoadError) -> bool {
    matches!(error, LoadError::Incompatible(detail) if detail.contains("concurrency support"))
}

/// Accepts binary components and turns text into them.
fn to_binary(bytes: &[u8]) -> Result<Cow<'_, [u8]>, LoadError> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(LoadError::TooLarge {
            bytes: bytes.len() as u64,
            limit: MAX_BYTES,
        });
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(LoadError::Empty);
    }
    if b"\0asm".starts_with(&bytes[..bytes.len().min(4)]) {
        return if bytes.len() < 8 {
            Err(LoadError::Truncated)
        } else {
            Ok(Cow::Borrowed(bytes))
        };
    }
    if Engine::detect_precompiled(bytes).is_some() {
        return Err(LoadError::Precompiled);
    }
    let looks_like_text = std::str::from_utf8(bytes).is_ok_and(|text| {
        text.trim_start().starts_with(['(', ';']) || text.trim_start().starts_with("\u{feff}(")
    });
    if !looks_like_text {
        return Err(LoadError::NotWasm);
    }
    wat::parse_bytes(bytes).map_err(|error| {
        // The message, then a picture of the place, of which the second line says where.
        let shown = error.to_string();
        let mut lines = shown.lines().map(str::trim).filter(|line| !line.is_empty());
        let message = lines.next().unwrap_or("it cannot be parsed");
        let place = lines
            .next()
            .map(|line| line.trim_start_matches("--> "))
            .unwrap_or_default();
        LoadError::Invalid(text::line(&format!("{message} ({place})")))
    })
}

/// The longest name of a function. Names are copied into every frame of a backtrace.
const MAX_FUNCTION_NAME: usize = 16 << 10;

/// Refuses names that would make a trap expensive.
fn check_names(bytes: &[u8], offset: usize) -> Result<(), LoadError> {
    let names = wasmparser::NameSectionReader::new(wasmparser::BinaryReader::new(bytes, offset));
    for section in names {
        // A name section that cannot be read is no error: nobody will find names in it.
        let Ok(wasmparser::Name::Function(functions)) = section else {
            continue;
        };
        let longest = functions
            .into_iter()
            .filter_map(Result::ok)
            .map(|naming| naming.name.len())
            .max();
        if let Some(longest) = longest.filter(|longest| *longest > MAX_FUNCTION_NAME) {
            return Err(LoadError::Invalid(format!(
                "a function's name has {longest} bytes, and {MAX_FUNCTION_NAME} are the most: strip the names"
            )));
        }
    }
    Ok(())
}

/// Says what these bytes are, if not a component that this host runs.
fn inspect(bytes: &[u8]) -> Result<(Uses, Sizes), LoadError> {
    let mut uses = Uses::default();
    let mut sizes = Sizes::default();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| {
            if error.message().contains("unexpected end") {
                LoadError::Truncated
            } else {
                LoadError::Invalid(text::line(&error.to_string()))
            }
        })?;
        uses.read(&payload);
        match payload {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } if depth == 0 => return Err(LoadError::CoreModule),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::CustomSection(section) if section.name() == "name" => {
                check_names(section.data(), section.data_offset())?;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::MemorySection(memories) => {
                too_many("memories", memories.count(), MEMORIES_PER_MODULE)?;
                for memory in memories.into_iter().flatten() {
                    sizes.memory = sizes.memory.max(memory.initial.saturating_mul(PAGE));
                }
            }
            Payload::TableSection(tables) => {
                too_many("tables", tables.count(), TABLES_PER_MODULE)?;
                for table in tables.into_iter().flatten() {
                    sizes.table = sizes.table.max(table.ty.initial);
                }
            }
            _ => {}
        }
    }
    Ok((uses, sizes))
}

fn too_many(what: &str, count: u32, most: u32) -> Result<(), LoadError> {
    if count > most {
        return Err(LoadError::TooBig(too_big::count(what, count, most)));
    }
    Ok(())
}

/// Reads wasmtime's word on bytes that it refuses.
fn invalid(error: &wasmtime::Error) -> LoadError {
    let detail = text::line(&format!("{error:#}"));
    if let Some(text) = too_big::from_wasmtime(&detail) {
        LoadError::TooBig(text)
    } else if detail.contains("unexpected end") {
        LoadError::Truncated
    } else if detail.contains("async") && detail.contains("feature") {
        LoadError::Wasi03(detail)
    } else {
        LoadError::Invalid(detail)
    }
}

/// Puts it into a pool that has come since it was loaded.
fn adopt(site: &Site, component: &Component, which: Which) -> Result<(), LoadError> {
    let adopted = site.pools.adopt(component, which);
    adopted.map_err(|error| LoadError::Pool(BuildError::Engine(error)))
}

fn link(linker: &Linker<GuestState>, component: component::Component) -> Result<Copy, LoadError> {
    Copy::new(component, linker).map_err(|error| {
        let first = error.to_string();
        let name = first.split('`').nth(1).unwrap_or(&first);
        if is_wasi_03(name) {
            return LoadError::Wasi03(text::line(name));
        }
        let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
        let detail = if causes.is_empty() {
            first.clone()
        } else {
            causes.join(": ")
        };
        LoadError::MissingImport {
            name: text::line(name),
            detail: text::line(&detail),
        }
    })
}
