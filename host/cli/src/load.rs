//! Files into components, and what is said about files that are none.

use crate::failure::Failure;
use crate::output::to_stderr;
use hart_host::{Component, Host, LoadError, Tier};
use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Reads the file of a component. Once: it may be a pipe.
///
/// # Errors
/// A file that cannot be read, or has too much in it.
pub(crate) fn read_file(path: &Path, allow_precompiled: bool) -> Result<Vec<u8>, Failure> {
    if allow_precompiled && let Ok(bytes) = std::fs::read(path) {
        // Native code may be longer than a component.
        return Ok(bytes);
    }
    hart_host::read_component(path).map_err(|error| explain(&error).at(path))
}

/// How a component is loaded.
#[derive(Clone, Copy)]
pub(crate) struct How {
    /// Whether it may be native code.
    pub(crate) allow_precompiled: bool,
    /// Whether what is compiled is cached.
    pub(crate) is_kept: bool,
    /// Whether whatever else the host does goes first.
    pub(crate) background: bool,
    /// Which code it runs, if that is not the host's choice.
    pub(crate) tier: Option<Tier>,
}

/// Loads a component: `.wasm`, `.wat`, or, where that is allowed, `.cwasm`. `path` is where `bytes` were read.
///
/// # Errors
/// Whatever keeps the file from being a component that this host runs.
pub(crate) fn load(host: &Host, path: &Path, bytes: &[u8], how: How) -> Result<Component, Failure> {
    let loaded = if how.allow_precompiled && Host::is_precompiled(bytes) {
        // SAFETY: nothing can check native code. The user vouches for this file with
        // `--allow-precompiled`, whose help says what that means.
        unsafe { host.load_precompiled(bytes) }
    } else {
        let _progress = Progress::start(path, how.is_kept);
        let mut loader = host.loader().core_modules(true).background(how.background);
        if let Some(tier) = how.tier {
            loader = loader.tier(tier);
        }
        loader.load(bytes)
    };
    loaded.map_err(|error| explain(&error).at(path))
}

/// Says on a terminal that a component is being compiled, once that has taken long enough to wonder.
struct Progress {
    /// Dropped first, which wakes the thread.
    done: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Progress {
    /// Compiling a program of a few hundred kilobytes takes less.
    const PATIENCE: Duration = Duration::from_secs(1);

    fn start(path: &Path, is_kept: bool) -> Self {
        let (done, is_done) = mpsc::channel();
        let shown = std::io::stderr().is_terminal();
        let path = path.display().to_string();
        let wait = move || {
            if is_done.recv_timeout(Self::PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                let next = if is_kept {
                    "; the next start is instant"
                } else {
                    ""
                };
                to_stderr(&format!("hart: compiling {path}{next} ..\n"));
            }
        };
        // Where there is no thread for it, nothing is said.
        let thread = shown.then(|| thread::Builder::new().spawn(wait).ok());
        Self {
            done: Some(done),
            thread: thread.flatten(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.done = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to panic about, and nothing depends on it.
            let _ = thread.join();
        }
    }
}

/// The same as the host crate's own texts, except that they name options of this program.
pub(crate) fn explain(error: &LoadError) -> Failure {
    match error {
        LoadError::Read { source, .. } => Failure::usage(read(source)),
        LoadError::Precompiled => Failure::usage(
            "native code, which hart cannot check; run the .wasm instead, or add --allow-precompiled if \
             you compiled it yourself",
        ),
        LoadError::PreemptionMismatch { host } => Failure::usage(format!(
            "compiled for another mode than --preempt {host}; use the --preempt that it was compiled \
             for, or compile it again with `hart compile --preempt {host}`"
        )),
        LoadError::Incompatible(detail) => Failure::usage(format!(
            "compiled by another version of hart, for another machine or with other options \
             than these, such as --pool ({detail}); compile it again with `hart compile`"
        )),
        LoadError::MissingImport { name, detail, .. } => Failure::usage(format!(
            "imports `{name}`, which hart does not provide ({detail}); compose it with a component \
             that does, with `wac plug`; if that component spawns tasks, use `wac compose` and export its \
             `hart:exec/entry` under another name"
        )),
        other => Failure::usage(other),
    }
}

/// Why a file cannot be read, and what to do.
pub(crate) fn read(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => String::from("no such file; check the path"),
        ErrorKind::IsADirectory => {
            String::from("a directory; give the component's file in it instead")
        }
        ErrorKind::PermissionDenied => {
            String::from("permission denied; make it readable for yourself")
        }
        _ => format!("cannot be read: {error}"),
    }
}
