//! `hart compile FILE -o OUT.cwasm`.

use crate::failure::Failure;
use crate::load;
use crate::scheduling::{PoolArg, PreemptMode, default_preemption, profile};
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

    /// The file to write the native code to
    #[arg(short, long, value_name = "OUT.cwasm")]
    pub(crate) output: PathBuf,

    /// How the code is preempted; its checks are part of the code, so `hart run` needs the same --preempt
    #[arg(long, value_name = "MODE", default_value = "epoch")]
    pub(crate) preempt: PreemptMode,

    /// The kind of pool that it runs in; the code depends on it, so `hart run` needs the same --pool
    #[arg(long, alias = "profile", value_name = "KIND", default_value = "fast")]
    pub(crate) pool: PoolArg,
}

/// Compiles a component into native code for this machine and this preemption mode.
///
/// # Errors
/// A file that is no component, or an output that cannot be written.
pub(crate) fn compile(args: &CompileArgs) -> Result<(), Failure> {
    let bytes =
        fs::read(&args.file).map_err(|error| Failure::usage(load::read(&error)).at(&args.file))?;
    let host = Host::builder()
        .workers(1)
        .preemption(default_preemption(args.preempt))
        .profile(profile(args.pool))
        // As `hart run` has it: it is a property of the code.
        .backtrace_details(true)
        .cache(Cache::Off)
        .build()
        .map_err(|error| Failure::new(1, format!("cannot start: {error}")))?;
    let code = host
        .loader()
        .core_modules(true)
        .precompile(&bytes)
        .map_err(|error| load::explain(&error).at(&args.file))?;
    write(&args.output, &code)
        .map_err(|error| Failure::usage(format!("cannot write it: {error}")).at(&args.output))
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
