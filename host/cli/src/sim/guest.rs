//! The guest that the options describe.

use super::args::{SimArgs, Slice};
use crate::failure::Failure;
use crate::simulation::quote;
use crate::{ended, grants, limits, load};
use hart_sim::{Guest, GuestError};
use std::path::{Path, PathBuf};

/// A guest, compiled.
pub(super) struct Prepared {
    guest: Guest,
    path: PathBuf,
}

/// A guest on a virtual machine is preempted by its fuel.
fn fuel(slice: Option<Slice>) -> Result<u64, Failure> {
    match slice {
        None => Ok(hart_sim::SLICE),
        Some(Slice::Fuel(fuel)) => Ok(fuel),
        Some(Slice::Time(_)) => Err(Failure::usage(
            "--slice: a machine that runs guests counts fuel; write a number, like 10000",
        )),
    }
}

impl Prepared {
    /// Reads and compiles the component; `None` where help was asked for, which has been printed.
    pub(super) fn new(args: &SimArgs) -> Result<Option<Self>, Failure> {
        let Some(limits) = limits::limits(&args.limits)? else {
            return Ok(None);
        };
        refuse(&args.wasi)?;
        let slice = fuel(args.slice)?;
        let Some((file, arguments)) = args.file_and_args.split_first() else {
            return Err(Failure::usage(
                "no FILE to run; `hart sim --help` shows how",
            ));
        };
        let path = PathBuf::from(file);
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| Failure::usage(load::read(&error)).at(path))
        };
        let arguments = ended::guest_arguments(&path, None, arguments)?;
        let mut guest = Guest::new(&read(&path)?)
            .map_err(|error| explain(&error).at(&path))?
            .name(arguments[0].clone())
            .limits(limits)
            .instances(args.instances)
            .slice(slice);
        for argument in &arguments[1..] {
            guest = guest.arg(argument);
        }
        if let Some(call) = &args.invoke {
            guest = guest.invoke(call);
        }
        for variable in &args.envs {
            let Some((key, value)) = variable.split_once('=') else {
                return Err(Failure::usage(format!(
                    "--env {variable}: a run that is the same everywhere inherits nothing; write {variable}=VALUE"
                )));
            };
            guest = guest.env(key, value);
        }
        for dir in &args.dirs {
            if dir.to_str().is_some_and(|dir| dir.ends_with("::rw")) {
                return Err(Failure::usage(format!(
                    "--dir {}: a guest that writes to a real directory would find it changed the next time; grant it to be read, and --scratch to be written",
                    dir.to_string_lossy()
                )));
            }
            let (outside, inside, _) = grants::dir(dir)?;
            guest = guest.dir(outside, inside);
        }
        if let Some(stdin) = &args.stdin {
            guest = guest.stdin(read(stdin)?);
        }
        if let Some(inside) = &args.scratch {
            guest = guest.scratch(inside);
        }
        Ok(Some(Self { guest, path }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn guest(&self) -> &Guest {
        &self.guest
    }

    /// `result`, with what is said of a guest that cannot be run.
    pub(super) fn explained<T>(&self, result: Result<T, GuestError>) -> Result<T, Failure> {
        result.map_err(|error| explain(&error).at(&self.path))
    }

    /// The file's name and its arguments.
    pub(super) fn title(&self, args: &SimArgs) -> String {
        let words = args
            .file_and_args
            .iter()
            .skip(1)
            .map(|word| word.to_string_lossy());
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        std::iter::once(name)
            .chain(words)
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The command that does the same with these options of the machine.
    pub(super) fn command(&self, args: &SimArgs, machine: &str) -> String {
        let mut words = vec![
            String::from("hart"),
            String::from("sim"),
            machine.to_owned(),
        ];
        let mut option = |name: &str, value: &str| words.push(format!("{name} {}", quote(value)));
        if let Some(Slice::Fuel(slice)) = args.slice {
            option("--slice", &slice.to_string());
        }
        if args.instances != 1_000 {
            option("--instances", &args.instances.to_string());
        }
        for dir in &args.dirs {
            option("--dir", &dir.to_string_lossy());
        }
        if let Some(scratch) = &args.scratch {
            option("--scratch", scratch);
        }
        for variable in &args.envs {
            option("--env", variable);
        }
        if let Some(stdin) = &args.stdin {
            option("--stdin", &stdin.to_string_lossy());
        }
        if let Some(call) = &args.invoke {
            option("--invoke", call);
        }
        if let Some(file) = &args.requests {
            option("--requests", &file.to_string_lossy());
        }
        if let Some(timeout) = args.limits.timeout {
            option("--timeout", &format!("{}ns", timeout.as_nanos()));
        }
        for limit in &args.limits.limits {
            option("-W", limit);
        }
        words.extend(
            args.file_and_args
                .iter()
                .map(|word| quote(&word.to_string_lossy())),
        );
        words.join(" ")
    }
}

/// Sockets and the system's environment would make runs differ.
fn refuse(keys: &[String]) -> Result<(), Failure> {
    let Some(first) = keys.first() else {
        return Ok(());
    };
    let name = first.split(['=', ',']).next().unwrap_or(first);
    Err(Failure::usage(match name {
        "inherit-network" | "tcp" | "udp" | "allow-ip-name-lookup" => format!(
            "-S {name}: sockets are not simulated, as what comes through them would be different every time; leave it out, and the guest's attempts to use the network are refused"
        ),
        "inherit-env" => String::from(
            "-S inherit-env: the environment of hart itself would be different elsewhere; give each variable with --env K=V",
        ),
        _ => format!("-S {name}: no such key for `hart sim`; leave it out"),
    }))
}

/// Why a guest could not be run.
fn explain(error: &GuestError) -> Failure {
    match error {
        GuestError::Load(error) => load::explain(error),
        GuestError::Start(error) => ended::explain(error),
        other => Failure::usage(other),
    }
}
