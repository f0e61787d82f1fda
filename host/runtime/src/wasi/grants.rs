//! What a run's guests are granted of the system: written down once, made anew for every task.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime_wasi::filesystem::WasiFilesystemCtx;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};
use wasmtime_wasi_config::WasiConfigVariables;

use crate::base::span::Followed;
use crate::base::text;
use crate::quota::account::Account;
use crate::quota::account::payer::Payer;
use crate::sched::clock::Clock;
use crate::sched::core::Core;
use crate::sched::io_threads::IoThreads;
use crate::wasi::http::allowed::AllowedHost;
use crate::wasi::http::outgoing::{Outgoing, Sender};
use crate::wasi::numbering::{self, Known, Numbering};
use crate::wasi::rights::Rights;
use crate::wasi::stdio::{Output, Sink, Stdio};

/// What a guest may do in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirAccess {
    /// Read files and list directories.
    ReadOnly,
    /// Also create, change and delete.
    ReadWrite,
}

/// A hook of the embedder's for the context of every task.
pub(crate) type Hook = Arc<dyn Fn(&mut WasiCtxBuilder) + Send + Sync>;

/// What the embedder granted, as it said it.
#[derive(Default)]
pub(crate) struct Grants {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) dirs: Vec<(PathBuf, String, DirAccess)>,
    pub(crate) stdin: Stdio,
    pub(crate) stdout: Stdio,
    pub(crate) stderr: Stdio,
    /// Those of tasks that guests spawn, where they are not the root's.
    pub(crate) child_stdout: Option<Stdio>,
    pub(crate) child_stderr: Option<Stdio>,
    /// What a task writes is handed on in whole lines.
    pub(crate) whole_lines: bool,
    pub(crate) network: bool,
    pub(crate) http: Vec<AllowedHost>,
    pub(crate) hook: Option<Hook>,
    pub(crate) config: Vec<(String, String)>,
    /// Whether there is a store, and what it begins with.
    pub(crate) has_keyvalue: bool,
    pub(crate) keyvalue: Vec<(String, Vec<u8>)>,
    /// Where instances have numbers.
    pub(crate) numbering: Option<Numbering>,
}

impl Grants {
    /// Sets an environment variable. Guests are given a list, in which the first entry of a name wins for most of
    /// them, so there is one entry for each name.
    pub(crate) fn set_env(&mut self, key: String, value: String) {
        match self.env.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = value,
            None => self.env.push((key, value)),
        }
    }

    /// What of this machine is granted, each with the right by which it is denied.
    fn ties(&self) -> Vec<(&'static str, Rights)> {
        // Nobody knows what a hook grants.
        let hook = self.hook.is_some();
        let each = [
            (
                !self.dirs.is_empty() || hook,
                "directories",
                Rights::FILESYSTEM,
            ),
            (
                self.has_keyvalue,
                "a store of `wasi:keyvalue`",
                Rights::FILESYSTEM,
            ),
            (self.network || hook, "the network", Rights::NETWORK),
            (
                !self.http.is_empty(),
                "leave to send requests",
                Rights::NETWORK,
            ),
            (
                !self.env.is_empty() || hook,
                "environment variables",
                Rights::ENVIRONMENT,
            ),
            (
                !self.config.is_empty(),
                "a configuration",
                Rights::ENVIRONMENT,
            ),
        ];
        let granted = each.into_iter().filter(|(is_granted, ..)| *is_granted);
        granted.map(|(_, what, right)| (what, right)).collect()
    }
}

/// From which every task's context is made.
pub(crate) struct Recipe {
    args: Vec<String>,
    env: Vec<(String, String)>,
    /// The directories, the hook's too, opened once.
    files: WasiFilesystemCtx,
    /// The same without the right to write.
    files_read_only: WasiFilesystemCtx,
    stdin: Stdio,
    stdout: Sink,
    stderr: Sink,
    child_stdout: Option<Sink>,
    child_stderr: Option<Sink>,
    whole_lines: bool,
    network: bool,
    http: Arc<[AllowedHost]>,
    hook: Option<Hook>,
    config: WasiConfigVariables,
    /// For tasks that are denied it.
    no_config: WasiConfigVariables,
    /// What a store begins with, where there is one.
    keyvalue: Option<Vec<(String, Vec<u8>)>>,
    numbering: Option<Numbering>,
    /// File operations answer on this thread and not at a time of another's: for simulated machines.
    inline_files: bool,
    /// What of this machine was granted, each with the right by which it is denied.
    ties: Vec<(&'static str, Rights)>,
}

fn perms(access: DirAccess) -> FsPerms {
    match access {
        DirAccess::ReadOnly => FsPerms::ReadOnly,
        DirAccess::ReadWrite => FsPerms::ReadWrite,
    }
}

fn sink(
    stdio: &Stdio,
    inherited: impl FnOnce() -> Sink,
    core: &Arc<Core>,
    name: &str,
) -> Result<Sink, String> {
    let is_input = |kind| {
        Err(format!(
            "{name} cannot be `Stdio::{kind}`, which is for standard input"
        ))
    };
    match stdio {
        Stdio::Null => Ok(Sink::Null),
        Stdio::Inherit => Ok(inherited()),
        Stdio::Capture => Ok(Sink::Capture(Arc::default())),
        Stdio::Writer(writer) => Ok(Sink::writer(writer, core)),
        Stdio::Bytes(_) => is_input("Bytes"),
        Stdio::Reader(_) => is_input("Reader"),
    }
}

/// What was written to captured streams.
#[derive(Default)]
pub(crate) struct Captured {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) child_stdout: Vec<u8>,
    pub(crate) child_stderr: Vec<u8>,
}

