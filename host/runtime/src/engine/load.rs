//! From bytes to a component, with a clear word about everything that is not one.
//!
//! # Protocol
//!
//! 1. Text becomes a binary, no longer than memory allows, and a core module becomes a [component](super::module).
//! 2. The binary is read, but for its code: what it uses, and how large its parts are.
//! 3. What is too large for the pool is refused.
//! 4. Code that was [kept](super::cache) is used.
//! 5. Its code is read, and what takes too much to [compile](super::cost) is refused. Of a large component the
//!    [imports](super::skeleton) are looked at.
//! 6. It is [compiled](super::compile), on threads of its own and never on a worker, and linked. A large one is compiled
//!    twice: for [now](super::baseline), and, while that runs, to be [fast](super::optimize).

mod code;

use std::borrow::Cow;
use std::path::Path;

use wasmparser::{Encoding, Parser, Payload};
use wasmtime::component::{self, Linker};
use wasmtime::{Engine, Precompiled};

use crate::base::text;
use crate::engine::analysis::{Uses, is_wasi_03};
use crate::engine::cache::Entries;
use crate::engine::compile::Patience;
use crate::engine::component::{Linked, PAGE};
use crate::engine::config::Pool;
use crate::engine::cost::{self, Cost};
use crate::engine::error::LoadError;
use crate::engine::header::{self, Header};
use crate::engine::inspection::Inspection;
use crate::engine::instance_size::{self, Footprint};
use crate::engine::module;
use crate::engine::one_run;
use crate::engine::parse;
use crate::engine::plan::Bounds;
use crate::engine::profile::Profile;
use crate::engine::size_error;
use crate::engine::slots::{Kind, MEMORIES_PER_MODULE, Needs, TABLES_PER_MODULE};
use crate::engine::tier::Tier;
use crate::sched::preemption::Preemption;

/// The most bytes that are read and compiled.
pub(crate) const MAX_BYTES: u64 = 256 << 20;

/// Bytes that loading a component may take by default.
pub(crate) const MAX_MEMORY: u64 = 4 << 30;

/// Code that is longer than this takes so long to compile that imports are looked at first. A guess.
const LONG: u64 = 128 << 10;

/// A component that was looked at and not compiled yet.
pub(crate) struct Unloaded<'a> {
    binary: Cow<'a, [u8]>,
    uses: Uses,
    sizes: Sizes,
    footprint: Footprint,
}

