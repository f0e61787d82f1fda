//! What compiling a component would take, told from its bytes before anything is compiled.
//!
//! The compiler stops for nobody in the middle of a function, and nothing counts its memory. So what would take too
//! much of either is refused before: each function by itself, and the component with all that is kept of its parts.

mod function;
mod module;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZero;
use std::sync::OnceLock;

use wasmparser::{Encoding, Parser, Payload};

use crate::engine::error::LoadError;
use function::{Function, Locals};
use module::Module;

/// How deep components and modules may be nested. What toolchains and composers make is less than ten deep.
pub(crate) const DEPTH: usize = 100;
/// Imports of the outermost component. Linking and compiling them is quadratic: so many take some two seconds.
const IMPORTS: u64 = 20_000;
/// Types that may be written in other types, in one section. Whoever reads them goes one call deeper for each, and no
/// further than the stack goes.
const NESTED_TYPES: usize = 500;
/// What one function may take, as a part of what all may.
const FUNCTION_SHARE: u64 = 4;
/// Nanoseconds that one function may take. Nothing stops the compiler within one of its passes.
const FUNCTION_TIME: u64 = 60_000_000_000;
/// Bytes that are kept for each byte of code, for each function, and for each byte of something else.
const KEPT_BY_CODE: u64 = 20;
const KEPT_BY_FUNCTION: u64 = 6_000;
const KEPT_BY_OTHER: u64 = 8;
/// The same for a byte of what a memory begins with, and for an element of what a table does: a few bytes of a component
/// may put one at either end, and compiled code has all of what is between them.
const KEPT_BY_IMAGE: u64 = 3;
const KEPT_BY_ELEMENT: u64 = 16;
/// Bytes for each thing that a component defines, as often as it is instantiated.
const STEP: u64 = 512;

/// What compiling a component would take.
#[derive(Default)]
pub(crate) struct Cost {
    /// Components and modules that have begun and not ended.
    open: Vec<Option<Module>>,
    modules: u64,
    functions: u64,
    locals: Locals,
    code: u64,
    /// Bytes that memories begin with, and elements that tables do.
    images: u64,
    elements: u64,
    /// Bytes that the largest functions take, least first.
    largest: BinaryHeap<Reverse<u64>>,
    /// The ones that take most time and most memory.
    slowest: Option<Worst>,
    fattest: Option<Worst>,
}

#[derive(Clone, Copy)]
struct Worst {
    function: Function,
    /// Which of all functions it is, and in which module.
    at: u64,
    module: u64,
}

impl Worst {
    fn describe(&self) -> String {
        format!(
            "function {} of all that it has (in module {}) has {}",
            self.at,
            self.module,
            self.function.describe()
        )
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    // Asked once: it reads files of the system.
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, NonZero::get))
}

/// Functions that are compiled at the same time, at most.
fn most_threads() -> usize {
    cores().min(64)
}

/// Refuses a section of types that nobody could read. To be called before that is done.
///
/// How deep they are is not known without reading them. But each that is within another one begins with the mark of a
/// declaration and that of a component's or an instance's type, and toolchains make few of those.
pub(crate) fn check_types(section: &[u8]) -> Result<(), LoadError> {
    let is_nested = |pair: &&[u8]| matches!(pair, [0x01, 0x41 | 0x42]);
    if section.windows(2).filter(is_nested).count() > NESTED_TYPES {
        return Err(LoadError::TooComplex(format!(
            "it has more than {NESTED_TYPES} types of components and instances within other types; no setting allows more"
        )));
    }
    Ok(())
}

/// Refuses a component that is nested too deep for those who read it one call deeper for each level.
pub(crate) fn check_depth(depth: usize) -> Result<(), LoadError> {
    if depth > DEPTH {
        return Err(LoadError::TooComplex(format!(
            "its components are nested more than {DEPTH} deep; no setting allows more"
        )));
    }
    Ok(())
}

/// Refuses a component with so many imports.
pub(crate) fn check_imports(imports: u64) -> Result<(), LoadError> {
    if imports > IMPORTS {
        return Err(LoadError::TooComplex(format!(
            "it has {imports} imports, and {IMPORTS} are the most; no setting allows more: import instances of many functions"
        )));
    }
    Ok(())
}

