//! `--workers`, `--preempt` and `--slice`: the host that they describe.

use crate::failure::Failure;
use crate::output::to_stderr;
use crate::units;
use clap::{Args, ValueEnum};
use hart_host::{BuildError, Host, HostBuilder, Limits, PoolScan, Preemption, Profile};
use std::num::NonZeroUsize;

/// How guests are preempted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum PreemptMode {
    /// By time; slows guests down the least
    Epoch,
    /// By counting instructions; exact and repeatable
    Fuel,
    /// Never; only for guests that you trust to yield
    None,
}

/// What the pool of instances is made for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum PoolArg {
    /// Instances start quickly and run at full speed
    #[default]
    Fast,
    /// As many instances as possible; bounds are checked in code, a memory has at most 64 MiB and a table at most
    /// 8,000 elements
    Dense,
}

/// Whether the kernel says which pages were written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum PoolScanArg {
    /// Off, because swap may be added later
    #[default]
    Auto,
    /// On: this system has no swap and will get none
    On,
    /// Off
    Off,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Scheduling")]
pub(crate) struct SchedulingArgs {
    /// Threads that run guests [default: one per core]
    #[arg(long, value_name = "N", value_parser = workers)]
    pub(crate) workers: Option<NonZeroUsize>,

    /// How a long-running guest is preempted [default: epoch; fuel if -W fuel is given]
    #[arg(long, value_name = "MODE")]
    pub(crate) preempt: Option<PreemptMode>,

    /// Slots in the pool of instances: how many guest tasks can run at the same time, while others
    /// wait [default: 1000; fewer for `hart run` of a component that cannot spawn]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) instances: Option<u32>,

    /// What the pool of instances is made for
    #[arg(long, value_name = "KIND", default_value = "fast")]
    pub(crate) pool: PoolArg,

    /// Ask the kernel which pages a guest wrote, and reset only those; unsafe on a system that has
    /// swap, or gets it later
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) pool_scan: PoolScanArg,

    /// Keep this much of the system's memory free: new tasks wait while less is left; 0 keeps none
    /// [default: 1/32 of the memory, at most 256M]
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    pub(crate) memory_reserve: Option<u64>,

    /// How long a guest may run while others wait: a duration with --preempt epoch
    /// [default: 1ms], units of fuel with --preempt fuel [default: 1000000]
    #[arg(long, value_name = "D|FUEL")]
    pub(crate) slice: Option<String>,
}

/// A number of workers.
pub(crate) fn workers(text: &str) -> Result<NonZeroUsize, String> {
    let count = units::count(text)?;
    match usize::try_from(count).map(NonZeroUsize::new) {
        Ok(Some(count)) if count.get() <= MAX_WORKERS => Ok(count),
        Ok(None) => Err(String::from("nothing runs with 0 workers; use 1 or more")),
        _ => Err(format!("more than {MAX_WORKERS} workers; use fewer")),
    }
}

/// More threads than this is a slip of the finger.
const MAX_WORKERS: usize = 1024;

/// A host as the arguments describe it, and `more`; of so many `instances` where they do not say.
///
/// # Errors
/// Options that contradict each other, a slice that is none, or a host that cannot be made.
pub(crate) fn host(
    args: &SchedulingArgs,
    instances: u32,
    limits: Limits,
    more: impl FnOnce(HostBuilder) -> HostBuilder,
) -> Result<Host, Failure> {
    let instances = args.instances.unwrap_or(instances);
    let mut builder = Host::builder()
        .instances(instances)
        // The component is the user's own, or was chosen by them.
        .backtrace_details(true)
        .preemption(preemption(args, &limits)?)
        .limits(limits)
        .profile(profile(args.pool))
        .pool_scan(match args.pool_scan {
            PoolScanArg::Auto => PoolScan::Auto,
            PoolScanArg::On => PoolScan::On,
            PoolScanArg::Off => PoolScan::Off,
        });
    if let Some(bytes) = args.memory_reserve {
        builder = builder.memory_reserve(bytes);
    }
    if let Some(workers) = args.workers {
        builder = builder.workers(workers.get());
    }
    let host = build(more(builder))?;
    if host.pool().instances < u64::from(instances)
        && let Some(why) = host
            .settings()
            .into_iter()
            .find(|setting| setting.name == "instances")
    {
        to_stderr(&format!(
            "hart: a smaller pool, of {} instances: {}\n",
            why.value, why.reason
        ));
    }
    Ok(host)
}

/// Builds it.
///
/// # Errors
/// Bad usage where settings contradict each other; else whatever the system refuses.
pub(crate) fn build(builder: HostBuilder) -> Result<Host, Failure> {
    builder.build().map_err(|error| match error {
        BuildError::Config(why) => Failure::usage(format!(
            "-O, -C, -D and -W: what they say cannot hold together, or beside hart's own settings: {why:#}"
        )),
        error => Failure::new(1, format!("cannot start: {error}")),
    })
}

