//! `-O`, `-C`, `-D`, `--profile`, and what of `-W` is about code: settings for wasmtime, under its own names.

mod code;
mod wasm;

use crate::failure::Failure;
use crate::keys::Applied;
use crate::output::to_stdout;
use crate::units::switch;
use clap::Args;
use hart_host::wasmtime::{Config, ProfilingStrategy};
use hart_host::{HostBuilder, PoolScan};
use std::sync::Arc;
pub(crate) use wasm::group as wasm_group;

/// What a profile can be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ProfileArg {
    /// For `perf`.
    PerfMap,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Code")]
pub(crate) struct TuningArgs {
    /// Optimization: `-O help` lists the keys
    #[arg(
        short = 'O',
        long = "optimize",
        value_name = "KEY[=VALUE]",
        allow_hyphen_values = true
    )]
    optimize: Vec<String>,

    /// How code is generated: `-C help` lists the keys
    #[arg(
        short = 'C',
        long = "codegen",
        value_name = "KEY[=VALUE]",
        allow_hyphen_values = true
    )]
    codegen: Vec<String>,

    /// Debug information, backtraces, symbols: `-D help` lists the keys
    #[arg(
        short = 'D',
        long = "debug",
        value_name = "KEY[=VALUE]",
        allow_hyphen_values = true
    )]
    debug: Vec<String>,

    /// Debug information for native debuggers; the same as -D debug-info
    #[arg(short = 'g')]
    debug_info: bool,

    /// Tell a profiler where guests' functions are; `perfmap`: in /tmp/perf-PID.map, for `perf`
    #[arg(long, value_name = "KIND", value_parser = profile)]
    profile: Option<ProfileArg>,
}

/// Kinds that hart refuses, and what to use instead.
pub(crate) const PROFILES: [(&str, &str); 5] = [
    (
        "guest",
        "hart samples no guests, which it interrupts only where others wait; use --profile perfmap with `perf record`, or --trace FILE",
    ),
    ("jitdump", "hart is built without it; use --profile perfmap"),
    ("vtune", "hart is built without it; use --profile perfmap"),
    ("fast", "the kind of pool is --pool fast"),
    ("dense", "the kind of pool is --pool dense"),
];

/// The kind of profile that `--profile` names.
fn profile(text: &str) -> Result<ProfileArg, String> {
    let kind = text.split(',').next().unwrap_or_default();
    let refused = PROFILES.iter().find(|(refused, _)| *refused == kind);
    match (kind, refused) {
        ("perfmap", _) => Ok(ProfileArg::PerfMap),
        (_, Some((_, instead))) => Err((*instead).to_owned()),
        _ => Err("write --profile perfmap".into()),
    }
}

/// A setting of wasmtime's.
type Setting = Arc<dyn Fn(&mut Config) + Send + Sync>;

/// What the keys set.
#[derive(Clone, Default)]
pub(crate) struct Tuning {
    settings: Vec<Setting>,
    pool_scan: Option<PoolScan>,
    wasm_stack: Option<usize>,
    /// That nothing is cached.
    no_cache: bool,
}

impl Tuning {
    /// What the arguments say; `None` where they asked for help, which has been printed.
    ///
    /// # Errors
    /// A key that makes no sense.
    pub(crate) fn new(args: &TuningArgs) -> Result<Option<Self>, Failure> {
        let mut tuning = Self::default();
        for (group, arguments) in [
            (code::optimize(), &args.optimize),
            (code::codegen(), &args.codegen),
            (code::debug(), &args.debug),
        ] {
            if let Applied::Help(text) = group.apply(&mut tuning, arguments)? {
                to_stdout(&text);
                return Ok(None);
            }
        }
        if args.debug_info {
            tuning.set(|config| {
                config.debug_info(true);
            });
        }
        if let Some(ProfileArg::PerfMap) = args.profile {
            tuning.set(|config| {
                config.profiler(ProfilingStrategy::PerfMap);
            });
        }
        Ok(Some(tuning))
    }

    /// These, and then those of `other`.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.settings.extend(other.settings);
        self.pool_scan = other.pool_scan.or(self.pool_scan);
        self.wasm_stack = other.wasm_stack.or(self.wasm_stack);
        self.no_cache |= other.no_cache;
        self
    }

    /// Code for every machine of a kind.
    ///
    /// # Errors
    /// A kind that is not this machine's: the compiler for others is not there.
    pub(crate) fn target(&mut self, triple: &str) -> Result<(), Failure> {
        let ours = env!("HART_TARGET");
        if triple != ours {
            return Err(Failure::usage(format!(
                "--target {triple}: hart compiles for the kind of machine that it runs on, {ours}; compile it there"
            )));
        }
        self.set(move |config| {
            // It is a target that wasmtime knows: it runs there.
            let _ = config.target(ours);
        });
        Ok(())
    }

    /// Whether nothing was said.
    pub(crate) fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.pool_scan.is_none() && self.wasm_stack.is_none()
    }

    /// Whether `-C cache=n` was said.
    pub(crate) fn has_no_cache(&self) -> bool {
        self.no_cache
    }

    /// A host with these settings.
    pub(crate) fn apply(self, mut builder: HostBuilder) -> HostBuilder {
        if let Some(scan) = self.pool_scan {
            builder = builder.pool_scan(scan);
        }
        if let Some(bytes) = self.wasm_stack {
            builder = builder.wasm_stack(bytes);
        }
        if self.settings.is_empty() {
            // With settings, the host tries whether they hold together.
            return builder;
        }
        builder.config(move |config| self.settings.iter().for_each(|set| set(config)))
    }

    fn set(&mut self, setting: impl Fn(&mut Config) + Send + Sync + 'static) {
        self.settings.push(Arc::new(setting));
    }

    /// A key that is a switch of wasmtime's.
    fn switch(
        &mut self,
        value: Option<&str>,
        set: fn(&mut Config, bool) -> &mut Config,
    ) -> Result<(), String> {
        let on = switch(value)?;
        self.set(move |config| {
            set(config, on);
        });
        Ok(())
    }
}

/// The groups but that of `-W`, for those who list them.
#[cfg(test)]
pub(crate) fn groups() -> [crate::keys::Group<Tuning>; 3] {
    [code::optimize(), code::codegen(), code::debug()]
}
