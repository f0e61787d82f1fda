//! `--workers`, `--preempt` and `--slice`: the host that they describe.

use crate::args::{PoolScanArg, PreemptMode, ProfileArg, SchedulingArgs};
use crate::failure::{Failure, to_stderr};
use crate::units;
use hart_host::{Host, HostBuilder, Limits, PoolScan, Preemption, Profile};

/// A host as the arguments describe it, and `more`.
///
/// # Errors
/// Options that contradict each other, a slice that is none, or a host that cannot be made.
pub(crate) fn host(
    args: &SchedulingArgs,
    limits: Limits,
    more: impl FnOnce(HostBuilder) -> HostBuilder,
) -> Result<Host, Failure> {
    let mut builder = Host::builder()
        // The component is the user's own, or was chosen by them.
        .backtrace_details(true)
        .preemption(preemption(args, &limits)?)
        .limits(limits)
        .profile(match args.profile {
            ProfileArg::Fast => Profile::Fast,
            ProfileArg::Dense => Profile::Dense,
        })
        .pool_scan(match args.pool_scan {
            PoolScanArg::Auto => PoolScan::Auto,
            PoolScanArg::On => PoolScan::On,
            PoolScanArg::Off => PoolScan::Off,
        });
    if let Some(instances) = args.instances {
        builder = builder.instances(instances);
    }
    if let Some(bytes) = args.memory_reserve {
        builder = builder.memory_reserve(bytes);
    }
    if let Some(workers) = args.workers {
        builder = builder.workers(workers.get());
    }
    let host = more(builder)
        .build()
        .map_err(|error| Failure::new(1, format!("cannot start: {error}")))?;
    let asked = args.instances.unwrap_or(HostBuilder::DEFAULT_INSTANCES);
    if host.pool().instances < u64::from(asked)
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
            profile: ProfileArg::Fast,
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
