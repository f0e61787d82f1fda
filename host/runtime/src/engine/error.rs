//! Why bytes are no component that a host runs, and why a call of one cannot be made.

use std::path::PathBuf;
use std::time::Duration;
use std::{error, fmt};

use crate::base::error::BuildError;

/// Why bytes are not a component that this host runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// The file could not be read.
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// More bytes than the host takes (256 MiB).
    TooLarge {
        /// How many there are.
        bytes: u64,
        /// How many there may be.
        limit: u64,
    },
    /// No bytes at all.
    Empty,
    /// Neither a component nor text.
    NotWasm,
    /// The bytes stop before the component does.
    Truncated,
    /// A core module, where none are [allowed](crate::Loader::core_modules).
    CoreModule,
    /// A core module of which no component can be made; the text says why, and what to do.
    UnusableModule(String),
    /// A component that needs another version of WASI 0.3 than the one that is there, or a part of
    /// component-model async that does not run here; the text names what it needs.
    Wasi03(String),
    /// A component that uses component-model async, for which this host cannot make an engine and a pool.
    Async(BuildError),
    /// Compiled code, which [`Host::load`](crate::Host::load) refuses.
    Precompiled,
    /// Bytes that ought to be compiled code and are not.
    NotPrecompiled,
    /// Compiled code from another version of wasmtime, for another machine or with other settings.
    Incompatible(String),
    /// Compiled code with another preemption mode than the host's.
    PreemptionMismatch {
        /// The mode of the host.
        host: &'static str,
    },
    /// Not valid; the text says what and where.
    Invalid(String),
    /// An import that nobody provides.
    MissingImport {
        /// Its name.
        name: String,
        /// What is the matter with it.
        detail: String,
        /// All that wasmtime said.
        source: wasmtime::Error,
    },
    /// The imports that were to be added for this component alone could not be.
    Imports(wasmtime::Error),
    /// Valid, but beyond what the pool of instances is made for.
    TooBig(String),
    /// It takes more memory or time to compile than is allowed; the text says what it has too much of, and what would
    /// do. Nothing of it was compiled.
    TooComplex(String),
    /// It was not loaded after so long, which is what [`Loader::timeout`](crate::Loader::timeout) allows.
    TimedOut(Duration),
    /// [`LoadCanceller::cancel`](crate::LoadCanceller::cancel) was called.
    Cancelled,
    /// Threads to compile it on could not be started.
    Thread(std::io::Error),
    /// The host is closed.
    Closed,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, source } => write!(f, "cannot read {}: {source}", crate::base::text::line(&path.display().to_string())),
            Self::TooLarge { bytes, limit } => write!(f, "too large: {bytes} bytes, and components may have {limit}"),
            Self::Empty => f.write_str("the file is empty; a WebAssembly component was expected"),
            Self::NotWasm => f.write_str("not WebAssembly: neither a binary component (.wasm) nor its text (.wat)"),
            Self::Truncated => f.write_str("truncated: the component ends in the middle; fetch or build it again"),
            Self::CoreModule => f.write_str(
                "a core module, not a component: build it for wasm32-wasip2, or convert it with `wasm-tools component new`",
            ),
            Self::UnusableModule(detail) => write!(f, "a core module that {detail}"),
            Self::Wasi03(what) => write!(f, "needs a part of WASI 0.3 or of component-model async that is not here ({what}): build it for WASI 0.3.0 or for WASI 0.2 (wasm32-wasip2)"),
            Self::Async(source) => write!(f, "uses component-model async, for which this host can make no pool: {source}"),
            Self::Precompiled => f.write_str(
                "compiled code (.cwasm), which is native code and not checked: load the .wasm, or allow precompiled files if you trust this one",
            ),
            Self::NotPrecompiled => f.write_str("not compiled code (.cwasm) of a component: compile the .wasm first"),
            Self::Incompatible(detail) => write!(f, "compiled for another version, machine or configuration ({detail}): compile it again"),
            Self::PreemptionMismatch { host } => write!(
                f,
                "compiled with another preemption mode than this host's, which is `{host}`: compile it again, or run it with the mode it was compiled for"
            ),
            Self::Invalid(detail) => write!(f, "not a valid component: {detail}"),
            Self::MissingImport { name, detail, .. } => write!(
                f,
                "imports `{name}`, which nobody provides ({detail}): provide it in the host, or compose the component with one that does"
            ),
            Self::Imports(source) => write!(f, "cannot add its imports: {}", crate::base::text::line(&format!("{source:#}"))),
            Self::TooBig(detail) => write!(f, "too big for the pool of instances: {detail}"),
            Self::TooComplex(detail) => write!(f, "too much to compile: {detail}"),
            Self::TimedOut(after) => write!(f, "not loaded after {after:?}: allow more time, or load it when the machine has more to spare"),
            Self::Cancelled => f.write_str("loading was cancelled"),
            Self::Thread(source) => write!(f, "cannot start threads to compile on: {source}"),
            Self::Closed => f.write_str("the host is closed"),
        }
    }
}

impl error::Error for LoadError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::Imports(source) | Self::MissingImport { source, .. } => source.source(),
            Self::Thread(source) => Some(source),
            Self::Async(source) => error::Error::source(source),
            _ => None,
        }
    }
}

/// Why a call written in WAVE, or a call of an export, cannot be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError {
    /// The text is not a call; the text of the error says where.
    Syntax(String),
    /// The component exports no such function.
    NoExport {
        /// What was asked for.
        name: String,
        /// The functions that it does export and that can be called.
        exports: Vec<String>,
    },
    /// The name means more than one function.
    Ambiguous {
        /// What was asked for.
        name: String,
        /// The full names of those that it means.
        exports: Vec<String>,
    },
    /// The arguments are not what the function takes.
    Arguments(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(detail) => {
                write!(f, "cannot read the call: {detail}; write it as f(1, \"x\")")
            }
            Self::NoExport { name, exports } if exports.is_empty() => {
                write!(
                    f,
                    "the component exports no function `{name}`, nor any other"
                )
            }
            Self::NoExport { name, exports } => {
                write!(
                    f,
                    "the component exports no function `{name}`; it exports {}",
                    exports.join(", ")
                )
            }
            Self::Ambiguous { name, exports } => write!(
                f,
                "`{name}` means more than one function; write one of {}",
                exports.join(", ")
            ),
            Self::Arguments(detail) => write!(f, "wrong arguments: {detail}"),
        }
    }
}

impl error::Error for CallError {}
