//! Why a runtime or a host cannot be made.

use std::{error, fmt};

/// Why a [`Host`](crate::Host) or [`Runtime`](crate::Runtime) could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting makes no sense; the text names it and what would.
    Setting(String),
    /// wasmtime refused the configuration.
    Engine(wasmtime::Error),
    /// What [`HostBuilder::config`](crate::HostBuilder::config) sets and what hart sets cannot both hold.
    Config(wasmtime::Error),
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
                crate::base::text::line(&format!("{source:#}"))
            ),
            Self::Config(source) => write!(
                f,
                "the embedder's own settings of wasmtime and hart's cannot both hold: {}",
                crate::base::text::line(&format!("{source:#}"))
            ),
            Self::Imports(source) => write!(
                f,
                "cannot add the host's own imports: {}",
                crate::base::text::line(&format!("{source:#}"))
            ),
            Self::Thread(source) => write!(f, "cannot start a thread: {source}"),
        }
    }
}

impl error::Error for BuildError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Engine(source) | Self::Config(source) | Self::Imports(source) => source.source(),
            Self::Thread(source) => Some(source),
            Self::Setting(_) | Self::Attach(_) => None,
        }
    }
}
