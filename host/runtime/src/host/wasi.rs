//! What a run's guests are granted of the system: written down once, made anew for every task.

use std::path::PathBuf;
use std::sync::Arc;

use wasmtime_wasi::filesystem::WasiFilesystemCtx;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

use super::bindings::Rights;
use super::stdio::{Output, Sink, Stdio};
use crate::account::Account;
use crate::{RunError, text};

/// What a guest may do in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirAccess {
    /// Read files and list directories.
    ReadOnly,
    /// Also create, change and delete.
    ReadWrite,
}

/// A hook of the embedder's for the context of every task.
pub(super) type Hook = Arc<dyn Fn(&mut WasiCtxBuilder) + Send + Sync>;

/// What the embedder granted, as it said it.
#[derive(Default)]
pub(super) struct Grants {
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) dirs: Vec<(PathBuf, String, DirAccess)>,
    pub(super) stdin: Stdio,
    pub(super) stdout: Stdio,
    pub(super) stderr: Stdio,
    pub(super) network: bool,
    pub(super) hook: Option<Hook>,
}

/// From which every task's context is made.
pub(super) struct Recipe {
    args: Vec<String>,
    env: Vec<(String, String)>,
    /// The directories, the hook's too, opened once.
    files: WasiFilesystemCtx,
    /// The same without the right to write.
    files_read_only: WasiFilesystemCtx,
    stdin: Stdio,
    stdout: Sink,
    stderr: Sink,
    network: bool,
    hook: Option<Hook>,
    /// File operations answer on this thread and not at a time of another's: for simulated machines.
    inline_files: bool,
}

fn perms(access: DirAccess) -> FsPerms {
    match access {
        DirAccess::ReadOnly => FsPerms::ReadOnly,
        DirAccess::ReadWrite => FsPerms::ReadWrite,
    }
}

fn sink(stdio: &Stdio, inherited: Sink, name: &str) -> Result<Sink, RunError> {
    match stdio {
        Stdio::Null => Ok(Sink::Null),
        Stdio::Inherit => Ok(inherited),
        Stdio::Capture => Ok(Sink::Capture(Arc::default())),
        Stdio::Bytes(_) => Err(RunError::Setup(format!(
            "{name} cannot be `Stdio::Bytes`, which is for standard input"
        ))),
    }
}

fn captured(sink: &Sink) -> Vec<u8> {
    match sink {
        Sink::Capture(kept) => std::mem::take(&mut *crate::sync::lock(kept)),
        Sink::Null | Sink::Stdout | Sink::Stderr => Vec::new(),
    }
}

impl Recipe {
    /// Checks what was granted and opens the directories.
    pub(super) fn new(grants: Grants, inline_files: bool) -> Result<Self, RunError> {
        let open = |read_only: bool| {
            // A context is made for its directories alone, which costs a random seed and a dozen allocations.
            if grants.dirs.is_empty() && grants.hook.is_none() && !inline_files {
                return Ok(WasiFilesystemCtx::default());
            }
            let mut builder = WasiCtxBuilder::new();
            builder.allow_blocking_current_thread(inline_files);
            for (host, guest, access) in &grants.dirs {
                let perms = if read_only {
                    FsPerms::ReadOnly
                } else {
                    perms(*access)
                };
                let shown = || text::line(&host.display().to_string());
                if !host.is_dir() {
                    return Err(RunError::Setup(format!(
                        "the directory {} does not exist or is no directory",
                        shown()
                    )));
                }
                builder.preopened_dir(host, guest, perms).map_err(|error| {
                    RunError::Setup(format!("cannot open the directory {}: {error:#}", shown()))
                })?;
            }
            if let Some(hook) = grants.hook.as_ref().filter(|_| !read_only) {
                hook(&mut builder);
            }
            Ok(builder.build().filesystem().clone())
        };
        if grants.stdin == Stdio::Capture {
            return Err(RunError::Setup(
                "standard input cannot be captured: it is for `Stdio::Bytes`".into(),
            ));
        }
        Ok(Self {
            files: open(false)?,
            files_read_only: open(true)?,
            stdout: sink(&grants.stdout, Sink::Stdout, "standard output")?,
            stderr: sink(&grants.stderr, Sink::Stderr, "standard error")?,
            args: grants.args,
            env: grants.env,
            stdin: grants.stdin,
            network: grants.network,
            hook: grants.hook,
            inline_files,
        })
    }

    /// What was written to captured streams.
    pub(super) fn captured(&self) -> (Vec<u8>, Vec<u8>) {
        (captured(&self.stdout), captured(&self.stderr))
    }

    /// Whether the embedder has a hook.
    pub(super) fn has_hook(&self) -> bool {
        self.hook.is_some()
    }

    /// The context of one task.
    pub(super) fn context(&self, account: &Arc<Account>, denied: Rights, root: bool) -> WasiCtx {
        let mut builder = self.builder(account, denied, root);
        let Some(hook) = &self.hook else {
            let mut context = builder.build();
            *context.filesystem() = self.files(denied);
            return context;
        };
        hook(&mut builder);
        let mut context = builder.build();
        self.narrow(&mut context, account, denied, root);
        context
    }

    /// Takes back what the hook may have granted and the task was denied, and the hook's directories as it
    /// has just opened them.
    fn narrow(&self, context: &mut WasiCtx, account: &Arc<Account>, denied: Rights, root: bool) {
        // Those that were opened when the run started: a path may lead elsewhere by now, and it may be a
        // guest that has seen to that.
        *context.filesystem() = self.files(denied);
        if denied.contains(Rights::NETWORK) {
            *context.sockets() = WasiCtx::default().sockets().clone();
        }
        if !root || denied.contains(Rights::ENVIRONMENT) || denied.contains(Rights::OUTPUT) {
            // Environment and streams live together: without the hook's, all of them.
            std::mem::swap(
                context.cli(),
                self.builder(account, denied, root).build().cli(),
            );
        }
    }

    fn files(&self, denied: Rights) -> WasiFilesystemCtx {
        if denied.contains(Rights::FILESYSTEM) {
            WasiFilesystemCtx::default()
        } else if denied.contains(Rights::FILESYSTEM_WRITE) {
            self.files_read_only.clone()
        } else {
            self.files.clone()
        }
    }

    fn builder(&self, account: &Arc<Account>, denied: Rights, root: bool) -> WasiCtxBuilder {
        let mut builder = WasiCtxBuilder::new();
        builder.allow_blocking_current_thread(self.inline_files);
        builder.args(&self.args);
        if !denied.contains(Rights::ENVIRONMENT) {
            builder.envs(&self.env);
        }
        if self.network && !denied.contains(Rights::NETWORK) {
            builder.inherit_network().allow_ip_name_lookup(true);
        }
        match &self.stdin {
            Stdio::Inherit if root => drop(builder.inherit_stdin()),
            Stdio::Bytes(bytes) if root => drop(builder.stdin(MemoryInputPipe::new(bytes.clone()))),
            _ => {}
        }
        if !denied.contains(Rights::OUTPUT) {
            builder.stdout(Output {
                sink: self.stdout.clone(),
                account: account.clone(),
            });
            builder.stderr(Output {
                sink: self.stderr.clone(),
                account: account.clone(),
            });
        }
        builder
    }
}