/// How it is loaded.
#[derive(Clone, Copy)]
pub(crate) struct How<'a> {
    pub(crate) patience: &'a Patience,
    /// Bytes that compiling it may take.
    pub(crate) max_memory: u64,
    /// Others are served meanwhile, and go first.
    pub(crate) background: bool,
    pub(crate) tier: Tier,
    pub(crate) cache: Option<&'a Entries>,
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
    /// Looks at a binary component or its text; at a core module as well, if those are allowed.
    pub(crate) fn new(
        bytes: &'a [u8],
        max_memory: u64,
        core_modules: bool,
    ) -> Result<Self, LoadError> {
        let mut binary = to_binary(bytes, max_memory)?;
        if core_modules && module::is_module(&binary) {
            binary = Cow::Owned(module::to_component(&binary, max_memory)?);
        }
        let mut looked_at = Self {
            uses: Uses::default(),
            sizes: Sizes::default(),
            footprint: Footprint::default(),
            binary: Cow::Borrowed(&[]),
        };
        let endless = looked_at.inspect(&binary)?;
        looked_at.footprint = instance_size::of(&binary);
        looked_at.binary = without_names(binary, &endless);
        Ok(looked_at)
    }

    /// What there is to say of it.
    ///
    /// # Errors
    /// Code that nobody can read.
    pub(crate) fn inspection(&self) -> Result<Inspection, LoadError> {
        let Footprint {
            memories, tables, ..
        } = self.footprint;
        let mut inspection = Inspection {
            uses_async: self.kind() == Kind::Concurrent,
            spawns: self.uses.spawns(),
            memories,
            largest_memory: self.sizes.memory,
            tables,
            slots: self.needs().slots(self.kind(), memories, tables),
            code: Cost::of(&self.binary)?.code(),
            ..Inspection::default()
        };
        inspection.read_names(&self.binary);
        Ok(inspection)
    }

    /// Which engine it needs.
    pub(crate) fn kind(&self) -> Kind {
        self.uses.kind()
    }

    /// What its instances need beside what wasmtime says of it.
    fn needs(&self) -> Needs {
        self.uses.needs(self.footprint.bytes)
    }

    /// Compiles it, or takes it from the cache, and links it with what `linker` has.
    pub(crate) fn load<S: 'static>(
        &self,
        pool: &Pool,
        how: How<'_>,
        linker: &Linker<S>,
    ) -> Result<Linked<S>, LoadError> {
        self.check_sizes(pool.bounds)?;
        self.linked(pool, how, linker)
    }

    /// Compiles it to native code.
    pub(crate) fn precompile(
        &self,
        pool: &Pool,
        profile: Profile,
        preemption: Preemption,
        how: How<'_>,
    ) -> Result<Vec<u8>, LoadError> {
        self.check_sizes(pool.bounds)?;
        let (code, is_baseline) = self.code(pool, how)?;
        let (kind, needs) = (self.kind(), self.needs());
        let header = Header {
            kind,
            profile,
            preemption: preemption.mode(),
            spawns: self.uses.spawns(),
            is_baseline,
            needs,
            one_run: one_run::slots(kind, &self.uses, self.footprint, needs),
        };
        Ok(header.write(&code))
    }

    /// Refuses what the pool has no room for.
    fn check_sizes(&self, bounds: Bounds) -> Result<(), LoadError> {
        let Sizes { memory, table } = self.sizes;
        if memory > bounds.memory {
            return Err(LoadError::TooBig(size_error::memory(memory, bounds.memory)));
        }
        if table > bounds.table as u64 {
            return Err(LoadError::TooBig(size_error::table(table, bounds.table)));
        }
        Ok(())
    }

    /// Reads it, and says what these bytes are, if not a component that this host runs. Returns where sections of names
    /// are that are too long.
    fn inspect(&mut self, bytes: &[u8]) -> Result<Vec<usize>, LoadError> {
        let (mut depth, mut imports) = (0_usize, 0_u64);
        let mut endless = Vec::new();
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(|error| {
                if error.message().contains("unexpected end") {
                    LoadError::Truncated
                } else {
                    LoadError::Invalid(text::line(&error.to_string()))
                }
            })?;
            if depth == 0
                && let Payload::Version { encoding, .. } = &payload
                && *encoding == Encoding::Module
            {
                return Err(LoadError::CoreModule);
            }
            if let Payload::ComponentTypeSection(types) = &payload {
                cost::check_types(&bytes[types.range()])?;
            }
            self.uses.read(&payload);
            match payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                    depth += 1;
                    // With the outermost one.
                    cost::check_depth(depth + 1)?;
                }
                Payload::ComponentImportSection(section) if depth == 0 => {
                    imports += u64::from(section.count());
                    cost::check_imports(imports)?;
                }
                Payload::CustomSection(section)
                    if section.name() == "name"
                        && has_endless_names(section.data(), section.data_offset()) =>
                {
                    endless.push(section.data_offset());
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::MemorySection(memories) => {
                    too_many("memories", memories.count(), MEMORIES_PER_MODULE)?;
                    for memory in memories.into_iter().flatten() {
                        let bytes = memory.initial.saturating_mul(PAGE);
                        self.sizes.memory = self.sizes.memory.max(bytes);
                    }
                }
                Payload::TableSection(tables) => {
                    too_many("tables", tables.count(), TABLES_PER_MODULE)?;
                    for table in tables.into_iter().flatten() {
                        self.sizes.table = self.sizes.table.max(table.ty.initial);
                    }
                }
                _ => {}
            }
        }
        Ok(endless)
    }
}