fn captured(sink: &Sink) -> Vec<u8> {
    match sink {
        Sink::Capture(kept) => std::mem::take(&mut *crate::base::sync::lock(kept)),
        Sink::Null | Sink::Queued(_) | Sink::Direct(_) => Vec::new(),
    }
}

impl Recipe {
    /// Checks what was granted and opens the directories. Where `code_in` finds compiled code in one, nobody may write
    /// there: it is run as it is.
    pub(crate) fn new<'a>(
        grants: Grants,
        core: &Arc<Core>,
        code_in: impl Fn(&Path) -> Option<&'a Path>,
    ) -> Result<Self, String> {
        let inline_files = core.machine.is_some();
        let ties = grants.ties();
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
                    return Err(format!(
                        "the directory {} does not exist or is no directory",
                        shown()
                    ));
                }
                if *access == DirAccess::ReadWrite
                    && let Some(cache) = code_in(host)
                {
                    return Err(format!(
                        "the directory {} is where the cache of compiled code is kept ({}), which is run as it is: grant it for reading only, grant another directory, or keep the cache elsewhere",
                        shown(),
                        text::line(&cache.display().to_string())
                    ));
                }
                builder
                    .preopened_dir(host, guest, perms)
                    .map_err(|error| format!("cannot open the directory {}: {error:#}", shown()))?;
            }
            if let Some(hook) = grants.hook.as_ref().filter(|_| !read_only) {
                hook(&mut builder);
            }
            Ok(builder.build().filesystem().clone())
        };
        if matches!(grants.stdin, Stdio::Capture | Stdio::Writer(_)) {
            return Err(
                "standard input cannot be captured or written: it is for `Stdio::Bytes` and `Stdio::reader`"
                    .into(),
            );
        }
        let stdout = |stdio: &Stdio| {
            sink(
                stdio,
                || Sink::stdout(inline_files),
                core,
                "standard output",
            )
        };
        let stderr =
            |stdio: &Stdio| sink(stdio, || Sink::stderr(inline_files), core, "standard error");
        Ok(Self {
            files: open(false)?,
            files_read_only: open(true)?,
            stdout: stdout(&grants.stdout)?,
            stderr: stderr(&grants.stderr)?,
            child_stdout: grants.child_stdout.as_ref().map(stdout).transpose()?,
            child_stderr: grants.child_stderr.as_ref().map(stderr).transpose()?,
            whole_lines: grants.whole_lines,
            args: grants.args,
            env: grants.env,
            stdin: grants.stdin,
            network: grants.network,
            http: grants.http.into(),
            hook: grants.hook,
            config: grants.config.into_iter().collect(),
            no_config: WasiConfigVariables::new(),
            keyvalue: grants.has_keyvalue.then_some(grants.keyvalue),
            numbering: grants.numbering,
            inline_files,
            ties,
        })
    }

    /// Something of this machine that a task has if it was denied this, and the right to deny it.
    pub(crate) fn tie(&self, denied: Rights) -> Option<(&'static str, Rights)> {
        let mut ties = self.ties.iter().copied();
        ties.find(|(_, right)| !denied.contains(*right))
    }

    /// What was written to captured streams.
    pub(crate) fn captured(&self) -> Captured {
        let child = |sink: &Option<Sink>| sink.as_ref().map(captured).unwrap_or_default();
        Captured {
            stdout: captured(&self.stdout),
            stderr: captured(&self.stderr),
            child_stdout: child(&self.child_stdout),
            child_stderr: child(&self.child_stderr),
        }
    }

    /// All output streams, each once.
    fn outputs(&self) -> impl Iterator<Item = &Sink> {
        let children = self.child_stdout.iter().chain(&self.child_stderr);
        [&self.stdout, &self.stderr].into_iter().chain(children)
    }

    /// Standard output and standard error of the root or of another task.
    fn outputs_of(&self, root: bool) -> (&Sink, &Sink) {
        let child = |own| Option::<&Sink>::filter(own, |_| !root);
        (
            child(self.child_stdout.as_ref()).unwrap_or(&self.stdout),
            child(self.child_stderr.as_ref()).unwrap_or(&self.stderr),
        )
    }

    /// Waits until what was written so far has got where it goes.
    pub(crate) async fn drained(&self) {
        for sink in self.outputs() {
            sink.drained().await;
        }
    }

    /// The run is gone.
    pub(crate) fn leave_streams(&self) {
        self.outputs().for_each(Sink::leave);
    }

    /// Whether the embedder has a hook.
    pub(crate) fn has_hook(&self) -> bool {
        self.hook.is_some()
    }

    /// The configuration that a task sees.
    pub(crate) fn config(&self, denied: Rights) -> &WasiConfigVariables {
        match denied.contains(Rights::ENVIRONMENT) {
            true => &self.no_config,
            false => &self.config,
        }
    }

    /// What the run's store begins with, if it has one.
    pub(crate) fn keyvalue(&self) -> Option<&[(String, Vec<u8>)]> {
        self.keyvalue.as_deref()
    }

    /// The number of a new instance, where they have numbers.
    pub(crate) fn number(&self) -> Option<u64> {
        self.numbering.as_ref().map(Numbering::next)
    }

    /// What the instance with this number is known by, or another one with a task of its own.
    pub(crate) fn known(&self, number: Option<u64>, payer: &Arc<Payer>, root: bool) -> Known {
        let outputs = self.outputs_of(root);
        let lines = self.whole_lines;
        match self.numbering.as_ref().zip(number) {
            Some((numbering, number)) => numbering.known(number, outputs, payer, lines),
            None => Known::without_number(outputs, payer, lines),
        }
    }

    /// The context of one task, in the instance that is `known` so.
    pub(crate) fn context(
        &self,
        payer: &Arc<Payer>,
        denied: Rights,
        root: bool,
        known: &Known,
    ) -> WasiCtx {
        let mut builder = self.builder(payer, denied, root, known);
        let Some(hook) = &self.hook else {
            let mut context = builder.build();
            *context.filesystem() = self.files(denied);
            return context;
        };
        hook(&mut builder);
        let mut context = builder.build();
        self.narrow(&mut context, payer, denied, root, known);
        context
    }

    /// How one task of the run with this number sends HTTP requests.
    pub(crate) fn outgoing(
        &self,
        run: u64,
        account: &Arc<Account>,
        names: &Arc<IoThreads>,
        clock: &Arc<Clock>,
        denied: Rights,
        span: Option<&Followed>,
    ) -> Outgoing {
        // On a simulated machine there is no network.
        let may_send =
            !self.http.is_empty() && !self.inline_files && !denied.contains(Rights::NETWORK);
        Outgoing::new(may_send.then(|| Sender {
            allowed: self.http.clone(),
            run,
            account: account.clone(),
            names: names.clone(),
            clock: clock.clone(),
            span: span.cloned(),
        }))
    }

    /// Takes back what the hook may have granted and the task was denied, and the hook's directories as it
    /// has just opened them.
    fn narrow(
        &self,
        context: &mut WasiCtx,
        payer: &Arc<Payer>,
        denied: Rights,
        root: bool,
        known: &Known,
    ) {
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
                self.builder(payer, denied, root, known).build().cli(),
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

    fn builder(
        &self,
        payer: &Arc<Payer>,
        denied: Rights,
        root: bool,
        known: &Known,
    ) -> WasiCtxBuilder {
        let mut builder = WasiCtxBuilder::new();
        builder.allow_blocking_current_thread(self.inline_files);
        builder.max_random_size(payer.account().limits.random_bytes_or_default());
        builder.args(&self.args);
        if !denied.contains(Rights::ENVIRONMENT) {
            builder.envs(&self.env);
            if let Some(number) = known.number
                && !self.env.iter().any(|(name, _)| name == numbering::VARIABLE)
            {
                builder.env(numbering::VARIABLE, number.to_string());
            }
        }
        if self.network && !denied.contains(Rights::NETWORK) {
            // wasmtime-wasi's own `inherit_network` is about addresses alone.
            builder
                .inherit_network()
                .allow_tcp(true)
                .allow_udp(true)
                .allow_ip_name_lookup(true);
        }
        match &self.stdin {
            Stdio::Inherit if root => drop(builder.inherit_stdin()),
            Stdio::Bytes(bytes) if root => drop(builder.stdin(MemoryInputPipe::new(bytes.clone()))),
            Stdio::Reader(reader) if root => drop(builder.stdin(reader.clone())),
            _ => {}
        }
        if !denied.contains(Rights::OUTPUT) {
            let (stdout, stderr) = self.outputs_of(root);
            builder.stdout(Output::new(stdout, payer, known.stdout.as_ref()));
            builder.stderr(Output::new(stderr, payer, known.stderr.as_ref()));
        }
        builder
    }
}