/// What `--preempt` and `--slice` mean together. Fuel is metered in fuel mode only, so a limit on it
/// asks for that mode.
fn preemption(args: &SchedulingArgs, limits: &Limits) -> Result<Preemption, Failure> {
    let limited = match (limits.fuel, limits.task_fuel) {
        (Some(_), _) => Some("fuel"),
        (None, Some(_)) => Some("task-fuel"),
        (None, None) => None,
    };
    let mode = match (args.preempt, limited) {
        (Some(mode), Some(limit)) if mode != PreemptMode::Fuel => {
            return Err(Failure::usage(format!(
                "-W {limit} needs --preempt fuel, the only mode that meters it; leave the other --preempt out",
            )));
        }
        (Some(mode), _) => mode,
        (None, Some(_)) => PreemptMode::Fuel,
        (None, None) => PreemptMode::Epoch,
    };
    let Some(slice) = &args.slice else {
        return Ok(default_preemption(mode));
    };
    let wrong = |error: String| Failure::usage(format!("--slice: {error}"));
    match mode {
        PreemptMode::Epoch => Ok(Preemption::Epoch {
            slice: units::positive_duration(slice).map_err(|error| {
                let hint = match units::count(slice) {
                    Ok(count) if count > 0 => " (a count is a slice of fuel: add --preempt fuel)",
                    _ => "",
                };
                wrong(error + hint)
            })?,
        }),
        PreemptMode::Fuel => match units::count(slice).map_err(wrong)? {
            0 => Err(wrong(format!(
                "`{slice}` is zero; write a count above zero, like 1000000"
            ))),
            slice => Ok(Preemption::Fuel { slice }),
        },
        PreemptMode::None => Err(wrong(String::from(
            "there are no slices with --preempt none; leave one of the two out",
        ))),
    }
}

/// A mode with its default slice.
pub(crate) fn default_preemption(mode: PreemptMode) -> Preemption {
    match mode {
        PreemptMode::Epoch => Preemption::epoch(),
        PreemptMode::Fuel => Preemption::fuel(),
        PreemptMode::None => Preemption::None,
    }
}

/// What the option means to the host.
pub(crate) fn profile(pool: PoolArg) -> Profile {
    match pool {
        PoolArg::Fast => Profile::Fast,
        PoolArg::Dense => Profile::Dense,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn of(
        preempt: Option<PreemptMode>,
        slice: Option<&str>,
        limits: Limits,
    ) -> Result<Preemption, Failure> {
        let args = SchedulingArgs {
            workers: None,
            instances: None,
            pool: PoolArg::Fast,
            pool_scan: PoolScanArg::Auto,
            memory_reserve: None,
            preempt,
            slice: slice.map(String::from),
        };
        preemption(&args, &limits)
    }

    /// Hunts a slice in one mode's unit that is read in another's, and slices of zero.
    #[test]
    fn slices_have_the_units_of_their_mode() {
        let (epoch, fuel, none) = (
            Some(PreemptMode::Epoch),
            Some(PreemptMode::Fuel),
            Some(PreemptMode::None),
        );
        let free = Limits::new();
        let slice = Duration::from_millis(10);
        assert_eq!(of(None, None, free).unwrap(), Preemption::epoch());
        assert_eq!(
            of(None, Some("10ms"), free).unwrap(),
            Preemption::Epoch { slice }
        );
        assert_eq!(
            of(fuel, Some("5_000"), free).unwrap(),
            Preemption::Fuel { slice: 5000 }
        );
        assert_eq!(of(none, None, free).unwrap(), Preemption::None);
        for (mode, slice) in [
            (epoch, "0ms"),
            (epoch, "0"),
            (epoch, "1000"),
            (fuel, "0"),
            (fuel, "10ms"),
            (none, "10ms"),
            (None, "1000"),
        ] {
            assert!(of(mode, Some(slice), free).is_err(), "{mode:?} {slice}");
        }
    }

    /// Hunts a limit on fuel that is accepted where nothing meters fuel.
    #[test]
    fn a_limit_on_fuel_means_fuel_mode() {
        for limited in [Limits::new().fuel(5), Limits::new().task_fuel(5)] {
            assert_eq!(of(None, None, limited).unwrap(), Preemption::fuel());
            assert_eq!(
                of(Some(PreemptMode::Fuel), None, limited).unwrap(),
                Preemption::fuel()
            );
            assert!(of(Some(PreemptMode::Epoch), None, limited).is_err());
            assert!(of(Some(PreemptMode::None), None, limited).is_err());
        }
    }
}