/// Loads native code.
///
/// # Safety
///
/// As for [`component::Component::deserialize`]: the code and what it needs must come from [`Unloaded::precompile`],
/// unchanged.
pub(crate) unsafe fn load_precompiled<S: 'static>(
    pool: &Pool,
    linker: &Linker<S>,
    header: Header,
    code: &[u8],
) -> Result<Linked<S>, LoadError> {
    match Engine::detect_precompiled(code) {
        Some(Precompiled::Component) => {}
        Some(Precompiled::Module) | None => return Err(LoadError::NotPrecompiled),
    }
    // SAFETY: the caller promises that the bytes come from `Unloaded::precompile`, unchanged.
    let component = unsafe { component::Component::deserialize(&pool.engine, code) }
        .map_err(|error| LoadError::Incompatible(text::line(&format!("{error:#}"))))?;
    Linked::new(
        &component,
        linker,
        pool.kind,
        header.needs,
        header.is_baseline,
    )
    .map_err(unlinkable)
}

/// Accepts binary components and turns text into them.
fn to_binary(bytes: &[u8], max_memory: u64) -> Result<Cow<'_, [u8]>, LoadError> {
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
    if header::is_precompiled(bytes) {
        return Err(LoadError::Precompiled);
    }
    if !parse::is_text(bytes) {
        return Err(LoadError::NotWasm);
    }
    parse::to_binary(bytes, max_memory).map(Cow::Owned)
}

/// The longest name of a function that is kept. Names are copied into every frame of a backtrace.
const MAX_FUNCTION_NAME: usize = 16 << 10;

/// Whether there are names that would make a trap expensive.
fn has_endless_names(bytes: &[u8], offset: usize) -> bool {
    let names = wasmparser::NameSectionReader::new(wasmparser::BinaryReader::new(bytes, offset));
    // A name section that cannot be read is no error: nobody will find names in it.
    names.into_iter().flatten().any(|section| match section {
        wasmparser::Name::Function(functions) => functions
            .into_iter()
            .flatten()
            .any(|naming| naming.name.len() > MAX_FUNCTION_NAME),
        _ => false,
    })
}

/// The same component without the names whose sections begin there: to be without names is better than not to run.
fn without_names<'a>(binary: Cow<'a, [u8]>, sections: &[usize]) -> Cow<'a, [u8]> {
    if sections.is_empty() {
        return binary;
    }
    let mut binary = binary.into_owned();
    for data in sections {
        // Right before what is in it, a section says what it is called. Nobody reads one that is called otherwise.
        if let Some(name) = binary.get_mut(data - 4..*data) {
            name.copy_from_slice(b"long");
        }
    }
    Cow::Owned(binary)
}

fn too_many(what: &str, count: u32, most: u32) -> Result<(), LoadError> {
    if count > most {
        return Err(LoadError::TooBig(size_error::count(what, count, most)));
    }
    Ok(())
}

/// Reads wasmtime's word on bytes that it refuses.
fn invalid(error: &wasmtime::Error) -> LoadError {
    let detail = text::line(&format!("{error:#}"));
    if let Some(text) = size_error::from_wasmtime(&detail) {
        LoadError::TooBig(text)
    } else if detail.contains("unexpected end") {
        LoadError::Truncated
    } else if detail.contains("async") && detail.contains("feature") {
        LoadError::Wasi03(detail)
    } else {
        LoadError::Invalid(detail)
    }
}

/// Reads wasmtime's word on imports that a linker does not have.
fn unlinkable(error: wasmtime::Error) -> LoadError {
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
        source: error,
    }
}

/// Reads the file of a component as [`Host::load_file`](crate::Host::load_file) does, and no more of it than a component may have.
///
/// # Errors
///
/// [`LoadError::Read`] if the file cannot be read, [`LoadError::TooLarge`] if it has too much in it.
pub fn read_component(path: impl AsRef<Path>) -> Result<Vec<u8>, LoadError> {
    use std::io::Read as _;

    let path = path.as_ref();

    let failed = |source| LoadError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(failed(std::io::Error::new(
            std::io::ErrorKind::IsADirectory,
            "it is a directory; name a component in it",
        )));
    }
    if metadata.len() > MAX_BYTES {
        return Err(LoadError::TooLarge {
            bytes: metadata.len(),
            limit: MAX_BYTES,
        });
    }
    // Reads one byte more than the file's length, so that a growing file is noticed.
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(metadata.len() as usize + 1)
        .map_err(|error| failed(std::io::Error::new(std::io::ErrorKind::OutOfMemory, error)))?;
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}