impl Cost {
    /// Reads all of a component, its code above all, which takes a second for some 200 MiB of it.
    pub(crate) fn of(bytes: &[u8]) -> Result<Self, LoadError> {
        let invalid = |error: wasmparser::BinaryReaderError| {
            LoadError::Invalid(crate::base::text::line(&error.to_string()))
        };
        let mut cost = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            payload
                .and_then(|payload| cost.read(&payload))
                .map_err(invalid)?;
        }
        Ok(cost)
    }

    fn read(&mut self, payload: &Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::Version { encoding, .. } => {
                let is_module = *encoding == Encoding::Module;
                self.modules += u64::from(is_module);
                self.open.push(is_module.then(Module::default));
            }
            Payload::End(_) => {
                if let Some(Some(module)) = self.open.pop() {
                    let (bytes, elements) = module.images();
                    self.images = self.images.saturating_add(bytes);
                    self.elements = self.elements.saturating_add(elements);
                }
            }
            Payload::CodeSectionEntry(body) => {
                if let Some(Some(module)) = self.open.last_mut() {
                    let ty = module.next_function();
                    let function = Function::read(module, &mut self.locals, ty, body)?;
                    self.add(&function, body.range().len() as u64);
                }
            }
            payload => {
                if let Some(Some(module)) = self.open.last_mut() {
                    module.read(payload)?;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, function: &Function, length: u64) {
        let (bytes, nanoseconds) = (function.bytes(), function.nanoseconds());
        self.code += length;
        let at = self.functions;
        self.functions += 1;
        self.largest.push(Reverse(bytes));
        if self.largest.len() > most_threads() {
            self.largest.pop();
        }
        let worst = Worst {
            function: *function,
            at,
            module: self.modules,
        };
        let is_below = |other: Option<Worst>, of: fn(&Function) -> u64, than: u64| {
            other.is_none_or(|other| of(&other.function) < than)
        };
        if is_below(self.slowest, Function::nanoseconds, nanoseconds) {
            self.slowest = Some(worst);
        }
        if is_below(self.fattest, Function::bytes, bytes) {
            self.fattest = Some(worst);
        }
    }

    /// Bytes of code.
    pub(crate) fn code(&self) -> u64 {
        self.code
    }

    /// On how many threads it may be compiled so that this takes no more than so many bytes. `total` is how long the
    /// component is, `steps` how much of it there is where all that is instantiated is counted as often.
    ///
    /// # Errors
    ///
    /// If it takes more on a single one.
    pub(crate) fn threads(
        &self,
        total: u64,
        steps: u64,
        max_memory: u64,
    ) -> Result<usize, LoadError> {
        if let Some(worst) = &self.slowest
            && worst.function.nanoseconds() > FUNCTION_TIME
        {
            return Err(LoadError::TooComplex(format!(
                "{}, which takes minutes to compile; no setting allows more: split it",
                worst.describe()
            )));
        }
        let most = max_memory / FUNCTION_SHARE;
        if let Some(worst) = &self.fattest
            && worst.function.bytes() > most
        {
            return Err(LoadError::TooComplex(format!(
                "{}, which takes about {} of memory to compile, and {} are the most, a quarter of what loading may take (`max_memory`): raise that, or split the function",
                worst.describe(),
                mebibytes(worst.function.bytes()),
                mebibytes(most)
            )));
        }
        let parts = [
            (self.code, KEPT_BY_CODE),
            (self.functions, KEPT_BY_FUNCTION),
            (total.saturating_sub(self.code), KEPT_BY_OTHER),
            (steps, STEP),
            (self.images, KEPT_BY_IMAGE),
            (self.elements, KEPT_BY_ELEMENT),
        ];
        let kept = parts.iter().fold(0_u64, |sum, (count, each)| {
            sum.saturating_add(count.saturating_mul(*each))
        });
        let mut largest: Vec<u64> = self.largest.iter().map(|bytes| bytes.0).collect();
        largest.sort_unstable_by_key(|bytes| Reverse(*bytes));
        let mut needs = kept.saturating_add(largest.first().copied().unwrap_or(0));
        if needs > max_memory {
            return Err(LoadError::TooComplex(format!(
                "compiling it takes about {} of memory, and {} are the most that loading may take (`max_memory`): raise that, or split it; it has {} functions with {} of code, {steps} parts of components, counted as often as they are instantiated, and memories and tables that begin with {} and {} elements",
                mebibytes(needs),
                mebibytes(max_memory),
                self.functions,
                mebibytes(self.code),
                mebibytes(self.images),
                self.elements,
            )));
        }
        let mut threads = 1;
        for bytes in largest.iter().skip(1) {
            needs = needs.saturating_add(*bytes);
            if needs > max_memory {
                return Ok(threads);
            }
            threads += 1;
        }
        Ok(threads)
    }
}
