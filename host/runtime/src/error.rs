//! Errors: one small enum per thing that can fail, each a clear line with its source chained.

use std::path::PathBuf;
use std::{error, fmt};

use crate::LimitReached;

/// Why a [`Host`](crate::Host) or [`Runtime`](crate::Runtime) could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting makes no sense; the text names it and what would.
    Setting(String),
    /// wasmtime refused the configuration.
    Engine(wasmtime::Error),
    /// The embedder's own imports could not be added to the linker.
    Imports(wasmtime::Error),
    /// A thread or the tokio runtime could not be started.
    Thread(std::io::Error),
    /// The engine is not set up for the preemption it was to be attached with.
    Attach(String),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(text) | Self::Attach(text) => f.write_str(text),
            Self::Engine(source) => write!(
                f,
                "cannot set up wasmtime: {}",
                crate::text::line(&format!("{source:#}"))
            ),
            Self::Imports(source) => write!(
                f,
                "cannot add the host's own imports: {}",
                crate::text::line(&format!("{source:#}"))
            ),
            Self::Thread(source) => write!(f, "cannot start a thread: {source}"),
        }
    }
}

impl error::Error for BuildError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Engine(source) | Self::Imports(source) => source.source(),
            Self::Thread(source) => Some(source),
            Self::Setting(_) | Self::Attach(_) => None,
        }
    }
}

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
    /// A core module.
    CoreModule,
    /// A component that needs another version of WASI 0.3 than the one that is there, or a part of
    /// component-model async that does not run here; the text names what it needs.
    Wasi03(String),
    /// A component that uses component-model async, for which this host cannot make an engine and a pool.
    Async(BuildError),
    /// The host [grows](crate::HostBuilder::grows), and the pool that the component needs cannot be made.
    Pool(BuildError),
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
    },
    /// The imports that were to be added for this component alone could not be.
    Imports(wasmtime::Error),
    /// Valid, but beyond what the pool of instances is made for.
    TooBig(String),
    /// The host is closed.
    Closed,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, source } => write!(f, "cannot read {}: {source}", crate::text::line(&path.display().to_string())),
            Self::TooLarge { bytes, limit } => write!(f, "too large: {bytes} bytes, and components may have {limit}"),
            Self::Empty => f.write_str("the file is empty; a WebAssembly component was expected"),
            Self::NotWasm => f.write_str("not WebAssembly: neither a binary component (.wasm) nor its text (.wat)"),
            Self::Truncated => f.write_str("truncated: the component ends in the middle; fetch or build it again"),
            Self::CoreModule => f.write_str(
                "a core module, not a component: build it for wasm32-wasip2, or convert it with `wasm-tools component new`",
            ),
            Self::Wasi03(what) => write!(f, "needs a part of WASI 0.3 or of component-model async that is not here ({what}): build it for WASI 0.3.0 or for WASI 0.2 (wasm32-wasip2)"),
            Self::Async(source) => write!(f, "uses component-model async, for which this host can make no pool: {source}"),
            Self::Pool(source) => write!(f, "needs all instances of the pool, which cannot be made: {source}"),
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
            Self::MissingImport { name, detail } => write!(
                f,
                "imports `{name}`, which nobody provides ({detail}): provide it in the host, or compose the component with one that does"
            ),
            Self::Imports(source) => write!(f, "cannot add its imports: {}", crate::text::line(&format!("{source:#}"))),
            Self::TooBig(detail) => write!(f, "too big for the pool of instances: {detail}"),
            Self::Closed => f.write_str("the host is closed"),
        }
    }
}

impl error::Error for LoadError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::Imports(source) => source.source(),
            Self::Async(source) | Self::Pool(source) => error::Error::source(source),
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
        /// The functions that it does export.
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
            Self::Arguments(detail) => write!(f, "wrong arguments: {detail}"),
        }
    }
}

impl error::Error for CallError {}

/// Why a run has no outcome.
#[non_exhaustive]
pub enum RunError {
    /// The run could not start: a directory that is not there, a component without the export that
    /// was to be called, arguments that do not fit.
    Setup(String),
    /// The guest could not be instantiated.
    Instantiate(wasmtime::Error),
    /// The root trapped.
    Trapped {
        /// The trap, in one line.
        trap: String,
        /// The wasm backtrace, a frame per line, without control characters. Empty where there is none.
        backtrace: String,
        /// What wasmtime said.
        source: Option<wasmtime::Error>,
    },
    /// [`Run::cancel`](crate::Run::cancel) ended it.
    Cancelled,
    /// The host was closed.
    Closed,
    /// It used all its fuel.
    OutOfFuel(LimitReached),
    /// It asked for more memory than it may use.
    OutOfMemory(LimitReached),
    /// It ran into a limit of time.
    TimedOut(LimitReached),
    /// It reached some other limit.
    Limit(LimitReached),
    /// Something else, such as a host function that panicked.
    Other(String),
}

impl RunError {
    /// The exit code a command line gives it: 134 for a trap, 124 for a limit of time, 130 when
    /// cancelled, 2 when it never started, and 1 for everything else.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Trapped { .. } => 134,
            Self::TimedOut(_) => 124,
            Self::Cancelled => 130,
            Self::Setup(_) => 2,
            _ => 1,
        }
    }

    /// The limit that was reached, if that is what happened.
    pub fn limit(&self) -> Option<LimitReached> {
        match self {
            Self::OutOfFuel(limit)
            | Self::OutOfMemory(limit)
            | Self::TimedOut(limit)
            | Self::Limit(limit) => Some(*limit),
            _ => None,
        }
    }
}

/// What [`Display`](fmt::Display) says, with the variant's name, and the backtrace after a trap: a `main` that
/// returns the error shows this, so nothing of a guest's may be in it as it came.
impl fmt::Debug for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variant = match self {
            Self::Setup(_) => "Setup",
            Self::Instantiate(_) => "Instantiate",
            Self::Trapped { .. } => "Trapped",
            Self::Cancelled => "Cancelled",
            Self::Closed => "Closed",
            Self::OutOfFuel(_) => "OutOfFuel",
            Self::OutOfMemory(_) => "OutOfMemory",
            Self::TimedOut(_) => "TimedOut",
            Self::Limit(_) => "Limit",
            Self::Other(_) => "Other",
        };
        write!(f, "{variant}: {self}")?;
        match self {
            Self::Trapped { backtrace, .. } if !backtrace.is_empty() => write!(f, "\n{backtrace}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup(detail) | Self::Other(detail) => f.write_str(detail),
            Self::Instantiate(source) => write!(
                f,
                "cannot instantiate: {}",
                crate::text::line(&format!("{source:#}"))
            ),
            Self::Trapped { trap, .. } => write!(f, "trapped: {trap}"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Closed => f.write_str("the host was closed"),
            Self::OutOfFuel(limit) => write!(f, "out of fuel: {limit}"),
            Self::OutOfMemory(limit) => write!(f, "out of memory: {limit}"),
            Self::TimedOut(limit) => write!(f, "out of time: {limit}"),
            Self::Limit(limit) => write!(f, "{limit}"),
        }
    }
}

impl error::Error for RunError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Instantiate(source) => source.source(),
            Self::Trapped { source, .. } => source.as_ref()?.source(),
            Self::OutOfFuel(limit)
            | Self::OutOfMemory(limit)
            | Self::TimedOut(limit)
            | Self::Limit(limit) => Some(limit),
            _ => None,
        }
    }
}
