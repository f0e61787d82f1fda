//! `hart compile FILE [-o OUT.cwasm]`.

use crate::failure::Failure;
use crate::keys::Applied;
use crate::output::to_stdout;
use crate::scheduling::{PoolArg, PreemptMode, default_preemption, profile};
use crate::tuning::{self, Tuning, TuningArgs};
use crate::{load, scheduling};
use clap::Args;
use hart_host::{Cache, Host};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub(crate) struct CompileArgs {
    /// The component
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The file to write the native code to [default: FILE, with the extension cwasm]
    #[arg(short, long, value_name = "OUT.cwasm")]
    pub(crate) output: Option<PathBuf>,

    /// How the code is preempted; its checks are part of the code, so `hart run` needs the same --preempt
    #[arg(long, value_name = "MODE", default_value = "epoch")]
    pub(crate) preempt: PreemptMode,

    /// The kind of pool that it runs in; the code depends on it, so `hart run` needs the same --pool
    #[arg(long, value_name = "KIND", default_value = "fast")]
    pub(crate) pool: PoolArg,

    /// Compile for every machine of this kind, and not only for those that have what this one has
    /// [default: this machine]
    #[arg(long, value_name = "TRIPLE")]
    pub(crate) target: Option<String>,

    #[command(flatten)]
    pub(crate) tuning: TuningArgs,

    /// Set proposals: `-W help` lists the keys. Limits are said where the code is run
    #[arg(
        short = 'W',
        long = "wasm",
        value_name = "KEY=VALUE",
        allow_hyphen_values = true,
        help_heading = "Code"
    )]
    pub(crate) wasm: Vec<String>,
}

/// Compiles a component into native code, for this preemption mode and kind of pool.
///
/// # Errors
/// A file that is no component, options that make no sense, or an output that cannot be written.
pub(crate) fn compile(args: &CompileArgs) -> Result<(), Failure> {
    let Some(tuning) = Tuning::new(&args.tuning)? else {
        return Ok(());
    };
    let mut tuning = tuning.without_profile()?;
    if let Applied::Help(text) = tuning::wasm_group().apply(&mut tuning, &args.wasm)? {
        to_stdout(&text);
        return Ok(());
    }
    if let Some(triple) = &args.target {
        tuning.target(triple)?;
    }
    let bytes =
        fs::read(&args.file).map_err(|error| Failure::usage(load::read(&error)).at(&args.file))?;
    let builder = Host::builder()
        .workers(1)
        // As `hart run` has it: how much is reserved for a memory depends on it, and the code on that.
        .instances(hart_host::instances_for(&bytes))
        .preemption(default_preemption(args.preempt))
        .profile(profile(args.pool))
        // As `hart run` has it: it is a property of the code.
        .backtrace_details(true)
        .cache(Cache::Off);
    let host = scheduling::build(tuning.apply(builder))?;
    let code = host
        .loader()
        .core_modules(true)
        .precompile(&bytes)
        .map_err(|error| load::explain(&error).at(&args.file))?;
    let output = match &args.output {
        Some(output) => output.clone(),
        None => args.file.with_extension("cwasm"),
    };
    if output == args.file {
        return Err(Failure::usage("-o: that is the file itself; name another").at(&output));
    }
    write(&output, &code)
        .map_err(|error| Failure::usage(format!("cannot write it: {error}")).at(&output))
}

/// Writes `bytes` beside `path` and then moves them there: half a file of native code is worse than
/// none.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = Path::new(&beside);
    let written = fs::write(beside, bytes).and_then(|()| fs::rename(beside, path));
    if written.is_err() {
        let _ = fs::remove_file(beside);
    }
    written
}
