//! `-O`, `-C`, `-D`, `--profile`, and what of `-W` is about code: settings for wasmtime, under its own names.

mod code;
mod settings;
mod wasm;

use crate::failure::Failure;
use crate::keys::Applied;
use crate::output::to_stdout;
use clap::Args;
use hart_host::wasmtime::ProfilingStrategy;
pub(crate) use settings::Tuning;
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
}

/// The groups but that of `-W`, for those who list them.
#[cfg(test)]
pub(crate) fn groups() -> [crate::keys::Group<Tuning>; 3] {
    [code::optimize(), code::codegen(), code::debug()]
}
