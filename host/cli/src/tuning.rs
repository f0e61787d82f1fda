//! `-O`, `-C`, `-D`, `--profile`, and what of `-W` is about code: settings for wasmtime, under its own names.

mod code;
mod settings;
mod wasm;

use crate::failure::Failure;
use crate::keys::Applied;
use crate::output::to_stdout;
use clap::{Args, ValueEnum};
use hart_host::Tier;
use hart_host::wasmtime::ProfilingStrategy;
pub(crate) use settings::Tuning;
use std::num::NonZeroUsize;
use std::path::PathBuf;
pub(crate) use wasm::group as wasm_group;

/// What a profile can be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ProfileArg {
    /// For `perf`.
    PerfMap,
    /// For Firefox's profiler, in this file.
    Guest(PathBuf),
}

/// Which code guests run.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum TierArg {
    /// Baseline code for large components, until optimized code is there
    Auto,
    /// Compiled in one pass
    Baseline,
    /// Compiled for speed
    Optimized,
}

impl From<TierArg> for Tier {
    fn from(tier: TierArg) -> Self {
        match tier {
            TierArg::Auto => Self::Auto,
            TierArg::Baseline => Self::Baseline,
            TierArg::Optimized => Self::Optimized,
        }
    }
}

/// The tier of this name, as `--tier` has them.
///
/// # Errors
/// Another name.
pub(crate) fn tier(name: &str) -> Result<Tier, String> {
    let names = TierArg::value_variants().iter();
    let tier = TierArg::from_str(name, false).map(Tier::from);
    tier.map_err(|_| {
        let names: Vec<_> = names
            .filter_map(|tier| Some(tier.to_possible_value()?.get_name().to_owned()))
            .collect();
        format!("`{name}` is no tier; use {}", names.join(", "))
    })
}

/// Where a profile of guests goes by default, as in wasmtime.
const PROFILE: &str = "wasmtime-guest-profile.json";

/// Frames that a stack has in a profile.
const PROFILE_FRAMES: Option<NonZeroUsize> = NonZeroUsize::new(128);

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

    /// Which code guests run: `baseline` is there sooner, `optimized` is faster; `auto` starts large components that are
    /// not in the cache on baseline code while they are optimized
    #[arg(long, value_name = "TIER")]
    tier: Option<TierArg>,

    /// Profile guests: `perfmap` tells `perf` where their functions are, in /tmp/perf-PID.map; `guest,FILE` writes a
    /// profile for profiler.firefox.com, sampled every --slice, by default to wasmtime-guest-profile.json
    #[arg(long, value_name = "KIND", value_parser = profile)]
    profile: Option<ProfileArg>,
}

/// Kinds that hart refuses, and what to use instead.
pub(crate) const PROFILES: [(&str, &str); 4] = [
    ("jitdump", "hart is built without it; use --profile perfmap"),
    ("vtune", "hart is built without it; use --profile perfmap"),
    ("fast", "the kind of pool is --pool fast"),
    ("dense", "the kind of pool is --pool dense"),
];

/// The kind of profile that `--profile` names.
fn profile(text: &str) -> Result<ProfileArg, String> {
    let parts: Vec<&str> = text.split(',').collect();
    let kind = parts[0];
    let refused = PROFILES.iter().find(|(refused, _)| *refused == kind);
    match (&parts[..], refused) {
        (["perfmap"], _) => Ok(ProfileArg::PerfMap),
        (["guest"], _) => Ok(ProfileArg::Guest(PROFILE.into())),
        (["guest", file], _) => Ok(ProfileArg::Guest(file.into())),
        (["guest", ..], _) => {
            Err("the interval is that of --slice; write --profile guest,FILE".into())
        }
        (_, Some((_, instead))) => Err((*instead).to_owned()),
        _ => Err("write --profile perfmap or --profile guest,FILE".into()),
    }
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
        if let Some(tier) = args.tier {
            tuning.tier = Some(tier.into());
        }
        match &args.profile {
            None => {}
            Some(ProfileArg::PerfMap) => tuning.set(|config| {
                config.profiler(ProfilingStrategy::PerfMap);
            }),
            Some(ProfileArg::Guest(file)) => {
                tuning.profile = Some(file.clone());
                tuning.set(|config| {
                    config.wasm_backtrace_max_frames(PROFILE_FRAMES);
                });
            }
        }
        Ok(Some(tuning))
    }
}

/// The groups but that of `-W`, for those who list them.
#[cfg(test)]
pub(crate) fn groups() -> [crate::keys::Group<Tuning>; 3] {
    [code::optimize(), code::codegen(), code::debug()]
}
