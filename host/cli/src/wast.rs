//! `hart wast FILES..`: test scripts of components and core modules, on hart's own scheduler or on a simulated machine.

mod args;
mod core;
mod core_values;
mod ground;
mod instance;
mod report;
mod script;
mod simulated;
mod values;

pub(crate) use args::WastArgs;

use crate::failure::{Failure, USAGE};
use crate::output::{one_line, to_stderr, to_stdout};
use crate::{limits, load, scheduling};
use ground::Ground;
use hart_host::{Cache, HostBuilder};
use report::report;
use script::How;
use std::path::Path;

/// Runs every script. Prints a line for each, what failed in it to standard error, and a closing
/// line; returns the exit code.
///
/// # Errors
/// Bad usage. A script that cannot be read is reported in its line, and the others still run.
pub(crate) fn wast(args: &WastArgs) -> Result<u8, Failure> {
    let Some((limits, tuning)) = limits::limits_of_scripts(&args.limits)? else {
        return Ok(0);
    };
    let how = How {
        limits,
        any_reason: args.ignore_error_messages,
    };
    if args.sim {
        if !tuning.is_empty() {
            return Err(Failure::usage(
                "--sim: machines that are simulated compile code in one way only; of -W they take limits",
            ));
        }
        let machines = simulated::Machines::new(args, how)?;
        return Ok(all(&args.files, |path, shown, text| {
            machines.script(path, shown, text)
        }));
    }
    // What scripts contain is compiled once, so a cache would only grow.
    let instances = HostBuilder::DEFAULT_INSTANCES;
    let host = scheduling::host(&args.scheduling, instances, limits, |builder| {
        tuning.apply(builder.cache(Cache::Off))
    })?;
    let ground = Ground::Workers(host);
    Ok(all(&args.files, |path, shown, text| {
        let verdict = script::run(&ground, how, path, text);
        report(shown, &verdict, "")
    }))
}

/// Runs a script on a host of this process's; for the fuzz targets.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(text: &str) {
    use hart_host::{Host, Limits};
    use std::time::Duration;

    thread_local! {
        static GROUND: (Ground, How) = {
            let limits = Limits::new().timeout(Duration::from_millis(300)).memory(64 << 20);
            let host = Host::builder().workers(1).instances(50).cache(Cache::Off);
            let host = host.limits(limits).build().expect("a host");
            let how = How { limits, any_reason: false };
            (Ground::Workers(host), how)
        };
    }
    GROUND.with(|(ground, how)| {
        script::run(ground, *how, Path::new("fuzz"), text);
    });
}

/// Reads each file and has `script` run it, which tells what came of it; counts those, and returns the
/// worst exit code.
fn all(files: &[std::path::PathBuf], mut script: impl FnMut(&Path, &str, &str) -> u8) -> u8 {
    let (mut passed, mut worst) = (0, 0);
    for path in files {
        let shown = one_line(&path.display().to_string());
        let code = match std::fs::read_to_string(path) {
            Ok(text) => script(path, &shown, &text),
            Err(error) => {
                to_stderr(&format!("{shown}: {}\n", one_line(&load::read(&error))));
                to_stdout(&format!("{shown}: not read\n"));
                USAGE
            }
        };
        passed += usize::from(code == 0);
        worst = worst.max(code);
    }
    to_stdout(&format!(
        "{passed} passed, {} failed\n",
        files.len() - passed
    ));
    worst
}
